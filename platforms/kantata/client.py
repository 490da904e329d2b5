"""Kantata's REST API v1, spoken: pages in `results` order, creates that are never repeated blindly, one cheap probe.

    with SPEC.connect(settings, context) as client:
        for page in client.pages("time_entries", {"updated_after": since}):
            for row in page.rows: ...

What the vendor does silently is settled here: order lives only in `results`; default sorting drifts while rows change,
so crawls run `created_at:asc` where that is possible; parameters the vendor treats as flags are never sent as false.
Source: vendor API reference (Response Format, Pagination, Filters, Errors) and its open-source presenter library.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import httpx

from platforms.kit.auth import BearerAuth
from platforms.kit.context import ClientContext
from platforms.kit.errors import AskPerson, Conflict, Gone, PlatformError, Refused, Retry, Wait
from platforms.kit.http import ApiClient
from platforms.kit.registry import Finding, Limits, PlatformSpec, Setting
from platforms.kit.secrets import Secret

Record = dict[str, Any]

PER_PAGE = 200
# The most refs `external_reference_service_model_refs` takes.
MAX_REFERENCES = 200
# Most records of one bulk body; collections that are not named have no bulk body.
BULK_LIMITS: Mapping[str, int] = {
    "workspaces": 100,
    "time_entries": 100,
    "expenses": 100,
    "custom_field_values": 100,
    "timesheet_submissions": 100,
    "project_accounting_records": 100,
    "stories": 300,
}
# Pages asked for at once during a crawl. Four keep a page in hand while the next are on their way; more only queue up
# behind the rate budget.
READ_AHEAD = 4
SERVICE_NAME = "tieout"

# `order` of a crawl. A collection sorted by something that changes while it is read loses rows between pages.
_CRAWL_ORDER = {"timesheet_submissions": "date:asc", "expense_report_submissions": "date:asc"}
# Collections that cannot be sorted by updated_at, so their newest change cannot be asked for directly.
_NO_UPDATED_ORDER = frozenset({"timesheet_submissions", "expense_report_submissions", "expenses"})
# Switches that show what default filters hide, so that an archived project does not look like a deleted one.
EVERYTHING: Mapping[str, Mapping[str, str]] = {
    "workspaces": {"include_archived": "true"},
    "stories": {"show_archived": "true", "show_deleted": "true", "show_from_archived_workspaces": "true"},
    "time_entries": {"from_archived_workspaces": "true"},
    "expenses": {"from_archived_workspaces": "true"},
    "posts": {"from_archived_workspaces": "true"},
    "account_memberships": {"only_active": "false"},
    "assignments": {"in_unarchived_workspaces": "false", "in_unarchived_stories": "false"},
    "participations": {"from_archived_workspaces": "true"},
    "workspace_resources": {"from_archived_workspaces": "true"},
    "roles": {"show_deleted": "true"},
    "expense_categories": {"show_deleted": "true"},
}
# The custom fields an administrator creates for Tieout (platforms/kantata/README.md).
REQUIRED_CUSTOM_FIELDS: Mapping[str, Mapping[str, str]] = {
    "Workspace": {
        "Billing Type": "string",
        "Legal Entity": "string",
        "Billing Status": "string",
        "Invoiced": "currency",
        "Paid": "currency",
        "Open": "currency",
        "Overdue": "currency",
    },
    "WorkspaceGroup": {"VAT Number": "string", "Currency": "string"},
}
_TAKEN = ("has already been taken", "has already been entered", "already exists")


def singular(collection: str) -> str:
    """The body key of one record: `stories` -> `story`."""
    return collection[:-3] + "y" if collection.endswith("ies") else collection.removesuffix("s")


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page: `rows` in `results` order, `included` objects by collection and id, and the vendor's `meta`
    (count of all matches, page_count, page_number, page_size)."""

    rows: list[Record]
    included: Mapping[str, Mapping[str, Record]]
    meta: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a probe saw of a collection: the newest `updated_at` (None when it cannot be asked for or is empty), the id
    that has it, and how many rows there are (a delete shows only there)."""

    newest: datetime | None
    id: str | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One entry of the vendor's `errors` array; `index` is the position in a bulk body."""

    type: str
    message: str
    field: str = ""
    index: int | None = None


class Invalid(Refused):
    """422: `problems` says which field of which record, and why."""

    problems: tuple[Problem, ...] = ()


