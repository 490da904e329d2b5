"""NetSuite over SuiteTalk REST: SuiteQL for reading, the record service and its asynchronous batches for writing.

    connect(settings, context) -> NetSuiteClient
    client.suiteql("SELECT id FROM customer WHERE id > ?", ["7"])     pages of rows, values as text
    client.suiteql_keyset("SELECT id, entityid FROM customer", "id")  the same for results of any size
    client.get / create / patch / upsert / delete / transform         one record
    client.submit_batch(...) -> job id; job, tasks, task_result       up to 100 records as one job

SuiteQL gives every scalar as text and leaves nulls out; nothing is converted here. A query may give 100,000 rows at
most (the rest is silently missing), so whatever may grow is read by `suiteql_keyset`, which starts again behind the
last key.
Run alone: `python -c` with `platforms.kit.registry.spec("netsuite").connect(...)`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import jwt
from authlib.oauth1 import ClientAuth
from authlib.oauth1.rfc5849.signature import generate_signature_base_string
from authlib.oauth1.rfc5849.util import escape

from platforms.kit import jsonio
from platforms.kit.auth import Token, TokenAuth
from platforms.kit.context import ClientContext
from platforms.kit.errors import (
    AskPerson,
    BadAnswer,
    Conflict,
    Gone,
    PlatformError,
    Refused,
    Retry,
    Wait,
)
from platforms.kit.http import ApiClient
from platforms.kit.paging import prefetch
from platforms.kit.registry import Finding, Limits, PlatformSpec, Setting
from platforms.kit.secrets import Secret

PAGE = 1000
ROWS_PER_QUERY = 100_000
BATCH = 100
IN_LIMIT = 1000
_ROOT = "/services/rest"
_RECORD = f"{_ROOT}/record/v1"
_JOB = f"{_ROOT}/async/v1/job"
_TOKEN = f"{_ROOT}/auth/oauth2/v1/token"
_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

Row = dict[str, str]


# -- logging in --------------------------------------------------------------------------------------------------------


def _hmac_sha256(signer: Any, request: Any) -> str:
    base = generate_signature_base_string(request)
    key = f"{escape(signer.client_secret or '')}&{escape(signer.token_secret or '')}"
    return base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha256).digest()).decode()


class _Signer(ClientAuth):
    """Authlib's signer with the one method that NetSuite takes."""

    SIGNATURE_METHODS = {"HMAC-SHA256": _hmac_sha256}


class TbaAuth(httpx.Auth):
    """Token-based authentication: every request, and every retry of it, is signed anew (OAuth 1.0, HMAC-SHA256)."""

    requires_request_body = True

    def __init__(
        self, *, account_id: str, consumer_key: Secret, consumer_secret: Secret, token_id: Secret, token_secret: Secret
    ) -> None:
        self._account = account_id
        self._keys = (consumer_key, consumer_secret, token_id, token_secret)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the Authorization header on."""
        key, secret, token, token_secret = (part.reveal() for part in self._keys)
        signer = _Signer(
            key, client_secret=secret, token=token, token_secret=token_secret, realm=self._account,
            signature_method="HMAC-SHA256", force_include_body=False,
        )  # fmt: skip
        # The body is not part of the signature, so the signer gets none.
        _, headers, _ = signer.sign(request.method, str(request.url), {}, b"")
        request.headers["Authorization"] = headers["Authorization"]
        yield request


def _m2m_fetch(
    settings: Mapping[str, str | Secret], token_url: str, audience: str, context: ClientContext
) -> Callable[[httpx.Client], Token]:
    """How an access token is got: an assertion signed with the connection's private key."""

    def fetch(client: httpx.Client) -> Token:
        now = context.clock().astimezone(UTC)
        pem = _reveal(settings["private_key"]).replace("\\n", "\n")
        try:
            assertion = jwt.encode(
                {
                    "iss": _reveal(settings["client_id"]),
                    "scope": ["rest_webservices"],
                    "aud": audience,
                    "iat": int(now.timestamp()),
                    "exp": int((now + timedelta(minutes=30)).timestamp()),
                    "jti": secrets.token_hex(8),
                },
                pem,
                algorithm=_algorithm(pem),
                headers={"kid": _reveal(settings["certificate_id"])},
            )
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise AskPerson(
                f"the private key cannot be used to sign ({type(error).__name__})",
                platform="netsuite", connection=context.connection,
                next_step="Set private_key to the PEM whose certificate was uploaded for the M2M mapping (EC or RSA).",
            ) from error  # fmt: skip
        response = client.post(
            token_url,
            data={
                "grant_type": "client_credentials",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": assertion,
            },
        )
        return _token_of(response, context)

    return fetch


