"""How Tieout speaks to a Salesforce org: sessions, SOQL pages, bulk CSV, collections, describe.

    SalesforceClient -> ApiClient (budget, retries) -> https://<My Domain>/services/data/vXX.0/...

Reads: `query_pages` (JSON pages of 2,000 at most), `bulk_query_csv` (Bulk API 2.0, for whole tables), `retrieve`,
`newest_change` (one API call for several objects). Writes: collections of up to 200 records, or a bulk job for tens
of thousands, answered row by row.
Salesforce has no idempotency key: a create whose answer is lost raises Uncertain and must be read back by a business
key; updates by id and upserts by external id may be sent again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import jwt

from platforms.kit.auth import Token, TokenAuth
from platforms.kit.context import ClientContext
from platforms.kit.errors import (
    AskPerson,
    BadAnswer,
    Conflict,
    Gone,
    NotSent,
    PlatformError,
    Refused,
    Retry,
    Wait,
)
from platforms.kit.http import ApiClient, CallCounter
from platforms.kit.registry import Finding, Limits, PlatformSpec, Setting
from platforms.kit.secrets import Secret

COLLECTION_SIZE = 200
RETRIEVE_SIZE = 2_000
BATCH_SIZE = 25
# Servers refuse request lines beyond about 16,000 characters; a query stays below half of that once it is encoded.
LONGEST_QUERY = 8_000
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JWT_LIFE = timedelta(minutes=3)
_QUOTA_PAUSE = 3600.0

_FIELD_STEP = "Check the field and the permission set of the integration user; `tieout doctor` names what is missing."
_ACCESS_STEP = (
    "Give the integration user access: Setup > Permission Sets > (Tieout's set) > Object Settings, Field Permissions."
)

# The vendor's codes, by what to do next. Unlisted codes on 4xx are refusals of the data.
_KINDS: Mapping[str, tuple[type[PlatformError], str]] = {
    "INVALID_SESSION_ID": (Retry, "Check the session policies and IP restrictions of the connected app."),
    "INVALID_AUTH_HEADER": (AskPerson, "Check the credentials of this connection."),
    "API_DISABLED_FOR_ORG": (AskPerson, "Enable API access for the org, and 'API Enabled' for the integration user."),
    "API_CURRENTLY_DISABLED": (AskPerson, "The org's API is switched off; ask the administrator."),
    "UNSUPPORTED_API_VERSION": (AskPerson, "Set api_version to one that `GET /services/data/` lists."),
    "STORAGE_LIMIT_EXCEEDED": (AskPerson, "The org's storage is full: Setup > Storage Usage."),
    "TXN_SECURITY_METERING_ERROR": (Wait, ""),
    "SERVER_UNAVAILABLE": (Wait, ""),
    "UNABLE_TO_LOCK_ROW": (Retry, ""),
    "UNKNOWN_EXCEPTION": (Retry, ""),
    "QUERY_TIMEOUT": (Retry, "Narrow the query's window."),
    "OPERATION_TOO_LARGE": (Retry, "Narrow the query's window."),
    "INVALID_QUERY_LOCATOR": (Gone, "The cursor has run out; start the query again."),
    "NOT_FOUND": (Gone, ""),
    "ENTITY_IS_DELETED": (Gone, ""),
    "DUPLICATE_VALUE": (Conflict, ""),
    "DUPLICATES_DETECTED": (Conflict, "A duplicate rule of the org found a likely twin; decide which record stands."),
    "DUPLICATE_EXTERNAL_ID": (Conflict, "Several records share this external id; make the field unique."),
    "ENTITY_IS_LOCKED": (Conflict, "The record is in an approval process; it can be written when that ends."),
    "PRECONDITION_FAILED": (Conflict, ""),
    "INSUFFICIENT_ACCESS": (Refused, _ACCESS_STEP),
    "INSUFFICIENT_ACCESS_OR_READONLY": (Refused, _ACCESS_STEP),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": (Refused, _ACCESS_STEP),
    "INVALID_FIELD": (Refused, _FIELD_STEP),
    "INVALID_FIELD_FOR_INSERT_UPDATE": (Refused, _FIELD_STEP),
    "INVALID_TYPE": (
        Refused,
        "Check the object and the integration user's access; `tieout doctor` names what is missing.",
    ),
}


def error_for(
    code: str, message: str, *, fields: Iterable[str] = (), status: int | None = None, record: str = ""
) -> PlatformError:
    """The error of one vendor code, whether it came as `errorCode` of a call or as `statusCode` of a row.

    REQUEST_LIMIT_EXCEEDED says two things under one name: the day's allowance is used up ("TotalRequests", hours to
    wait), or too many requests run at the same time (seconds).
    """
    fields = tuple(fields)
    kind, step = _KINDS.get(code, (Refused, ""))
    retry_after = None
    if code == "REQUEST_LIMIT_EXCEEDED":
        kind = Wait
        if "totalrequests" in message.lower():
            retry_after = _QUOTA_PAUSE
            step = "The org's daily API requests are used up; they come back over the next 24 hours."
    elif code == "INVALID_CROSS_REFERENCE_KEY" and not fields:
        # Without a field it is the record itself that is not there.
        kind = Gone
    return kind(
        message.strip(), code=code, status=status, record=record, fields=fields, next_step=step, retry_after=retry_after
    )


def classify(response: httpx.Response) -> PlatformError | None:
    """What an answer means; None when it is fine or only its status can tell."""
    status = response.status_code
    if status < 300 or status == 304:
        return None
    if status == 300:
        return Conflict(
            "several records match this external id",
            code="DUPLICATE_EXTERNAL_ID",
            next_step=_KINDS["DUPLICATE_EXTERNAL_ID"][1],
        )
    if "json" not in response.headers.get("content-type", "").lower() or not response.content:
        return Conflict("the record was changed by someone else", code="PRECONDITION_FAILED") if status == 412 else None
    try:
        body = response.json()
    except ValueError:
        return None
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, Mapping):
        return None
    code = str(first.get("errorCode") or first.get("exceptionCode") or first.get("error") or "")
    message = str(first.get("message") or first.get("exceptionMessage") or first.get("error_description") or "")
    if not code:
        return None
    if status >= 500 and code not in _KINDS:
        return Retry(message, code=code, status=status)
    return error_for(code, message or code, fields=first.get("fields") or (), status=status)


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """What became of one record of a collection: its id when it was done, else the error."""

    id: str = ""
    created: bool = False
    error: PlatformError | None = None

    @property
    def success(self) -> bool:
        """Whether the row was done."""
        return self.error is None


@dataclass(frozen=True, kw_only=True)
class Change:
    """How many records an object has (deleted ones not counted), and when the newest changed (UTC; None when empty)."""

    count: int
    newest: datetime | None


def parse_instant(text: str) -> datetime:
    """An instant as JSON answers carry it (`2026-03-01T09:30:00.000+0000`, or with Z) as an aware UTC datetime."""
    return datetime.fromisoformat(text.replace("+0000", "+00:00").replace("Z", "+00:00"))


def soql_text(value: str) -> str:
    """A quoted SOQL string literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def soql_instant(moment: datetime) -> str:
    """An aware datetime as an unquoted SOQL literal, whole milliseconds, in UTC."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


class SalesforceClient:
    """One connection to one org. Thread-safe; close it after use.

    `settings`: base_url (My Domain), auth_flow, client_id, client_secret, username, private_key, api_version.
    Raises AskPerson at once when a setting that the flow needs is missing.
    """

    def __init__(self, settings: Mapping[str, str | Secret], context: ClientContext) -> None:
        self._settings = settings
        self.context = context
        self.version = _plain(settings.get("api_version")) or "67.0"
        self.flow = _plain(settings.get("auth_flow")) or "client_credentials"
        self.login_url = (_plain(settings.get("base_url")) or "").rstrip("/")
        self._check_settings()
        self.api = ApiClient(
            "salesforce",
            self.login_url,
            TokenAuth(self._fetch_token, clock=context.clock),
            classify,
            context,
            default_headers={"Sforce-Call-Options": "client=tieout"},
        )
        self._described: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> SalesforceClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self.api.close()

    @property
    def calls(self) -> CallCounter:
        """How many calls were made."""
        return self.api.calls

    @property
    def server_time(self) -> datetime | None:
        """The org's clock as the last answer showed it."""
        return self.api.server_time

    # --- sessions -------------------------------------------------------------------------------------------

    def _check_settings(self) -> None:
        needed = {
            "client_credentials": ("base_url", "client_id", "client_secret"),
            "jwt_bearer": ("base_url", "client_id", "username", "private_key"),
        }.get(self.flow)
        prefix = f"CONNECTIONS__{self.context.connection.upper()}__"
        if needed is None:
            raise AskPerson(
                f"auth_flow {self.flow!r} is not known; there are client_credentials and jwt_bearer",
                platform="salesforce", connection=self.context.connection, next_step=f"Correct {prefix}AUTH_FLOW.",
            )  # fmt: skip
        missing = [name for name in needed if not self._settings.get(name)]
        if missing:
            raise AskPerson(
                f"the flow {self.flow} needs {', '.join(missing)}",
                platform="salesforce", connection=self.context.connection,
                next_step="Set " + ", ".join(prefix + name.upper() for name in missing) + ".",
            )  # fmt: skip

    def _token_form(self) -> dict[str, str]:
        client_id = _plain(self._settings["client_id"]) or ""
        if self.flow == "client_credentials":
            secret = _reveal(self._settings["client_secret"])
            return {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        sandbox = ".sandbox." in self.login_url or "--" in self.login_url
        claims = {
            "iss": client_id,
            "sub": _plain(self._settings["username"]),
            "aud": "https://test.salesforce.com" if sandbox else "https://login.salesforce.com",
            "exp": int((self.context.clock() + _JWT_LIFE).timestamp()),
        }
        key = _reveal(self._settings["private_key"]).replace("\\n", "\n")
        try:
            assertion = jwt.encode(claims, key, algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            raise AskPerson(
                "private_key is no usable RSA key in PEM form",
                platform="salesforce", connection=self.context.connection,
                next_step=f"Set CONNECTIONS__{self.context.connection.upper()}__PRIVATE_KEY to the key whose "
                "certificate the connected app holds.",
            ) from None  # fmt: skip
        return {"grant_type": _JWT_BEARER, "assertion": assertion}

    def _fetch_token(self, http: httpx.Client) -> Token:
        """Log in. There is no life time in the answer: the session is used until it is refused."""
        response = http.post(f"{self.login_url}/services/oauth2/token", data=self._token_form())
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code >= 500 or response.status_code == 429:
            raise NotSent(f"the log-in was answered with HTTP {response.status_code}", status=response.status_code)
        busy = classify(response) if isinstance(answer, list) else None
        if isinstance(busy, Wait):
            raise busy
        if not isinstance(answer, Mapping):
            kind = response.headers.get("content-type", "no type")
            raise BadAnswer(
                f"{httpx.URL(self.login_url).host} answered the log-in with {response.status_code} {kind} "
                "where JSON was due"
            )
        if response.status_code != 200 or not answer.get("access_token"):
            raise self._login_error(response, answer)
        instance = str(answer.get("instance_url") or self.login_url)
        self.api.base_url = instance
        return Token(access_token=str(answer["access_token"]), extra={"instance_url": instance})

    def _login_error(self, response: httpx.Response, answer: Mapping[str, Any]) -> PlatformError:
        code, text = str(answer.get("error", "")), str(answer.get("error_description", ""))
        if code == "rate_limit_exceeded":
            return Wait(f"too many log-ins: {text}", code=code, status=response.status_code)
        steps = {
            "invalid_client_id": "Compare CLIENT_ID with the consumer key in External Client App Manager.",
            "invalid_client": "Compare CLIENT_SECRET with the consumer secret of the connected app.",
            "invalid_grant": (
                "Check that the app allows this flow, that a run-as user is set (client credentials) or the user is "
                "pre-authorized and the certificate fits (JWT), and that base_url is My Domain's address."
            ),
            "inactive_user": "Activate the integration user in Setup > Users.",
        }
        return AskPerson(
            f"the log-in was refused: {text or code or response.status_code}",
            code=code, status=response.status_code,
            next_step=steps.get(code, "Check the credentials of this connection."),
        )  # fmt: skip

    def _request(
        self, method: str, path: str, *, idempotent: bool, read: bool = True, poll: bool = False, **options: Any
    ) -> httpx.Response:
        base = "" if path.startswith(("/services/", "http")) else f"/services/data/v{self.version}"
        try:
            return self.api.request(
                method,
                base + path,
                idempotent=idempotent,
                kind="poll" if poll else "read" if read else "write",
                **options,
            )
        except Retry as error:
            if error.code == "INVALID_SESSION_ID":
                raise AskPerson(
                    "every new session is refused", platform="salesforce", connection=self.context.connection,
                    code=error.code, status=error.status, next_step=error.next_step,
                ) from error  # fmt: skip
            raise

    def _json(self, method: str, path: str, *, idempotent: bool = True, **options: Any) -> Any:
        return self.api.json(self._request(method, path, idempotent=idempotent, **options))

    # --- reading --------------------------------------------------------------------------------------------

    def query_pages(self, soql: str, all_rows: bool = False) -> Iterator[list[dict[str, Any]]]:
        """The records of a query, page by page as they come (2,000 at most), numbers with a point as Decimal.

        `all_rows` adds deleted records (`IsDeleted = true`, about 15 days long). Cursors live two days.
        Raises Refused for what the org does not know (INVALID_FIELD, INVALID_TYPE), Gone when the cursor has run out.
        """
        answer = self._json("GET", "/queryAll" if all_rows else "/query", params={"q": soql})
        while True:
            yield self._records(answer)
            if answer.get("done", True):
                return
            answer = self._json("GET", str(answer["nextRecordsUrl"]))

    def query(self, soql: str, all_rows: bool = False) -> list[dict[str, Any]]:
        """All records of a query at once; for small answers."""
        return [record for page in self.query_pages(soql, all_rows) for record in page]

    def _records(self, answer: Any) -> list[dict[str, Any]]:
        if not isinstance(answer, Mapping) or not isinstance(answer.get("records"), list):
            raise self.api.error(BadAnswer, "a query was answered without records")
        records: list[dict[str, Any]] = answer["records"]
        return records

    def find(
        self, obj: str, field: str, values: Sequence[str], fields: Sequence[str], all_rows: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Records of `obj` whose `field` is one of `values`, with `fields`; as few calls as the URL's length allows."""
        head = f"SELECT {', '.join(dict.fromkeys(['Id', field, *fields]))} FROM {obj} WHERE {field} IN ("
        for literals in _fitting([soql_text(value) for value in values], LONGEST_QUERY - len(head)):
            for page in self.query_pages(f"{head}{','.join(literals)})", all_rows):
                yield from page

    def count(self, soql: str) -> int:
        """The number of a `SELECT COUNT() FROM ...`; no records travel."""
        return int(self._json("GET", "/query", params={"q": soql})["totalSize"])

    def bulk_query_csv(self, soql: str, all_rows: bool = False, page_size: int = 50_000) -> Iterator[bytes]:
        """The answer of a query as CSV pages (UTF-8, every page with its header), through a Bulk API 2.0 job.

        Values are all quoted; an empty one is null; instants end in Z; a parent's field is named `Account.Name`. Takes
        four calls and one more per page, whatever the number of records. Raises Refused when the org cannot answer it
        in bulk (aggregates, child queries, compound fields).
        """
        job = self._json(
            "POST",
            "/jobs/query",
            json={"operation": "queryAll" if all_rows else "query", "query": soql, "contentType": "CSV"},
        )
        path = f"/jobs/query/{job['id']}"
        done = self._await_job(path, soql)
        read = 0
        locator = ""
        while locator != "null":
            params: dict[str, Any] = {"maxRecords": page_size}
            if locator:
                params["locator"] = locator
            response = self._request(
                "GET", path + "/results", idempotent=True, params=params, headers={"Accept": "text/csv"}
            )
            read += int(response.headers.get("sforce-numberofrecords", 0))
            yield response.content
            locator = response.headers.get("sforce-locator", "") or "null"
        expected = int(done.get("numberRecordsProcessed") or 0)
        if read < expected:
            raise self.api.error(Retry, f"a bulk query found {expected} records but its pages held {read}")
        self._request("DELETE", path, idempotent=True, poll=True)

    def _await_job(self, path: str, soql: str) -> Mapping[str, Any]:
        pause = 0.1
        while True:
            job = self._json("GET", path, poll=True)
            if job["state"] == "JobComplete":
                return dict(job)
            if job["state"] in ("Failed", "Aborted"):
                text = str(job.get("errorMessage") or job["state"])
                raise self.api.error(
                    Refused, f"the bulk query failed: {text} (in {soql[:200]})", code=text.partition(":")[0]
                )
            self.context.sleep(pause)
            pause = min(pause * 1.7, 10.0)

    def describe(self, obj: str) -> dict[str, Any]:
        """Fields and facts of an object as this user sees them; asked for once per client. Gone when there is none."""
        if obj not in self._described:
            self._described[obj] = self._json("GET", f"/sobjects/{obj}/describe")
        return self._described[obj]

    def describe_global(self) -> list[dict[str, Any]]:
        """The objects that this user may see."""
        found: list[dict[str, Any]] = self._json("GET", "/sobjects")["sobjects"]
        return found

    def limits(self) -> dict[str, dict[str, int]]:
        """The org's allowances: {'DailyApiRequests': {'Max': n, 'Remaining': n}, ...}."""
        found: dict[str, dict[str, int]] = self._json("GET", "/limits")
        return found

    def versions(self) -> list[str]:
        """The API versions this org serves, oldest first."""
        return [str(one["version"]) for one in self._json("GET", "/services/data/")]

    def retrieve(self, obj: str, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any] | None]:
        """The records of these ids, in order; None for one that is deleted or was never there. 2,000 per call."""
        found: list[dict[str, Any] | None] = []
        for start in range(0, len(ids), RETRIEVE_SIZE):
            body = {"ids": list(ids[start : start + RETRIEVE_SIZE]), "fields": list(fields)}
            found.extend(self._json("POST", f"/composite/sobjects/{obj}", json=body))
        return found

    def newest_change(self, objects: Sequence[str]) -> dict[str, Change]:
        """How many records each object has and when the newest changed; one API call for 25 objects.

        A change within the same second as the newest one known, with the same count, is not seen: callers that must
        not miss it look again a second later. Raises what the first failing object's query was refused with.
        """
        found: dict[str, Change] = {}
        for start in range(0, len(objects), BATCH_SIZE):
            names = objects[start : start + BATCH_SIZE]
            requests = [
                {
                    "method": "GET",
                    "url": f"v{self.version}/query?q="
                    + quote(f"SELECT COUNT(Id) c, MAX(SystemModstamp) m FROM {name}", safe=""),
                }
                for name in names
            ]
            answer = self._json("POST", "/composite/batch", json={"batchRequests": requests})
            for name, one in zip(names, answer["results"], strict=True):
                if int(one["statusCode"]) >= 300:
                    raise self._part_error(one, name)
                row = self._records(one["result"])[0]
                newest = parse_instant(row["m"]) if row.get("m") else None
                found[name] = Change(count=int(row["c"]), newest=newest)
        return found

    def _part_error(self, one: Mapping[str, Any], name: str) -> PlatformError:
        result = one.get("result")
        first = result[0] if isinstance(result, list) and result else {}
        made = error_for(
            str(first.get("errorCode", "")),
            str(first.get("message", "no reason given")),
            status=int(one["statusCode"]),
            record=name,
        )
        made.platform, made.connection = "salesforce", self.context.connection
        return made

    # --- writing --------------------------------------------------------------------------------------------

    def collections_create(
        self, obj: str, records: Sequence[Mapping[str, Any]], *, all_or_none: bool = False
    ) -> list[RowResult]:
        """Create up to 200 records; results in their order. Raises Uncertain when no answer was heard."""
        body = self._collection(obj, records, all_or_none)
        return self._rows(
            self._json("POST", "/composite/sobjects", idempotent=False, read=False, json=body), len(records)
        )

    def collections_update(
        self, obj: str, records: Sequence[Mapping[str, Any]], *, all_or_none: bool = False
    ) -> list[RowResult]:
        """Change up to 200 records, each with its `Id`; results in their order. Safe to repeat."""
        body = self._collection(obj, records, all_or_none)
        return self._rows(self._json("PATCH", "/composite/sobjects", read=False, json=body), len(records))

    def collections_upsert(
        self, obj: str, records: Sequence[Mapping[str, Any]], key_field: str, *, all_or_none: bool = False
    ) -> list[RowResult]:
        """Create or change up to 200 records by the external id that each carries in `key_field`. Safe to repeat."""
        body = self._collection(obj, records, all_or_none)
        path = f"/composite/sobjects/{obj}/{key_field}"
        return self._rows(self._json("PATCH", path, read=False, json=body), len(records))

    def delete(self, obj: str, ids: Sequence[str], *, all_or_none: bool = False) -> list[RowResult]:
        """Put up to 200 records into the recycle bin; one that is gone already is answered with Gone."""
        if len(ids) > COLLECTION_SIZE:
            raise ValueError(f"{len(ids)} ids; a collection takes {COLLECTION_SIZE}")
        params = {"ids": ",".join(ids), "allOrNone": str(all_or_none).lower()}
        return self._rows(self._json("DELETE", "/composite/sobjects", read=False, params=params), len(ids))

    # --- writing in bulk: one job for tens of thousands of records ----------------------------------------------

    def ingest_open(self, obj: str, operation: str, key_field: str = "") -> str:
        """Open a Bulk API 2.0 job (`update`, `upsert`, `insert`, `delete`); its id. Changes no record."""
        job = {"object": obj, "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
        if key_field:
            job["externalIdFieldName"] = key_field
        return str(self._json("POST", "/jobs/ingest", read=False, json=job)["id"])

    def ingest_start(self, job: str, rows: bytes) -> None:
        """Hand the CSV over (UTF-8, LF, `#N/A` for null) and let the job begin. Raises Uncertain on a lost answer."""
        headers = {"Content-Type": "text/csv"}
        self._request("PUT", f"/jobs/ingest/{job}/batches", idempotent=False, read=False, content=rows, headers=headers)
        self._request("PATCH", f"/jobs/ingest/{job}", idempotent=False, read=False, json={"state": "UploadComplete"})

    def ingest_state(self, job: str) -> str:
        """Open, UploadComplete, InProgress, JobComplete, Failed or Aborted. Gone when there is no such job."""
        return str(self._json("GET", f"/jobs/ingest/{job}", poll=True)["state"])

    def ingest_abort(self, job: str) -> None:
        """End a job that has not begun. Refused when it has."""
        self._request("PATCH", f"/jobs/ingest/{job}", idempotent=True, poll=True, json={"state": "Aborted"})

    def ingest_results(self, job: str) -> Iterator[tuple[dict[str, str], RowResult]]:
        """Every row that was worked on, as it was sent, with what became of it, in no particular order."""
        for row in self._job_rows(job, "successfulResults"):
            yield row, RowResult(id=row.pop("sf__Id"), created=row.pop("sf__Created").lower() == "true")
        for row in self._job_rows(job, "failedResults"):
            code, _, rest = row.pop("sf__Error").partition(":")
            message, _, names = rest.removesuffix(" --").rpartition(":")
            made = error_for(code, message or rest, fields=names.split())
            made.platform, made.connection = "salesforce", self.context.connection
            yield row, RowResult(id=row.pop("sf__Id", ""), error=made)

    def _job_rows(self, job: str, which: str) -> Iterator[dict[str, str]]:
        headers = {"Accept": "text/csv"}
        response = self._request("GET", f"/jobs/ingest/{job}/{which}", idempotent=True, headers=headers)
        yield from csv.DictReader(io.StringIO(response.content.decode("utf-8"), newline=""))

    def _collection(self, obj: str, records: Sequence[Mapping[str, Any]], all_or_none: bool) -> dict[str, Any]:
        if len(records) > COLLECTION_SIZE:
            raise ValueError(f"{len(records)} records; a collection takes {COLLECTION_SIZE}")
        typed = [{"attributes": {"type": obj}, **record} for record in records]
        return {"allOrNone": all_or_none, "records": typed}

    def _rows(self, answer: Any, expected: int) -> list[RowResult]:
        if not isinstance(answer, list) or len(answer) != expected:
            shown = len(answer) if isinstance(answer, list) else type(answer).__name__
            raise self.api.error(BadAnswer, f"{expected} records were sent, the answer holds {shown}")
        return [self._row(one) for one in answer]

    def _row(self, one: Mapping[str, Any]) -> RowResult:
        if one.get("success"):
            return RowResult(id=str(one["id"]), created=bool(one.get("created", False)))
        first = (one.get("errors") or [{}])[0]
        made = error_for(
            str(first.get("statusCode", "")),
            str(first.get("message", "no reason given")),
            fields=first.get("fields") or (),
        )
        if first.get("statusCode") == "ALL_OR_NONE_OPERATION_ROLLED_BACK":
            made = Retry(made.message, code="ALL_OR_NONE_OPERATION_ROLLED_BACK")
        made.platform, made.connection = "salesforce", self.context.connection
        return RowResult(id=str(one.get("id") or ""), error=made)

    def record_url(self, record_id: str) -> str:
        """Where a person opens the record."""
        return f"{self.api.base_url}/{record_id}"


def _plain(value: str | Secret | None) -> str | None:
    return value.reveal() if isinstance(value, Secret) else value


def _reveal(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _fitting(literals: Sequence[str], room: int) -> Iterator[list[str]]:
    """Groups of literals whose URL-encoded list is no longer than `room`."""
    group: list[str] = []
    used = 0
    for literal in literals:
        size = len(quote(literal, safe="")) + 3
        if group and used + size > room:
            yield group
            group, used = [], 0
        group.append(literal)
        used += size
    if group:
        yield group


# --- examination -------------------------------------------------------------------------------------------


def examine(client: SalesforceClient, requirements: Mapping[str, Any]) -> list[Finding]:
    """Whether the org is set up as Tieout needs it: log-in, version, objects, fields, rights, calls left.

    `requirements`, all optional: {"read": {object: [fields]}, "write": {object: [fields]}, "create": [objects],
    "api_calls": what one run may need}. Nothing is written. An error of the log-in or of the version ends
    the examination, since nothing else can be seen then.
    """
    findings: list[Finding] = []
    try:
        versions = client.versions()
        if client.version in versions:
            client.limits()
    except PlatformError as error:
        return [Finding(level="error", what=str(error.message), fix=error.next_step)]
    findings.append(Finding(level="ok", what=f"logged in at {client.api.base_url} with {client.flow}"))
    findings.append(_version_finding(client.version, versions))
    if findings[-1].level == "error":
        return findings
    reads, writes = requirements.get("read") or {}, requirements.get("write") or {}
    for name in dict.fromkeys([*reads, *writes]):
        create = name in (requirements.get("create") or ())
        findings.extend(
            _object_findings(client, name, list(reads.get(name) or ()), list(writes.get(name) or ()), create)
        )
    findings.extend(_budget_findings(client, int(requirements.get("api_calls") or 0)))
    return findings


def _version_finding(version: str, offered: Sequence[str]) -> Finding:
    if version in offered:
        return Finding(level="ok", what=f"API version {version} is served (newest is {offered[-1]})")
    return Finding(
        level="error",
        what=f"API version {version} is not served by this org; it serves {offered[0]} to {offered[-1]}",
        fix=f"Set api_version to {offered[-1]}.",
    )


def _object_findings(
    client: SalesforceClient, name: str, reads: Sequence[str], writes: Sequence[str], create: bool
) -> list[Finding]:
    try:
        described = client.describe(name)
    except Gone:
        fix = (
            f"Setup > Permission Sets > (Tieout's set) > Object Settings > {name}: allow Read (and Edit where Tieout "
            "writes). If the object does not exist, switch its feature on or install its package."
        )
        return [Finding(level="error", what=f"{name}: the integration user cannot see this object", fix=fix)]
    found: list[Finding] = []
    fields = {str(one["name"]): one for one in described["fields"]}
    place = f"Setup > Object Manager > {described['label']} > Fields & Relationships"
    rights = f"Setup > Permission Sets > (Tieout's set) > Object Settings > {described['label']} > Field Permissions"
    for field in dict.fromkeys([*reads, *writes]):
        if field not in fields:
            made = (
                f"{place} > New: create {field}"
                if field.endswith("__c")
                else f"switch on the feature that brings {field}"
            )
            fix = f"{made}; or, if it exists, {rights}: allow Read for {field}."
            found.append(
                Finding(level="error", what=f"{name}.{field} is missing or hidden from the integration user", fix=fix)
            )
        elif field in writes and not fields[field]["updateable"]:
            fix = f"{rights}: allow Edit for {field}."
            found.append(
                Finding(level="error", what=f"{name}.{field} cannot be written by the integration user", fix=fix)
            )
    right = "createable" if create else "updateable"
    if writes and not described[right]:
        fix = (
            f"Setup > Permission Sets > (Tieout's set) > Object Settings > {described['label']}: allow Create and Edit."
        )
        found.append(Finding(level="error", what=f"{name}: the integration user may not write this object", fix=fix))
    if not found:
        found.append(Finding(level="ok", what=f"{name}: {len(reads)} fields to read, {len(writes)} to write"))
    return found


def _budget_findings(client: SalesforceClient, needed: int) -> list[Finding]:
    daily = client.limits().get("DailyApiRequests") or {}
    left, maximum = int(daily.get("Remaining", 0)), int(daily.get("Max", 0))
    text = f"{left:,} of {maximum:,} daily API requests are left"
    if left <= needed:
        return [
            Finding(
                level="error",
                what=f"{text}; a run may need {needed:,}",
                fix="Wait for the rolling 24 hours to pass, or buy more API calls (Setup > Company Information).",
            )
        ]
    if left < maximum * 0.2:
        return [Finding(level="warning", what=text, fix="Look at what else uses the API: Setup > API Usage.")]
    return [Finding(level="ok", what=text)]


def connect(settings: Mapping[str, str | Secret], context: ClientContext) -> SalesforceClient:
    """The client of a connection; nothing is sent yet. `ca_bundle` is trusted unless the context decides already."""
    bundle = _plain(settings.get("ca_bundle"))
    if bundle and context.verify is True:
        context = replace(context, verify=bundle)
    return SalesforceClient(settings, context)


_examine: Callable[[Any, Mapping[str, Any]], list[Finding]] = examine

SPEC = PlatformSpec(
    name="salesforce",
    label="Salesforce",
    roles=("crm",),
    settings=(
        Setting(name="base_url", help="My Domain address of the org, e.g. https://acme.my.salesforce.com"),
        Setting(
            name="auth_flow", help="client_credentials or jwt_bearer", required=False, default="client_credentials"
        ),
        Setting(name="client_id", help="Consumer key of the external client app (or connected app)"),
        Setting(
            name="client_secret", help="Consumer secret; for client_credentials", secret=True, required=False
        ),
        Setting(name="username", help="Username of the integration user; for jwt_bearer", required=False),
        Setting(
            name="private_key", help="RSA key in PEM form whose certificate the app holds; for jwt_bearer",
            secret=True, required=False,
        ),
        Setting(name="api_version", help="API version to pin, e.g. 67.0", required=False, default="67.0"),
        Setting(name="ca_bundle", help="File of a CA to trust in addition (a proxy's, a sandbox's)", required=False),
    ),
    # No rate per second is published; production orgs allow 25 long requests at a time, and others use the org too.
    limits=Limits(concurrency=20),
    connect=connect,
    examine=_examine,
)  # fmt: skip