class AlreadyThere(Conflict):
    """422 for a value that must be unique and is taken."""

    problems: tuple[Problem, ...] = ()


@dataclass
class KantataClient:
    """One connection to Kantata. Thread-safe. `api` carries the counters and the server's clock."""

    context: ClientContext
    base_url: str
    token: Secret = field(repr=False)
    api: ApiClient = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.api = ApiClient("kantata", self.base_url, BearerAuth(self.token), self.classify, self.context)

    def __enter__(self) -> KantataClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self.api.close()

    @property
    def server_time(self) -> datetime | None:
        """The vendor's clock at the last answer (aware UTC), None before the first."""
        return self.api.server_time

    # ---- reading ----------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Ask the cheapest question that needs the token; raises what is wrong."""
        self.me()

    def me(self) -> Record:
        """The user whose token this is."""
        return self._first(self._get("users/me", {}), "users")

    def page(self, collection: str, params: Mapping[str, Any] | None = None, *, probe: bool = False) -> Page:
        """One answer of a list route, exactly as asked."""
        return self._page(self._get(collection, dict(params or {}), probe=probe), collection)

    def pages(
        self,
        collection: str,
        params: Mapping[str, Any] | None = None,
        *,
        per_page: int = PER_PAGE,
        read_ahead: int = READ_AHEAD,
    ) -> Iterator[Page]:
        """Every page of a list, in order; the next ones are fetched while the consumer works on this one.

        Sorted so that rows changed meanwhile do not move (`created_at:asc` unless `params` say otherwise). Rows
        created meanwhile are read too; when rows vanish meanwhile the page before the gap is read again, so a row may
        come twice but none is lost: merge by id. Default filters apply; add `EVERYTHING[collection]` for archived rows.
        `params` values may be text, numbers, aware datetimes or lists (comma lists).
        """
        asked = {"order": _CRAWL_ORDER.get(collection, "created_at:asc"), **(params or {}), "per_page": per_page}
        first = self.page(collection, {**asked, "page": 1})
        yield first
        before = first
        following = 2
        pending: deque[Future[Page]] = deque()
        with ThreadPoolExecutor(max_workers=max(1, read_ahead), thread_name_prefix="kantata") as pool:
            try:
                while True:
                    wanted = max(before.meta["page_count"], 1)
                    # A full last page may have had a row added behind it while it was under way.
                    while following <= wanted and len(pending) < max(1, read_ahead):
                        pending.append(pool.submit(self.page, collection, {**asked, "page": following}))
                        following += 1
                    if not pending:
                        return
                    page = pending.popleft().result()
                    lost = before.meta["count"] - page.meta["count"]
                    if lost > 0:
                        at = int(page.meta["page_number"] or following - len(pending) - 1)
                        yield from self._again(collection, asked, at, lost, per_page)
                    yield page
                    before = page
            finally:
                for future in pending:
                    future.cancel()

    def _again(self, collection: str, asked: Mapping[str, Any], at: int, lost: int, per_page: int) -> Iterator[Page]:
        """Read the pages before page `at` again: `lost` rows were deleted, so as many moved there from `at`."""
        for number in range(max(1, at - -(-lost // per_page)), at):
            yield self.page(collection, {**asked, "page": number})

    def changed(
        self,
        collection: str,
        since: datetime | None,
        params: Mapping[str, Any] | None = None,
        *,
        overlap: timedelta = timedelta(minutes=5),
    ) -> Iterator[Page]:
        """Pages of what was created or changed at or after `since` less `overlap`; everything when `since` is None.

        The vendor does not say whether its bound includes the moment itself and prints whole seconds, so an overlap is
        needed; rows at the edge come again and are merged by id. Deletes are not seen this way.
        """
        window = {} if since is None else {"updated_after": since - overlap}
        yield from self.pages(collection, {**window, **(params or {})})

    def get(self, collection: str, id: str, params: Mapping[str, Any] | None = None) -> Record:
        """One record by id. `Gone` when it is not there or a default filter hides it (archived project)."""
        return self._first(self._get(f"{collection}/{id}", dict(params or {})), collection)

    def by_ids(self, collection: str, ids: Sequence[str], params: Mapping[str, Any] | None = None) -> Iterator[Page]:
        """Records by id, 200 a call; ids that are not there are simply missing, archived ones are shown."""
        for at in range(0, len(ids), PER_PAGE):
            only = ",".join(ids[at : at + PER_PAGE])
            yield self.page(
                collection, {**EVERYTHING.get(collection, {}), **(params or {}), "only": only, "per_page": PER_PAGE}
            )

    def find_by_reference(
        self,
        collection: str,
        refs: Sequence[str],
        params: Mapping[str, Any] | None = None,
        *,
        service_name: str = SERVICE_NAME,
        service_model: str | None = None,
    ) -> dict[str, list[Record]]:
        """Records that carry an external reference with one of these refs, by ref; every ref is in the answer.

        At most 200 refs a call go out; several records under one ref are a duplicate. Archived records are found too.
        Each record has its reference under `external_reference`.
        """
        found: dict[str, list[Record]] = {ref: [] for ref in refs}
        include = ",".join(filter(None, ["external_references", str((params or {}).get("include", ""))]))
        for at in range(0, len(refs), MAX_REFERENCES):
            part = refs[at : at + MAX_REFERENCES]
            asked = {
                **EVERYTHING.get(collection, {}),
                **(params or {}),
                "include": include,
                "external_reference_service_name": service_name,
                "external_reference_service_model_refs": list(part),
            }
            if service_model is not None:
                asked["external_reference_service_model"] = service_model
            for page in self.pages(collection, asked, read_ahead=1):
                references = page.included.get("external_references", {})
                for row in page.rows:
                    for reference_id in row.get("external_reference_ids") or ():
                        reference = references.get(reference_id, {})
                        ref = str(reference.get("service_model_ref"))
                        if reference.get("service_name") == service_name and ref in found:
                            found[ref].append({**row, "external_reference": reference})
        return found

    def newest_change(self, collections: Sequence[str]) -> dict[str, Change]:
        """What changed last, one call of one row per collection. A sensor compares it with what it saw before.

        Submissions and expenses cannot be sorted by change; for them `newest` is None and `changes_since` must do.
        """
        seen: dict[str, Change] = {}
        for collection in collections:
            asked: dict[str, Any] = {**EVERYTHING.get(collection, {}), "per_page": 1}
            if collection not in _NO_UPDATED_ORDER:
                asked["order"] = "updated_at:desc"
            if collection in ("external_references", "custom_field_values"):
                asked["subject_type"] = "Workspace"
            page = self.page(collection, asked, probe=True)
            row = page.rows[0] if page.rows and collection not in _NO_UPDATED_ORDER else None
            stamp = row.get("updated_at") if row else None
            seen[collection] = Change(
                newest=parse_time(stamp) if stamp else None,
                id=str(row["id"]) if row else None,
                count=page.meta["count"],
            )
        return seen

    def changes_since(self, collections: Sequence[str], since: datetime) -> dict[str, int]:
        """How many rows of each collection were created or changed at or after `since`; one call of one row each."""
        return {
            collection: self.page(
                collection, {**EVERYTHING.get(collection, {}), "updated_after": since, "per_page": 1}, probe=True
            ).meta["count"]
            for collection in collections
        }

    def events(self, since: datetime, event_types: Sequence[str] = ()) -> Iterator[Page]:
        """Subscribed events at or after `since` (kept about nine days; may come twice; account administrators only)."""
        params: dict[str, Any] = {"created_after": since}
        if event_types:
            params["event_types"] = list(event_types)
        yield from self.pages("subscribed_events", params)

    # ---- writing ----------------------------------------------------------------------------------------------

    def create(self, collection: str, body: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Record:
        """Create one record; the record as the vendor shows it. Never sent twice: `Uncertain` when nobody answered."""
        answer = self._send("POST", collection, {singular(collection): body}, params, idempotent=False)
        return self._first(answer, collection)

    def bulk_create(
        self, collection: str, bodies: Sequence[Mapping[str, Any]], params: Mapping[str, Any] | None = None
    ) -> Page:
        """Create up to `BULK_LIMITS[collection]` records in one call. `Invalid.problems` carry positions.

        Whether a refused bulk call leaves some of its records behind is not documented: read back before resending.
        Nor is the order of the answer: match by external reference (`include=external_references`).
        """
        limit = BULK_LIMITS.get(collection, 0)
        if len(bodies) > limit:
            raise ValueError(f"{collection} takes {limit} records in one call, not {len(bodies)}")
        answer = self._send("POST", collection, {collection: list(bodies)}, params, idempotent=False)
        return self._page(answer, collection)

    def update(
        self, collection: str, id: str, body: Mapping[str, Any], params: Mapping[str, Any] | None = None
    ) -> Record:
        """Change the given fields of one record. Safe to repeat: the fields end up the same."""
        answer = self._send("PUT", f"{collection}/{id}", {singular(collection): body}, params, idempotent=True)
        return self._first(answer, collection)

    def delete(self, collection: str, id: str) -> None:
        """Delete one record; one that is gone already is fine."""
        try:
            self.api.request("DELETE", f"{collection}/{id}", idempotent=True)
        except Gone:
            return

    def put_reference(self, subject_type: str, subject_id: str, reference: Mapping[str, Any]) -> Record:
        """Create or update the one reference a service has on a record. Safe to repeat."""
        body = {"subject_type": subject_type, "subject_id": subject_id, "service_name": SERVICE_NAME, **reference}
        answer = self._send(
            "POST", "external_references/create_or_update", {"external_reference": body}, None, idempotent=True
        )
        return self._first(answer, "external_references")

    def put_values(self, values: Sequence[Mapping[str, Any]]) -> Page:
        """Set up to 100 custom field values {subject_type, subject_id, custom_field_id, value}.

        The vendor replaces what is there, so this is safe to repeat; each time the values get new ids.
        """
        answer = self._send("POST", "custom_field_values", {"custom_field_values": list(values)}, None, idempotent=True)
        return self._page(answer, "custom_field_values")

    def act(self, path: str, body: Mapping[str, Any] | None = None, *, idempotent: bool = False) -> Record:
        """PUT on a button of a record, e.g. `invoices/12/cancel`; the record afterwards."""
        answer = self._send("PUT", path, dict(body or {}), None, idempotent=idempotent)
        return self._first(answer, path.split("/", 1)[0])

    # ---- the vendor's language --------------------------------------------------------------------------------

    def _get(self, path: str, params: Mapping[str, Any], *, probe: bool = False) -> Any:
        sent = {name: _param(value) for name, value in params.items() if value is not None}
        response = self.api.request("GET", path, params=sent, idempotent=True, kind="poll" if probe else None)
        return self.api.json(response)

    def _send(
        self, method: str, path: str, body: Mapping[str, Any], params: Mapping[str, Any] | None, *, idempotent: bool
    ) -> Any:
        sent = {name: _param(value) for name, value in (params or {}).items()}
        return self.api.json(self.api.request(method, path, params=sent or None, json=body, idempotent=idempotent))

    def _page(self, answer: Any, collection: str) -> Page:
        try:
            objects = answer[collection]
            rows = [objects[item["id"]] for item in answer["results"]]
            meta = answer["meta"]
            included = {
                key: value
                for key, value in answer.items()
                if isinstance(value, Mapping) and key not in (collection, "meta")
            }
        except (KeyError, TypeError) as error:
            raise self.api.error(
                Refused,
                f"the answer for {collection} has no {error}; it is not the vendor's envelope",
                next_step="Check base_url, and that the API is version 1.",
            ) from error
        if objects and len(objects) > len(rows):
            included[collection] = objects  # side-loaded objects of the same type (sub-tasks of tasks)
        return Page(rows=rows, included=included, meta={name: int(value) for name, value in meta.items()})

    def _first(self, answer: Any, collection: str) -> Record:
        page = self._page(answer, collection)
        if not page.rows:
            raise self.api.error(Gone, f"{collection}: the answer holds no record")
        row = page.rows[0]
        references = page.included.get("external_references")
        if references:
            row = {**row, "external_references": list(references.values())}
        return row

    def classify(self, response: httpx.Response) -> PlatformError | None:
        """What an answer means: the vendor has no error codes, only a type, a field and a sentence."""
        status = response.status_code
        if status < 300 and "json" not in response.headers.get("content-type", ""):
            return None
        body = self._errors_of(response)
        problems = tuple(_problem(item) for item in body)
        if status < 300 and not problems:
            return None
        text = "; ".join(_sentence(p) for p in problems) or f"HTTP {status}"
        error = self.api.error
        if status == 401:
            name = self.context.connection.upper()
            return error(
                AskPerson,
                f"the token is not accepted ({text})",
                code="oauth",
                next_step=f"Set CONNECTIONS__{name}__TOKEN to a token of an authorised application "
                "(Kantata: Settings > API applications), and check that its user is active.",
            )
        if status == 403:
            return error(
                AskPerson,
                f"not permitted: {text}",
                code="permission",
                next_step="Widen the access group of the integration user in Kantata; a new token does not help.",
            )
        if status == 404:
            return error(Gone, text, code="not_found")
        if status == 429:
            return error(Wait, text, code="rate_limit")
        if status >= 500:
            return error(Retry, text, code="system")
        if problems and all(p.type == "validation" or p.index is not None for p in problems):
            taken = any(words in p.message for p in problems for words in _TAKEN)
            fields = tuple(dict.fromkeys(p.field for p in problems if p.field))
            refused = error(AlreadyThere if taken else Invalid, text, code="validation", fields=fields)
            assert isinstance(refused, Invalid | AlreadyThere)
            refused.problems = problems
            return refused
        return error(Refused, text, code=problems[0].type if problems else "")

    def _errors_of(self, response: httpx.Response) -> list[Any]:
        try:
            body = self.api.json(response)
        except PlatformError:
            if response.status_code < 300:
                raise
            return []  # an error page that is not JSON: the status speaks for itself
        if not isinstance(body, Mapping):
            return []
        errors = body.get("errors")
        if isinstance(errors, list):
            return errors
        message = body.get("error_message") or (errors if isinstance(errors, str) else None)
        return [{"type": "system", "message": message}] if message else []


def _problem(item: Any) -> Problem:
    if not isinstance(item, Mapping):
        return Problem(type="system", message=str(item))
    index = item.get("index")
    return Problem(
        type=str(item.get("type", "system")),
        message=str(item.get("message", "")),
        field=str(item.get("field") or ""),
        index=None if index is None else int(index),
    )


def _sentence(problem: Problem) -> str:
    place = f"record {problem.index}: " if problem.index is not None else ""
    name = f"{problem.field}: " if problem.field and problem.field != "base" else ""
    return f"{place}{name}{problem.message}"


def _param(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; give an aware datetime")
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, list | tuple):
        return ",".join(str(v) for v in value)
    return str(value)


def parse_time(text: str) -> datetime:
    """A vendor timestamp (whole seconds, account offset) as aware UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


# ---- the room -------------------------------------------------------------------------------------------------------


def connect(settings: Mapping[str, str | Secret], context: ClientContext) -> KantataClient:
    """The client of one connection; sends nothing yet. `AskPerson` when a setting is missing."""
    token = settings.get("token")
    if not token:
        name = context.connection.upper()
        raise AskPerson(
            "there is no token",
            platform="kantata",
            connection=context.connection,
            next_step=f"Set CONNECTIONS__{name}__TOKEN.",
        )
    base_url = str(settings.get("base_url") or DEFAULT_BASE_URL)
    return KantataClient(context, base_url, token if isinstance(token, Secret) else Secret(token))


def examine(client: KantataClient, requirements: Mapping[str, Any]) -> list[Finding]:
    """Whether the account is set up as Tieout needs it. `requirements` may hold `read` and `write`, each a mapping of
    collection (or object) to the field names used; `custom_fields.<Name>` names a custom field."""
    findings: list[Finding] = []
    try:
        me = client.me()
    except AskPerson as error:
        return [Finding(level="error", what=error.message, fix=error.next_step)]
    findings.append(Finding(level="ok", what=f"The token works; it acts as {me.get('full_name')}."))
    findings += _examine_permissions(client, str(me["id"]))
    lists = [str(name) for name in requirements.get("read") or ()]
    unreadable = [finding for name in lists for finding in _examine_reading(client, name)]
    if lists and not unreadable:
        findings.append(Finding(level="ok", what=f"All {len(lists)} lists can be read."))
    findings += unreadable
    findings += _examine_custom_fields(client, requirements)
    findings.append(
        Finding(
            level="ok",
            what="Kantata publishes its rate limits to customers only; Tieout keeps to "
            f"{SPEC.limits.requests_per_second:g} requests a second and pauses on 429.",
        )
    )
    return findings


def _examine_permissions(client: KantataClient, me: str) -> list[Finding]:
    findings = []
    try:
        members = client.page("account_memberships", {"per_page": 1, "by_user_ids": me})
        sees_rates = all("bill_rate_in_cents" in row for row in members.rows) and bool(members.rows)
        sees_budgets = all(
            "price_in_cents" in row for row in client.page("workspaces", {"per_page": 1, "include_archived": True}).rows
        )
    except (AskPerson, Refused) as error:
        return [Finding(level="error", what=f"People or projects cannot be read: {error.message}", fix=error.next_step)]
    permission = members.rows[0].get("permission") if members.rows else None
    if sees_rates and sees_budgets:
        findings.append(Finding(level="ok", what=f"Permission {permission!r} shows rates and budgets."))
    else:
        findings.append(
            Finding(
                level="error",
                what=f"Permission {permission!r} hides rates or budgets; amounts would be missing without a word.",
                fix="Give the integration user Account Administrator rights, or an access group with financial access.",
            )
        )
    try:
        client.page("subscribed_events", {"per_page": 1}, probe=True)
        findings.append(Finding(level="ok", what="Subscribed events can be read."))
    except (AskPerson, Refused) as error:
        findings.append(
            Finding(
                level="warning",
                what=f"Subscribed events cannot be read ({error.message}); deletes are found by sweeps only.",
                fix="Ask Kantata for the events add-on and use an account administrator, or accept slower deletes.",
            )
        )
    return findings


def _examine_reading(client: KantataClient, name: str) -> list[Finding]:
    params: dict[str, Any] = {"per_page": 1}
    if name in ("external_references", "custom_field_values"):
        params["subject_type"] = "Workspace"
    try:
        client.page(name, params, probe=True)
    except (AskPerson, Refused) as error:
        return [Finding(level="error", what=f"{name} cannot be read: {error.message}", fix=error.next_step)]
    return []


def _examine_custom_fields(client: KantataClient, requirements: Mapping[str, Any]) -> list[Finding]:
    wanted = {
        (subject, name): kind for subject, names in REQUIRED_CUSTOM_FIELDS.items() for name, kind in names.items()
    }
    for part in ("read", "write"):
        for thing, names in (requirements.get(part) or {}).items():
            subject = "".join(word.capitalize() for word in singular(str(thing)).split("_"))
            for name in names or ():
                if str(name).startswith("custom_fields."):
                    wanted.setdefault((subject, str(name).removeprefix("custom_fields.")), "")
    there: dict[tuple[str, str], str] = {}
    try:
        for page in client.pages("custom_fields"):
            there.update({(row["subject_type"], row["name"]): row["value_type"] for row in page.rows})
    except (AskPerson, Refused) as error:
        return [Finding(level="error", what=f"Custom fields cannot be read: {error.message}", fix=error.next_step)]
    findings = []
    for (subject, name), kind in wanted.items():
        found = there.get((subject, name))
        if found is None:
            findings.append(
                Finding(
                    level="error",
                    what=f"The custom field {name!r} on {subject} is missing.",
                    fix=f"Create it in Kantata under Settings > Custom Fields{f' with type {kind}' if kind else ''}.",
                )
            )
        elif kind and found != kind:
            findings.append(
                Finding(
                    level="error",
                    what=f"The custom field {name!r} on {subject} is of type {found}, not {kind}.",
                    fix="Delete it and create it anew with the right type; Kantata cannot change a type.",
                )
            )
    if not findings:
        findings.append(Finding(level="ok", what=f"All {len(wanted)} custom fields are there."))
    return findings


DEFAULT_BASE_URL = "https://api.mavenlink.com/api/v1"

SPEC = PlatformSpec(
    name="kantata",
    label="Kantata OX",
    roles=("psa",),
    settings=(
        Setting(
            name="base_url",
            help="Address of the API with its version, without a trailing slash.",
            default=DEFAULT_BASE_URL,
            required=False,
        ),
        Setting(name="token", help="Bearer token of an authorised API application of the account.", secret=True),
    ),
    # The vendor prints no numbers. Answers of the real one take some tenths of a second, so eight at a time stay far
    # below this rate; it bounds what a quick answerer (a sandbox) is asked, and a 429 is waited out anyway.
    limits=Limits(requests_per_second=80.0, burst=80, concurrency=8),
    connect=connect,
    examine=examine,
)