def _algorithm(pem: str) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem.encode(), password=None)
    if isinstance(key, rsa.RSAPrivateKey):
        return "PS256"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}.get(key.curve.name, "ES256")
    raise ValueError("neither RSA nor EC")


def _token_of(response: httpx.Response, context: ClientContext) -> Token:
    def failure(kind: type[PlatformError], message: str, code: str = "", next_step: str = "") -> PlatformError:
        return kind(
            message,
            platform="netsuite",
            connection=context.connection,
            status=response.status_code,
            code=code,
            next_step=next_step,
        )

    if response.status_code == 429:
        raise failure(Wait, "the token endpoint asks for a pause")
    if response.status_code >= 500:
        raise failure(Retry, f"the token endpoint answered {response.status_code}")
    try:
        body = jsonio.loads(response.content)
        if not isinstance(body, Mapping):
            raise ValueError("no object")
    except ValueError as error:
        raise failure(BadAnswer, f"{response.request.url.host} did not answer with a token") from error
    if response.status_code != 200 or "access_token" not in body:
        code = str(body.get("error", response.status_code))
        step = _TOKEN_STEPS.get(code, "Check the OAuth 2.0 client credentials of this connection.")
        raise failure(AskPerson, f"no access token is given out: {code}", code, step)
    expires = context.clock() + timedelta(seconds=int(str(body.get("expires_in", 3600))))
    return Token(access_token=str(body["access_token"]), expires_at=expires)


_TOKEN_STEPS: Mapping[str, str] = {
    "invalid_client": "Check client_id and certificate_id; the M2M mapping may be revoked or its certificate expired.",
    "invalid_grant": "Check that private_key belongs to the uploaded certificate and that the clock is right.",
    "invalid_scope": "Tick REST Web Services in the integration record's OAuth 2.0 scopes.",
}


def _reveal(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


# -- what an answer means ----------------------------------------------------------------------------------------------

_CLOSED = ("closed", "locked for accounts receivable", "posting period")


def classify(response: httpx.Response) -> PlatformError | None:
    """The error an answer stands for, by what to do next; None when it is a success."""
    if response.status_code < 300:
        return None
    return error_of(response.status_code, _json(response), response.headers)


def _json(response: httpx.Response) -> Any:
    try:
        return jsonio.loads(response.content) if response.content else None
    except ValueError:
        return None


def error_of(status: int, body: Any, headers: Mapping[str, str] | None = None) -> PlatformError | None:
    """The same for a status and body taken apart (task results of a batch). None: the status alone must tell."""
    details = body.get("o:errorDetails") if isinstance(body, Mapping) else None
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], Mapping) else {}
    code = str(first.get("o:errorCode") or (body.get("o:errorCode", "") if isinstance(body, Mapping) else ""))
    if not code and status not in (401, 429):
        return None
    detail = str(first.get("detail", "")) or f"HTTP {status}"
    paths = tuple(str(d["o:errorPath"]) for d in details or () if isinstance(d, Mapping) and d.get("o:errorPath"))
    kind, step = _meaning(status, code, detail)
    found = kind(detail, status=status, code=code or str(status), fields=paths, next_step=step)
    if code == "IDEMPOTENCY_ERROR" and headers is not None:
        found.record = str(headers.get("location", "")).rstrip("/").rsplit("/", 1)[-1]
    return found


def _meaning(status: int, code: str, detail: str) -> tuple[type[PlatformError], str]:
    text = detail.lower()
    if status == 429 or code in ("CONCURRENCY_LIMIT_EXCEEDED", "SSS_REQUEST_LIMIT_EXCEEDED"):
        return Wait, ""
    if status == 401 or code == "INVALID_LOGIN":
        return AskPerson, (
            "Look at the Login Audit Trail in NetSuite: revoked token, wrong role, or a clock that "
            "is more than five minutes off."
        )
    if status == 403 or code == "INSUFFICIENT_PERMISSION":
        return AskPerson, "Give the integration's role the permission that the message names."
    if code == "IDEMPOTENCY_ERROR":
        return Conflict, "Nothing to do; the first job with this key is asked for its result."
    if code == "RCRD_HAS_BEEN_CHANGED":
        return Conflict, ""
    if status == 404 or code == "NONEXISTENT_ID":
        return Gone, ""
    if code == "UNEXPECTED_ERROR" or status >= 500:
        return Retry, ""
    if ("external id" in text and "already exists" in text) or code.startswith("DUP_"):
        return Conflict, ""
    if code == "USER_ERROR" and any(word in text for word in _CLOSED) and "period" in text:
        return AskPerson, "Finance decides: reopen the period in NetSuite, or let the document be dated in an open one."
    if code == "USER_ERROR" and "inactive" in text:
        return AskPerson, "Finance decides: activate the record in NetSuite, or correct what refers to it."
    return Refused, ""


