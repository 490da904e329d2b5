"""The sandbox's HTTP: the vendor's paths, bodies and error shapes over `service.py` and `brainstem.py`.

Paths work with and without `.json`; bodies are JSON or Rails-style forms; a singular body key is one record, a plural
key many. Attributes that the vendor does not take are ignored, as Rails does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from platforms.kantata.sandbox.brainstem import Clause, Engine, Query
from platforms.kantata.sandbox.presenters import PRESENTERS
from platforms.kantata.sandbox.refusals import Problem, ValidationFailed, forbidden, gone, system
from platforms.kantata.sandbox.rules.billing import next_invoice_number
from platforms.kantata.sandbox.rules.work import can_see_money
from platforms.kantata.sandbox.schema import TABLES, Table
from platforms.kantata.sandbox.service import Service
from platforms.kit.budget import next_turn
from platforms.kit.registry import Limits
from platforms.kit.sandbox.app import ErrorShapes, JsonResponse, SandboxApp, body_of, build_app, form_of, json_of
from platforms.kit.sandbox.faults import Faults
from platforms.kit.sandbox.service import Refusal

BASE = "/api/v1"

# The vendor publishes its numbers to customers only; these are ours, high enough for a working day and low enough to
# be felt by a client that does not pace itself.
LIMITS = Limits(requests_per_second=100.0, burst=200)
# Calls with limits of their own, per (method, collection): requests per second and burst.
SEPARATE_LIMITS: dict[tuple[str, str], tuple[float, int]] = {
    ("POST", "workspaces"): (10.0, 20),
    ("GET", "workspaces"): (40.0, 80),
    ("POST", "custom_field_values"): (10.0, 20),
    ("GET", "custom_field_values"): (40.0, 80),
}

# What each collection can do: L list, S show, C create, U update, D delete, B bulk delete by ids.
VERBS: dict[str, str] = {
    "time_entries": "LSCUDB",
    "external_references": "LSD",
    "workspaces": "LSCU",
    "invoices": "LSCUD",
    "stories": "LSCUD",
    "workspace_groups": "LSCUD",
    "custom_field_values": "LSCUD",
    "expenses": "LSCUDB",
    "users": "LS",
    "account_memberships": "LSU",
    "roles": "LSCUD",
    "participations": "LSCUD",
    "workspace_resources": "LSCUD",
    "workspace_allocations": "LSCUD",
    "assignments": "LSCUD",
    "rate_card_sets": "LSCU",
    "rate_card_set_versions": "LSCU",
    "rate_cards": "LSCUD",
    "rate_card_versions": "LSCU",
    "rate_card_roles": "LSCUD",
    "timesheet_submissions": "LSCU",
    "expense_report_submissions": "LSCU",
    "expense_categories": "LSCUD",
    "vendors": "LSCU",
    "external_payments": "LSC",
    "custom_fields": "LSCUD",
    "custom_field_choices": "LSCUD",
    "billing_milestones": "LSCUD",
    "line_item_locks": "LSC",
    "estimates": "LSCUD",
    "estimate_scenarios": "LSCUD",
    "estimate_scenario_resources": "LSCUD",
    "posts": "LSCUD",
    "project_accounting_records": "LSCUD",
    "workspace_invoice_preferences": "SCU",
    "subscribed_events": "L",
    "fixed_fee_items": "",
    "additional_items": "",
}
# Stored names that a request may not use because the vendor writes them under another name.
_WRITE_ALIASES = {"expenses": {"is_billable"}, "workspaces": {"price_in_cents", "default_rate_in_cents"}}


# Writing these takes financial access.
_FINANCE = frozenset(
    {
        "invoices",
        "external_payments",
        "billing_milestones",
        "rate_card_sets",
        "rate_card_set_versions",
        "rate_cards",
        "rate_card_versions",
        "rate_card_roles",
        "line_item_locks",
        "project_accounting_records",
        "custom_fields",
        "custom_field_choices",
    }
)


def _error(status: int, kind: str, message: str) -> Response:
    return JsonResponse({"errors": [{"type": kind, "message": message}]}, status, content_type=_CONTENT_TYPE)


_CONTENT_TYPE = "application/json; charset=utf-8"


def _refused(request: Request, refusal: Refusal) -> Response:
    if isinstance(refusal, ValidationFailed):
        errors = []
        for problem in refusal.problems:
            error: dict[str, Any] = {"type": problem.type, "message": problem.message}
            if problem.field:
                error["field"] = problem.field
            if problem.index is not None:
                error["index"] = problem.index
            errors.append(error)
        return JsonResponse({"errors": errors}, refusal.status, content_type=_CONTENT_TYPE)
    return _error(refusal.status, refusal.code, refusal.message)


SHAPES = ErrorShapes(
    throttled=lambda seconds: _error(429, "system", "Too many requests. Please try again after a small delay."),
    too_concurrent=lambda: _error(429, "system", "Too many requests. Please try again after a small delay."),
    unavailable=lambda: _error(503, "system", "Service temporarily unavailable"),
    not_found=lambda request: _error(404, "system", "Route not found"),
    method_not_allowed=lambda request: _error(404, "system", "Route not found"),
    refused=_refused,
    bad_body=lambda message: _error(400, "system", "There was a problem parsing the JSON you submitted"),
    crashed=lambda request, error: _error(500, "system", "An unexpected error occurred"),
)


def parse_form(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Rails-style form pairs as nested values: `workspace[title]=X`, `ids[]=1`, `items[][notes]=a`, `rows[0][x]=y`."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        head, _, rest = name.partition("[")
        parts = [head, *([p.rstrip("]") for p in rest.split("[")] if rest else [])]
        place: Any = root
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            if isinstance(place, list):
                # `[]` followed by a name: a new element begins when the last one has that name already.
                if last:
                    place.append(value)
                    break
                if not place or parts[index + 1] in place[-1]:
                    place.append({})
                place = place[-1]
            elif last:
                place[part] = value
            else:
                following = parts[index + 1]
                place = place.setdefault(part, [] if following == "" else {})
                if not isinstance(place, dict | list):
                    raise system("expected Hash in parameters")
    return _indexed(root)


def _indexed(value: Any) -> Any:
    """Maps whose keys are 0, 1, 2... are lists."""
    if isinstance(value, dict):
        made = {key: _indexed(item) for key, item in value.items()}
        if made and all(key.isdigit() for key in made):
            return [made[key] for key in sorted(made, key=int)]
        return {key: item for key, item in made.items() if key != ""} if set(made) != {""} else made[""]
    if isinstance(value, list):
        return [_indexed(item) for item in value]
    return value


class Kantata:
    """Request handlers over one service."""

    def __init__(self, service: Service, faults: Faults) -> None:
        self.service = service
        self.faults = faults
        self.engine = Engine(service, PRESENTERS)
        self.app: SandboxApp | None = None
        self.separate_limits = dict(SEPARATE_LIMITS)
        self._arrivals: dict[tuple[str, str], float] = {}

    # ---- who asks ---------------------------------------------------------------------------------------------

    def user(self, request: Request) -> int:
        """The user of the bearer token; 401 in the vendor's words otherwise. Tokens do not expire on this platform."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        row = self.service.store.one("SELECT user_id, revoked FROM tokens WHERE token = ?", (token.strip(),))
        if scheme.lower() != "bearer" or row is None or row["revoked"]:
            raise Refusal("oauth", "Invalid OAuth 2 Request", (), 401)
        return int(row["user_id"])

    def permission(self, user: int) -> str:
        row = self.service.store.one("SELECT permission FROM account_memberships WHERE user_id = ?", (user,))
        return str(row["permission"]) if row else ""

    def query(self, request: Request, user: int) -> Query:
        pairs = parse_qsl(request.url.query, keep_blank_values=True)
        return Query(pairs, viewer_sees_money=can_see_money(self.permission(user)))

    def pace(self, method: str, collection: str) -> None:
        """The separate limits; off when the general one is off."""
        if self.app is None or self.app.limits.requests_per_second is None:
            return
        limit = self.separate_limits.get((method, collection))
        if limit is None:
            return
        rate, burst = limit
        key = (method, collection)
        delay, arrival = next_turn(self._arrivals.get(key, 0.0), time.monotonic(), interval=1 / rate, burst=burst)
        if delay > 0:
            raise Refusal("system", "Too many requests. Please try again after a small delay.", (), 429)
        self._arrivals[key] = arrival

    # ---- the usual five ---------------------------------------------------------------------------------------

    def index(self, name: str) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            user = self.user(request)
            self.pace("GET", name)
            return _json(self.engine.index(name, self.query(request, user)))

        return handle

    def show(self, name: str) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            user = self.user(request)
            self.pace("GET", name)
            return _json(self.engine.show(name, _id(request), self.query(request, user)))

        return handle

    def create(self, name: str) -> Callable[[Request], Response]:
        table = TABLES[name]

        def handle(request: Request) -> Response:
            user = self.user(request)
            self.pace("POST", name)
            query = self.query(request, user)
            _may_write(name, query)
            body = self.body(request)
            if table.name in body and table.bulk_limit:
                ids = self.create_many(table, body[table.name], user, query)
            else:
                given = self.attributes(table, body.get(table.singular), create=True, query=query)
                ids = [self.service.insert(name, given, actor=str(user))]
            return _json(self.engine.present(name, ids, query))

        return handle

    def create_many(self, table: Table, given: Any, user: int, query: Query) -> list[str]:
        """A bulk create. An invalid record spoils all of it, unless the option `bulk_create_atomic` is `no`; a record
        that stumbles (fault `partial_batch`) is told of, while the others are made."""
        rows = list(given.values()) if isinstance(given, Mapping) else given
        if not isinstance(rows, list) or not rows:
            raise system(f"{table.name} must be an array of objects")
        if len(rows) > table.bulk_limit:
            raise system(f"At most {table.bulk_limit} {table.name} can be created in one request")
        atomic = self.service.option("bulk_create_atomic", "yes") == "yes"
        ids: list[str] = []
        problems: list[Problem] = []
        stumbled: list[Problem] = []
        with self.service.store.transaction():
            for index, row in enumerate(rows):
                try:
                    values = self.attributes(table, row, create=True, query=query)
                    if self.stumbles(table, values, index):
                        again = "Record could not be saved at this time, please try again"
                        stumbled.append(Problem(type="system", field="", message=again, index=index))
                        continue
                    with self.service.store.transaction():
                        ids.append(self.service.insert(table.name, values, actor=str(user)))
                except ValidationFailed as refused:
                    problems.extend(refused.at(index).problems)
            if problems and atomic:
                raise ValidationFailed([*problems, *stumbled])
        if problems or stumbled:
            raise ValidationFailed([*problems, *stumbled])
        return ids

    def stumbles(self, table: Table, values: Mapping[str, Any], index: int) -> bool:
        """The switchable fault of one row in a bulk call."""
        reference = values.get("external_reference") or {}
        key = str(reference.get("service_model_ref") or values.get("subject_id") or index)
        return self.faults.partial(f"{table.name}:{key}:{values.get('custom_field_id', '')}")

    def update(self, name: str) -> Callable[[Request], Response]:
        table = TABLES[name]

        def handle(request: Request) -> Response:
            user = self.user(request)
            query = self.query(request, user)
            _may_write(name, query)
            body = self.body(request)
            given = self.attributes(table, body.get(table.singular), create=False, query=query)
            id = _digits(request)
            self.service.update(name, id, given, actor=str(user))
            return _json(self.engine.present(name, [id], query))

        return handle

    def delete(self, name: str) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            user = self.user(request)
            _may_write(name, self.query(request, user))
            self.service.delete(name, _digits(request), actor=str(user))
            return Response(status_code=204)

        return handle

    def delete_many(self, name: str) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            user = self.user(request)
            given: Any = self.query(request, user).items("ids") or self.body(request).get("ids") or []
            wanted = [str(i) for i in (given.split(",") if isinstance(given, str) else given)]
            if not wanted:
                raise system("ids is required")
            if len(wanted) > 100:
                raise system("At most 100 records can be deleted in one request")
            with self.service.store.transaction():
                for id in wanted:
                    if not id.isdigit():
                        raise gone(name)
                    self.service.delete(name, id, actor=str(user))
            if name == "expenses":
                return _json({"deleted": wanted})
            return Response(status_code=204)

        return handle

    # ---- bodies -----------------------------------------------------------------------------------------------

    def body(self, request: Request) -> dict[str, Any]:
        kind = request.headers.get("content-type", "").lower()
        if "form" in kind:
            return parse_form(form_of(request))
        given = json_of(request) if body_of(request).strip() else {}
        if not isinstance(given, dict):
            raise system("The request body must be a JSON object")
        return given

    def attributes(self, table: Table, given: Any, *, create: bool, query: Query) -> dict[str, Any]:
        """What the vendor takes of a record's body; the rest is ignored."""
        if not isinstance(given, Mapping):
            raise system(f"{table.singular} is required")
        refused = _WRITE_ALIASES.get(table.name, set())
        taken: dict[str, Any] = {}
        for name, value in given.items():
            column = table.columns.get(name)
            allowed = column is not None and (column.create if create else column.update) and name not in refused
            if allowed or name in table.nested:
                taken[name] = value
        if table.name in ("time_entries", "expenses") and not query.viewer_sees_money:
            taken.pop("user_id", None)  # honoured only for callers with financial access
            taken.pop("rate_in_cents", None)
        for name in ("external_reference",):
            reference = taken.get(name)
            if isinstance(reference, Mapping):
                known = TABLES["external_references"].columns
                taken[name] = {k: v for k, v in reference.items() if k in known and known[k].update}
        return taken

    # ---- single routes ----------------------------------------------------------------------------------------

    def me(self, request: Request) -> Response:
        user = self.user(request)
        return _json(self.engine.present("users", [user], self.query(request, user)))

    def cancel_invoice(self, request: Request) -> Response:
        user = self.user(request)
        _may_write("invoices", self.query(request, user))
        self.service.act("invoice.cancel", int(_digits(request)), actor=str(user))
        return _json(self.engine.present("invoices", [_digits(request)], self.query(request, user)))

    def next_invoice_number(self, request: Request) -> Response:
        self.user(request)
        return _json({"next_invoice_number": f"{next_invoice_number(self.service):05d}"})

    def put_reference(self, request: Request) -> Response:
        user = self.user(request)
        body = self.body(request)
        given = body.get("external_reference")
        if not isinstance(given, Mapping):
            raise system("external_reference is required")
        known = TABLES["external_references"].columns
        values = {k: v for k, v in given.items() if k in known and known[k].create}
        with self.service.store.transaction():
            id = self.service.put_reference(values, user)
        return _json(self.engine.present("external_references", [id], self.query(request, user)))

    def resolve(self, collection: str, what: str) -> Callable[[Request], Response]:
        action = f"{TABLES[collection].event}.{what}"

        def handle(request: Request) -> Response:
            user = self.user(request)
            resolution = self.body(request).get("resolution") or {}
            self.service.act(action, int(_digits(request)), actor=str(user), description=resolution.get("description"))
            return _json(self.engine.present(collection, [_digits(request)], self.query(request, user)))

        return handle

    def resolve_many(self, collection: str, what: str) -> Callable[[Request], Response]:
        action = f"{TABLES[collection].event}.{what}"

        def handle(request: Request) -> Response:
            user = self.user(request)
            resolution = self.body(request).get("resolution") or {}
            given = resolution.get("submission_ids") or []
            wanted = [int(i) for i in (given.split(",") if isinstance(given, str) else given)]
            if not wanted:
                raise system("resolution.submission_ids is required")
            self.service.act(action, wanted, actor=str(user), description=resolution.get("description"))
            status = {"approve": "approved", "reject": "rejected", "cancel": "cancelled"}[what]
            return _json({"resolutions": [{"submission_id": str(i), "status": status} for i in wanted]})

        return handle

    def activate(self, request: Request) -> Response:
        user = self.user(request)
        self.service.act("rate_card_set_version.activate", int(_digits(request)), actor=str(user))
        return _json(self.engine.present("rate_card_set_versions", [_digits(request)], self.query(request, user)))

    def events(self, request: Request) -> Response:
        user = self.user(request)
        if self.permission(user) != "Account Administrator":
            raise forbidden("Only account administrators can read subscribed events")
        query = self.query(request, user)
        if query.on("most_recent") and query.on("most_recent_by_event_type"):
            raise system("most_recent and most_recent_by_event_type are mutually exclusive")
        answer = self.engine.index("subscribed_events", query)
        if self.faults.profile.duplicate_delivery:
            # The vendor says that an event may come twice; every third does when the fault is on.
            again = [item for item in answer["results"] if int(item["id"]) % 3 == 0]
            answer["results"] = [*answer["results"], *again]
        return _json(answer)

    def event_types(self, request: Request) -> Response:
        self.user(request)
        types = sorted(
            f"{table.event}:{what}"
            for table in TABLES.values()
            if table.event
            for what in ("created", "updated", "deleted")
        )
        return _json({"event_types": [{"event_type": name, "payload_fields": {}} for name in types]})

    def exchange_rates(self, request: Request) -> Response:
        user = self.user(request)
        scope: list[Clause] = [("t.exchange_table_id = ?", (int(_digits(request)),))]
        return _json(self.engine.index("exchange_rates", self.query(request, user), scope))

    def authorize(self, request: Request) -> Response:
        """The consent screen, already consented: redirects with a one-time code for the integration user."""
        meta = self.service.store.meta
        params = request.query_params
        if params.get("client_id") != meta["client_id"] or params.get("response_type") != "code":
            return JsonResponse({"error": "invalid_client"}, 401)
        number = self.service.store.next_number("oauth_code")
        code = f"code-{meta['seed']}-{number:06d}"
        self.service.store.write(
            "INSERT INTO oauth_codes (code, user_id) VALUES (?, ?)", (code, int(meta["integration_user_id"]))
        )
        target = params.get("redirect_uri", "")
        joiner = "&" if "?" in target else "?"
        state = f"&state={params['state']}" if "state" in params else ""
        return Response(status_code=302, headers={"location": f"{target}{joiner}code={code}{state}"})

    def token(self, request: Request) -> Response:
        """`grant_type` authorization_code or client_credentials; the token does not expire."""
        meta = self.service.store.meta
        given = dict(form_of(request))
        if given.get("client_id") != meta["client_id"] or given.get("client_secret") != meta["client_secret"]:
            return JsonResponse({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
        grant = given.get("grant_type")
        if grant == "authorization_code":
            row = self.service.store.one("SELECT used FROM oauth_codes WHERE code = ?", (given.get("code", ""),))
            if row is None or row["used"]:
                return JsonResponse({"error": "invalid_grant", "error_description": "The code is not valid"}, 400)
            self.service.store.write("UPDATE oauth_codes SET used = 1 WHERE code = ?", (given["code"],))
        elif grant != "client_credentials":
            return JsonResponse({"error": "unsupported_grant_type"}, 400)
        return JsonResponse({"access_token": meta["token"], "token_type": "bearer"})


def _json(content: Any, status: int = 200) -> Response:
    return JsonResponse(content, status, content_type=_CONTENT_TYPE)


def _may_write(collection: str, query: Query) -> None:
    if collection in _FINANCE and not query.viewer_sees_money:
        raise forbidden()


def _id(request: Request) -> str:
    return str(request.path_params["id"]).removesuffix(".json")


def _digits(request: Request) -> str:
    id = _id(request)
    if not id.isdigit():
        raise gone("record")
    return id


def routes(face: Kantata) -> list[Route]:
    """Every path, with and without `.json`. Fixed words come before `{id}`."""
    made: list[Route] = []

    def add(path: str, handler: Callable[[Request], Response], *methods: str) -> None:
        for suffix in ("", ".json") if not path.endswith("{id}") else ("",):
            made.append(Route(f"{BASE}/{path}{suffix}", handler, methods=list(methods)))

    add("users/me", face.me, "GET")
    add("invoices/next_invoice_number", face.next_invoice_number, "GET")
    add("invoices/{id}/cancel", face.cancel_invoice, "PUT", "POST")
    add("external_references/create_or_update", face.put_reference, "POST")
    add("rate_card_set_versions/{id}/activate", face.activate, "PUT", "POST")
    add("subscribed_events/event_types", face.event_types, "GET")
    add("foreign_exchange/exchange_tables/{id}/rates", face.exchange_rates, "GET")
    add("foreign_exchange/exchange_tables", face.index("exchange_tables"), "GET")
    add("foreign_exchange/exchange_tables/{id}", face.show("exchange_tables"), "GET")
    for collection in ("timesheet_submissions", "expense_report_submissions"):
        prefix = TABLES[collection].event
        for what, noun in (("approve", "approvals"), ("reject", "rejections"), ("cancel", "cancellations")):
            add(f"{collection}/{{id}}/{what}", face.resolve(collection, what), "PUT")
            add(f"{prefix}_{noun}", face.resolve_many(collection, what), "POST")
    for name, verbs in VERBS.items():
        if "L" in verbs:
            add(name, face.events if name == "subscribed_events" else face.index(name), "GET")
        if "C" in verbs:
            add(name, face.create(name), "POST")
        if "B" in verbs:
            add(name, face.delete_many(name), "DELETE")
        if "S" in verbs:
            add(f"{name}/{{id}}", face.show(name), "GET")
        if "U" in verbs:
            add(f"{name}/{{id}}", face.update(name), "PUT", "PATCH")
        if "D" in verbs:
            add(f"{name}/{{id}}", face.delete(name), "DELETE")
    made.append(Route("/oauth/authorize", face.authorize, methods=["GET"]))
    made.append(Route("/oauth/token", face.token, methods=["POST"]))
    return made


def create_app(service: Any, faults: Faults) -> SandboxApp:
    """The ASGI app over a `Service` of this room."""
    face = Kantata(service, faults)

    def runtime(request: Request, response: Response) -> None:
        response.headers["x-runtime"] = "0.004"

    app = build_app(
        "kantata",
        routes(face),
        service.store,
        faults,
        LIMITS,
        SHAPES,
        every_answer=runtime,
        limited=lambda request: request.url.path.startswith(BASE),
    )
    face.app = app
    return app