# -- the client --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of a query."""

    rows: list[Row]
    total: int
    more: bool


@dataclass(frozen=True, kw_only=True)
class Job:
    """An asynchronous job: whether it is done, and whether all, some or none of it worked as far as the vendor says."""

    id: str
    completed: bool
    progress: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """One record of a batch. `position` counts from 1 in the order the records were sent."""

    position: int
    completed: bool
    progress: str = ""

    @property
    def failed(self) -> bool:
        """Whether the vendor says that this record failed."""
        return self.completed and self.progress == "failed"


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What the same request would have been answered at once: an id, or an error."""

    position: int
    record_id: str | None = None
    error: PlatformError | None = field(default=None, repr=False)


class NetSuiteClient:
    """One connection to one account. Thread-safe. `api.calls` counts what was sent; polls are counted apart."""

    def __init__(self, settings: Mapping[str, str | Secret], context: ClientContext) -> None:
        self.context = context
        self.account_id = _reveal(settings["account_id"])
        base = _reveal(settings.get("base_url") or f"https://{_host_label(self.account_id)}.suitetalk.api.netsuite.com")
        flow = _reveal(settings.get("auth_flow") or "oauth2_m2m")
        needed = {
            "tba": ("consumer_key", "consumer_secret", "token_id", "token_secret"),
            "oauth2_m2m": ("client_id", "certificate_id", "private_key"),
        }.get(flow)
        if needed is None:
            raise self._ask(f"auth_flow is '{flow}'", "Set auth_flow to oauth2_m2m or tba.")
        missing = [name for name in needed if not settings.get(name)]
        if missing:
            raise self._ask(
                f"{', '.join(missing)} missing for auth_flow {flow}",
                f"Set {', '.join(f'CONNECTIONS__{context.connection.upper()}__{name.upper()}' for name in missing)}.",
            )
        auth: httpx.Auth
        if flow == "tba":
            auth = TbaAuth(
                account_id=self.account_id,
                **{name: _secret(settings[name]) for name in needed},
            )
        else:
            token_url = f"{base.rstrip('/')}{_TOKEN}"
            auth = TokenAuth(_m2m_fetch(settings, token_url, token_url, context), clock=context.clock)
        self.flow = flow
        self.api = ApiClient("netsuite", base, auth, classify, context)

    def _ask(self, message: str, step: str) -> AskPerson:
        return AskPerson(message, platform="netsuite", connection=self.context.connection, next_step=step)

    def close(self) -> None:
        """Close the connections."""
        self.api.close()

    def __enter__(self) -> NetSuiteClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def parallel(self) -> int:
        """Requests worth sending at once: the budget's concurrency less one for the writers, at least one."""
        budget = self.context.budget
        allowed = getattr(budget, "concurrency", None) or LIMITS.concurrency or 5
        return max(1, int(allowed) - 1)

    # -- SuiteQL ----------------------------------------------------------------------------------------------------

    def suiteql_page(self, query: str, params: Sequence[Any] = (), *, limit: int = PAGE, offset: int = 0) -> Page:
        """One page of a query. Values are text, nulls are absent."""
        body: dict[str, Any] = {"q": query}
        if params:
            body["params"] = [_parameter(value) for value in params]
        response = self.api.request(
            "POST", f"{_ROOT}/query/v1/suiteql", params={"limit": limit, "offset": offset}, json=body,
            headers={"Prefer": "transient"}, idempotent=True, kind="read",
        )  # fmt: skip
        answer = self.api.json(response)
        if not isinstance(answer, Mapping) or not isinstance(answer.get("items"), list):
            raise self.api.error(BadAnswer, "the answer to a query has no items")
        rows = []
        for item in answer["items"]:
            item.pop("links", None)
            rows.append(item)
        return Page(rows=rows, total=int(answer.get("totalResults", len(rows))), more=bool(answer.get("hasMore")))

    def suiteql(self, query: str, params: Sequence[Any] = ()) -> Iterator[list[Row]]:
        """The pages of a query in order, at most 100,000 rows in all; later pages are fetched in parallel.

        Refuses (BadAnswer) a result that fills the vendor's cap: rows beyond it would be missing without a word.
        """
        yield from self._pages(query, params, refuse_full=True)

    def _pages(self, query: str, params: Sequence[Any], *, refuse_full: bool) -> Iterator[list[Row]]:
        first = self.suiteql_page(query, params)
        if refuse_full and first.total >= ROWS_PER_QUERY:
            raise self.api.error(
                BadAnswer,
                f"the query gives {first.total} rows or more; NetSuite returns at most "
                f"{ROWS_PER_QUERY} and drops the rest",
                next_step="Read it with suiteql_keyset, or narrow the query.",
            )
        yield first.rows
        if not first.more:
            return
        offsets = range(PAGE, min(first.total, ROWS_PER_QUERY), PAGE)
        with ThreadPoolExecutor(min(self.parallel, len(offsets)), thread_name_prefix="suiteql") as pool:
            waiting: list[Any] = []
            ahead = iter(offsets)
            try:
                for offset in ahead:
                    waiting.append(pool.submit(self.suiteql_page, query, params, offset=offset))
                    if len(waiting) > self.parallel:
                        yield waiting.pop(0).result().rows
                while waiting:
                    yield waiting.pop(0).result().rows
            finally:
                for future in waiting:
                    future.cancel()

    def suiteql_keyset(
        self, select: str, key: str, params: Sequence[Any] = (), *, where: str = "", after: str | int | None = None,
        output: str | None = None,
    ) -> Iterator[list[Row]]:  # fmt: skip
        """Pages of a result of any size, in the order of a unique numeric `key`.

        `select` is the query up to its WHERE; `where` further conditions, whose `?` stand for `params`. `key` is the
        column as written in the query (`t.id`), `output` its name in the result (default: what follows the dot).
        """
        name = output or key.rpartition(".")[2].lower()
        last = after
        while True:
            conditions = [f"({where})"] if where else []
            given = list(params)
            if last is not None:
                conditions.append(f"{key} > ?")
                given.append(str(last))
            clause = f" WHERE {' AND '.join(conditions)}" if conditions else ""
            count = 0
            for rows in prefetch(self._pages(f"{select}{clause} ORDER BY {key}", given, refuse_full=False)):
                count += len(rows)
                if rows:
                    last = rows[-1].get(name)
                    yield rows
            if count < ROWS_PER_QUERY:
                return
            if last is None:
                raise self.api.error(BadAnswer, f"the key column {name} is missing in the result")

    def find_by_external_ids(
        self, type: str, ids: Sequence[str], columns: Sequence[str] = ("id",)
    ) -> dict[str, list[Row]]:
        """Records of a REST type by external id: {external id: [rows]}, every id answered; at most 1000 ids."""
        if len(ids) > IN_LIMIT:
            raise ValueError(f"{len(ids)} external ids; SuiteQL takes {IN_LIMIT} in one list")
        found: dict[str, list[Row]] = {id: [] for id in ids}
        if not ids:
            return found
        table, condition = _table_of(type)
        marks = ", ".join("?" * len(ids))
        wanted = list(dict.fromkeys(["id", "externalid", *(c.lower() for c in columns)]))
        query = f"SELECT {', '.join(wanted)} FROM {table} WHERE externalid IN ({marks}){condition} ORDER BY id"
        for rows in self.suiteql(query, list(ids)):
            for row in rows:
                found.setdefault(row.get("externalid", ""), []).append(row)
        return found

    def newest_change(self, tables: Mapping[str, str]) -> dict[str, datetime | None]:
        """The newest moment in each table's cursor column ({table: column}), aware UTC, by one query."""
        if not tables:
            return {}
        parts = [
            f"SELECT '{table}' AS name, TO_CHAR(MAX({column}), 'YYYY-MM-DD HH24:MI:SS') AS newest FROM {table}"
            for table, column in tables.items()
        ]
        out: dict[str, datetime | None] = dict.fromkeys(tables)
        for row in self.suiteql_page(" UNION ALL ".join(parts)).rows:
            text = row.get("newest")
            out[row["name"]] = datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
        return out

    # -- records ----------------------------------------------------------------------------------------------------

    def get(self, type: str, id: str, *, expand: bool = False, fields: Sequence[str] = ()) -> dict[str, Any]:
        """A record by id, or by external id as `eid:X`. Raises Gone."""
        params: dict[str, str] = {}
        if expand:
            params["expandSubResources"] = "true"
        if fields:
            params["fields"] = ",".join(fields)
        response = self.api.request("GET", f"{_RECORD}/{type}/{_segment(id)}", params=params or None, idempotent=True)
        body = self.api.json(response)
        if not isinstance(body, dict):
            raise self.api.error(BadAnswer, f"the answer to GET {type}/{id} is no record")
        return body

    def list_ids(self, type: str, q: str = "") -> Iterator[list[str]]:
        """The ids of a collection, filtered by `q`, page by page. SuiteQL reads better; this needs no query right."""
        offset = 0
        while True:
            params: dict[str, Any] = {"limit": PAGE, "offset": offset} | ({"q": q} if q else {})
            answer = self.api.json(self.api.request("GET", f"{_RECORD}/{type}", params=params, idempotent=True))
            yield [str(item["id"]) for item in answer["items"]]
            if not answer.get("hasMore"):
                return
            offset += PAGE

    def create(self, type: str, body: Mapping[str, Any]) -> str:
        """POST one record; returns its id. Never sent twice on its own: Uncertain when no answer came."""
        response = self.api.request("POST", f"{_RECORD}/{type}", json=body, idempotent=False, headers=_STRICT)
        return self._made(response)

    def upsert(self, type: str, external_id: str, body: Mapping[str, Any], *, replace: Sequence[str] = ()) -> str:
        """PUT by external id; returns the id. Safe to repeat, except for sublists that are not in `replace`."""
        params = {"replace": ",".join(replace)} if replace else None
        response = self.api.request(
            "PUT", f"{_RECORD}/{type}/eid:{quote(external_id, safe='')}", json=body, params=params, idempotent=True,
            headers=_STRICT,
        )  # fmt: skip
        return self._made(response)

    def patch(self, type: str, id: str, body: Mapping[str, Any], *, replace: Sequence[str] = ()) -> str:
        """PATCH fields of one record by id or `eid:X`; returns the id."""
        params = {"replace": ",".join(replace)} if replace else None
        response = self.api.request(
            "PATCH", f"{_RECORD}/{type}/{_segment(id)}", json=body, params=params, idempotent=True, headers=_STRICT
        )
        return self._made(response)

    def delete(self, type: str, id: str) -> None:
        """DELETE one record by id or `eid:X`. Raises Gone when it is not there (any more)."""
        self.api.request("DELETE", f"{_RECORD}/{type}/{_segment(id)}", idempotent=True)

    def transform(self, source: str, id: str, target: str, body: Mapping[str, Any] | None = None) -> str:
        """Make a record of type `target` from a source record; returns its id."""
        response = self.api.request(
            "POST", f"{_RECORD}/{source}/{_segment(id)}/!transform/{target}", json=body or {}, idempotent=False
        )
        return self._made(response)

    def _made(self, response: httpx.Response) -> str:
        location = response.headers.get("location", "")
        id = location.rstrip("/").rsplit("/", 1)[-1]
        if response.status_code not in (200, 204) or not id.isdigit():
            raise self.api.error(
                BadAnswer, f"the answer {response.status_code} names no record (Location: {location!r})"
            )
        return str(id)

    # -- batches ----------------------------------------------------------------------------------------------------

    def submit_batch(
        self,
        type: str,
        items: Sequence[Mapping[str, Any]],
        method: str,
        idempotency_key: str,
        *,
        replace: Sequence[str] = (),
    ) -> str:
        """Send up to 100 records as one job; returns the job's id.

        The vendor takes each `idempotency_key` once: sending the same call again answers with the first job's id, so
        this is safe to repeat after a lost answer. `method` is POST (create), PUT (by externalId) or PATCH (by id).
        """
        if not 1 <= len(items) <= BATCH:
            raise ValueError(f"{len(items)} records; a batch has 1 to {BATCH}")
        headers = {
            "Prefer": "respond-async",
            "Content-Type": "application/vnd.oracle.resource+json; type=collection",
            "X-NetSuite-Idempotency-Key": idempotency_key,
            **_STRICT,
        }
        try:
            response = self.api.request(
                method, f"{_RECORD}/{type}", json={"items": list(items)}, headers=headers, idempotent=True,
                params={"replace": ",".join(replace)} if replace else None,
            )  # fmt: skip
        except Conflict as conflict:
            if conflict.code == "IDEMPOTENCY_ERROR" and conflict.record.isdigit():
                return conflict.record
            raise
        location = response.headers.get("location", "")
        id = location.rstrip("/").rsplit("/", 1)[-1]
        if response.status_code != 202 or not id.isdigit():
            raise self.api.error(BadAnswer, f"the answer {response.status_code} to a batch names no job ({location!r})")
        return str(id)

    def job(self, id: str) -> Job:
        """How a job is doing. Counted as a poll."""
        body = self.api.json(self.api.request("GET", f"{_JOB}/{id}", idempotent=True, kind="poll"))
        return Job(id=str(id), completed=bool(body.get("completed")), progress=str(body.get("progress", "")))

    def wait_for(self, id: str, *, timeout: float = 600.0, first_pause: float = 0.05) -> Job:
        """Poll until the job is done, with growing pauses; Retry when it is not within `timeout` seconds of pausing."""
        paused, pause = 0.0, first_pause
        while True:
            job = self.job(id)
            if job.completed:
                return job
            if paused >= timeout:
                raise self.api.error(Retry, f"job {id} is not done after {paused:.0f} s ({job.progress})")
            self.context.sleep(pause)
            paused += pause
            pause = min(5.0, pause * 2)

    def tasks(self, id: str) -> list[Task]:
        """The tasks of a job, one per record; where the list holds only links, tasks say nothing of their outcome."""
        body = self.api.json(self.api.request("GET", f"{_JOB}/{id}/task", idempotent=True, kind="poll"))
        out = []
        for n, item in enumerate(body.get("items", ()), 1):
            links = item.get("links") or [{}]
            text = str(item.get("id") or str(links[0].get("href", n)).rstrip("/").rsplit("/", 1)[-1])
            out.append(
                Task(
                    position=int(text) if text.isdigit() else n,
                    completed=bool(item.get("completed", False)),
                    progress=str(item.get("progress", "")),
                )
            )
        return out

    def task_result(self, id: str, position: int) -> TaskResult:
        """What became of one record of a job. A refused record's error is returned, not raised."""
        try:
            response = self.api.request("GET", f"{_JOB}/{id}/task/{position}/result", idempotent=True, kind="poll")
        except (Refused, AskPerson, Wait, Retry) as error:
            if error.status is None or error.code in ("", "INVALID_LOGIN"):
                raise
            return TaskResult(position=position, error=error)
        location = response.headers.get("location", "")
        return TaskResult(position=position, record_id=location.rstrip("/").rsplit("/", 1)[-1] or None)

    # -- system -----------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """The cheapest call that needs valid credentials."""
        self.api.json(self.api.request("GET", f"{_ROOT}/system/v1/serverTime", idempotent=True))

    @property
    def server_time(self) -> datetime | None:
        """The vendor's clock at the last answer (aware UTC), None before the first."""
        return self.api.server_time

    def governance(self) -> dict[str, Any]:
        """The account's concurrency limits; AskPerson for roles that may not see them."""
        body = self.api.json(self.api.request("GET", f"{_ROOT}/system/v1/governanceLimits", idempotent=True))
        return dict(body)

    def record_types(self, select: Sequence[str] = ()) -> list[str]:
        """The names of the record types there are (of `select`, when given)."""
        params = {"select": ",".join(select)} if select else None
        body = self.api.json(self.api.request("GET", f"{_RECORD}/metadata-catalog", params=params, idempotent=True))
        return [str(item["name"]) for item in body.get("items", ())]

    def describe(self, type: str) -> dict[str, Any]:
        """The JSON Schema of a record type."""
        response = self.api.request(
            "GET", f"{_RECORD}/metadata-catalog/{type}", headers={"Accept": "application/schema+json"}, idempotent=True
        )
        return dict(self.api.json(response))


# A misspelt field is an error here, not a warning that nobody reads.
_STRICT = {"X-NetSuite-PropertyNameValidation": "error"}
_TRANSACTIONS = {
    "invoice": "CustInvc",
    "creditmemo": "CustCred",
    "customerpayment": "CustPymt",
    "expensereport": "ExpRept",
    "salesorder": "SalesOrd",
    "estimate": "Estimate",
    "opportunity": "Opprtnty",
}
_ITEMS = ("serviceSaleItem", "serviceResaleItem", "nonInventorySaleItem", "otherChargeSaleItem")


def table_of(type: str) -> tuple[str, str]:
    """The SuiteQL table of a REST record type, and a condition (' AND ...') that picks it out of the table."""
    kind = _TRANSACTIONS.get(type.lower())
    if kind is not None:
        return "transaction", f" AND type = '{kind}'"
    if type.lower() in {name.lower() for name in _ITEMS}:
        return "item", ""
    return type.lower(), ""


_table_of = table_of


def _parameter(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return str(value) if isinstance(value, Decimal) else value


def _segment(id: str) -> str:
    head, mark, tail = id.partition(":")
    return f"eid:{quote(tail, safe='')}" if mark and head.lower() == "eid" else quote(id, safe="")


def _host_label(account: str) -> str:
    return account.lower().replace("_", "-")


def _secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


# -- looking whether all is set up -------------------------------------------------------------------------------------

_SET_UP = {
    "custentity": "Customization > Lists, Records, & Fields > Entity Fields > New: type Free-Form Text, applied to "
    "Customer, with Store Value ticked.",
    "custbody": "Customization > Lists, Records, & Fields > Transaction Body Fields > New: type "
    "Free-Form Text, applied to "
    "Sale, with Store Value ticked.",
    "custcol": "Customization > Lists, Records, & Fields > Transaction Line Fields > New: type "
    "Free-Form Text, applied to "
    "Sale Item, with Store Value ticked.",
}


# What to do about a record that is missing, by record type.
_MAKE = {
    "subsidiary": "Set the external ID of the subsidiary (Setup > Company > Subsidiaries).",
    "serviceSaleItem": "Create a Service for Sale item with this external ID (Lists > Accounting > Items > New).",
}


def examine(client: NetSuiteClient, requirements: Mapping[str, Any]) -> list[Finding]:
    """What stands between this connection and a working sync, each with what to do about it.

    `requirements`, all optional: {"read": {SuiteQL table: columns}, "write": {record type: field paths},
    "records": {record type: external ids that must exist}}. Stops at credentials that do not work; everything else is
    reported together. Nothing is written, so whether the role may create a record shows at the first create.
    """
    findings: list[Finding] = []
    try:
        client.ping()
    except AskPerson as error:
        return [Finding(level="error", what=f"cannot log in: {error.message}", fix=error.next_step)]
    except PlatformError as error:
        return [Finding(level="error", what=f"cannot be reached: {error.message}", fix=error.next_step)]
    findings.append(Finding(level="ok", what=f"logged in to account {client.account_id} by {client.flow}"))
    if client.flow == "tba":
        findings.append(
            Finding(
                level="warning",
                what="token-based authentication" + _clock_difference(client),
                fix="NetSuite ends TBA for REST with release 2028.1, and takes no new TBA integrations from 2027.1: "
                "move to oauth2_m2m.",
            )
        )
    reads, writes = requirements.get("read") or {}, requirements.get("write") or {}
    missing: set[str] = set()
    findings += _readable(client, reads, missing)
    findings += _writable(client, writes, missing)
    for type, ids in (requirements.get("records") or {}).items():
        findings += _known_ids(client, type, list(ids))
    findings.append(_concurrency(client))
    return findings


def _clock_difference(client: NetSuiteClient) -> str:
    """Signed requests are refused when the clocks differ by more than five minutes."""
    if client.server_time is None:
        return ""
    ahead = abs((client.server_time - client.context.clock()).total_seconds())
    return f"; the server's clock differs by {ahead:.0f} s"


def _readable(client: NetSuiteClient, tables: Mapping[str, Sequence[str]], missing: set[str]) -> list[Finding]:
    """Each table with its columns by one query; only where that is refused, column by column."""
    out = []
    for table, columns in tables.items():
        try:
            _probe(client, table, columns)
        except AskPerson as error:
            fix = f"{error.next_step} Needed: SuiteAnalytics Workbook, and View on what the table {table} shows."
            out.append(Finding(level="error", what=f"{table} cannot be read: {error.message}", fix=fix))
        except Refused as error:
            absent = [column for column in columns if not _has(client, table, column)]
            if not absent or len(absent) == len(columns):
                out.append(Finding(level="error", what=f"{table} cannot be read: {error.message}",
                                   fix="Enable the feature it belongs to, or give the role View on it."))  # fmt: skip
            else:
                out += [_no_column(table, column) for column in absent]
                missing.update(absent)
        except PlatformError as error:
            out.append(Finding(level="error", what=f"{table} cannot be read: {error.message}", fix=error.next_step))
    if out or not tables:
        return out
    count = sum(len(columns) for columns in tables.values())
    return [Finding(level="ok", what=f"{len(tables)} tables with {count} columns can be read by SuiteQL")]


def _probe(client: NetSuiteClient, table: str, columns: Sequence[str]) -> None:
    client.suiteql_page(f"SELECT {', '.join(columns) or 'id'} FROM {table}", limit=1)


def _has(client: NetSuiteClient, table: str, column: str) -> bool:
    try:
        _probe(client, table, [column])
    except Refused:
        return False
    return True


def _no_column(table: str, column: str) -> Finding:
    """A custom field has to be made; a standard one may belong to a feature the account does without."""
    if column.startswith("cust"):
        return Finding(level="error", what=f"{table} has no field {column}", fix=_how_to_make(column))
    return Finding(level="warning", what=f"{table} has no column {column}; it is read as empty",
                   fix="Nothing, if the account does without its feature; else give the role View on it.")  # fmt: skip


def _how_to_make(name: str) -> str:
    found = (text for start, text in _SET_UP.items() if name.rpartition(".")[2].startswith(start))
    return next(found, "Check the spelling, and the features enabled in the account.")


def _writable(client: NetSuiteClient, fields: Mapping[str, Sequence[str]], missing: set[str]) -> list[Finding]:
    """Whether all written fields exist; one that is `missing` from the tables was told of already."""
    out = []
    for type, names in fields.items():
        try:
            known = fields_of(client.describe(type))
        except PlatformError as error:
            out.append(Finding(level="error", what=f"record type {type}: {error.message}",
                               fix=f"Give the role Edit on {type} and enable REST Web Services."))  # fmt: skip
            continue
        for name in names:
            if name.lower() not in known and name.lower() not in missing:
                out.append(Finding(level="error", what=f"{type} has no field {name}", fix=_how_to_make(name)))
            elif not known.get(name.lower(), True):
                fix = "Take it out of the sync's fields, or let the account's forms edit it."
                out.append(Finding(level="error", what=f"{type}.{name} is read-only in this account", fix=fix))
    if out or not fields:
        return out
    count = sum(len(names) for names in fields.values())
    return [Finding(level="ok", what=f"all {count} fields that are written exist on {', '.join(fields)}")]


def fields_of(schema: Mapping[str, Any]) -> dict[str, bool]:
    """Field paths of a JSON Schema in lower case (`item.custcol_x` for line fields): whether they may be written."""
    out: dict[str, bool] = {}
    for name, shown in (schema.get("properties") or {}).items():
        out[name.lower()] = not shown.get("readOnly", False)
        items = ((shown.get("properties") or {}).get("items") or {}).get("items") or {}
        for inner in items.get("properties") or {}:
            out[f"{name}.{inner}".lower()] = True
        for inner in shown.get("properties") or {}:
            out.setdefault(f"{name}.{inner}".lower(), True)
    return out


def _known_ids(client: NetSuiteClient, type: str, ids: Sequence[str]) -> list[Finding]:
    try:
        found = client.find_by_external_ids(type, ids)
    except PlatformError as error:
        return [Finding(level="error", what=f"{type} cannot be looked up: {error.message}", fix=error.next_step)]
    absent = [id for id, rows in found.items() if not rows]
    fix = _MAKE.get(type, f"Create the {type}, or set its external ID.")
    if not absent:
        return [Finding(level="ok", what=f"{type} {', '.join(ids)} found by external ID")]
    return [Finding(level="error", what=f"there is no {type} with external ID {id}", fix=fix) for id in absent]


def _concurrency(client: NetSuiteClient) -> Finding:
    allowed = getattr(client.context.budget, "concurrency", None) or LIMITS.concurrency or 5
    try:
        limits = client.governance()
    except AskPerson:
        return Finding(
            level="ok", what=f"the role may not see the concurrency limit; Tieout keeps to {allowed} at once"
        )
    except PlatformError as error:
        return Finding(level="warning", what=f"the concurrency limit is unknown: {error.message}", fix=error.next_step)
    limit = int(limits.get("integrationConcurrencyLimit") or limits.get("accountConcurrencyLimit") or allowed)
    if allowed > limit:
        return Finding(level="warning", what=f"Tieout would send {allowed} requests at once; {limit} are allowed",
                       fix=f"Set this connection's concurrency to {limit} or less.")  # fmt: skip
    return Finding(level="ok", what=f"{allowed} requests at once of {limit} allowed")


def connect(settings: Mapping[str, str | Secret], context: ClientContext) -> NetSuiteClient:
    """The client of one connection; sends nothing yet. Raises AskPerson naming settings that are missing."""
    return NetSuiteClient(settings, context)


LIMITS = Limits(requests_per_second=None, burst=1, concurrency=5)

SPEC = PlatformSpec(
    name="netsuite",
    label="Oracle NetSuite",
    roles=("erp",),
    settings=(
        Setting(
            name="account_id", help="Account ID, e.g. 1234567 or 1234567_SB1 (Setup > Company > Company Information)"
        ),
        Setting(
            name="base_url", required=False, help="SuiteTalk URL; default https://<account>.suitetalk.api.netsuite.com"
        ),
        Setting(name="auth_flow", required=False, default="oauth2_m2m", help="oauth2_m2m (recommended) or tba"),
        Setting(name="client_id", required=False, help="oauth2_m2m: client ID of the integration record"),
        Setting(name="certificate_id", required=False, help="oauth2_m2m: certificate ID shown on the M2M mapping page"),
        Setting(
            name="private_key", required=False, secret=True, help="oauth2_m2m: private key (PEM) of that certificate"
        ),
        Setting(name="consumer_key", required=False, secret=True, help="tba: consumer key of the integration record"),
        Setting(name="consumer_secret", required=False, secret=True, help="tba: consumer secret"),
        Setting(name="token_id", required=False, secret=True, help="tba: token ID of the access token"),
        Setting(name="token_secret", required=False, secret=True, help="tba: token secret"),
        Setting(name="ca_bundle", required=False, help="CA file to trust besides the public ones (sandboxes)"),
    ),
    limits=LIMITS,
    connect=connect,
    examine=examine,
)
