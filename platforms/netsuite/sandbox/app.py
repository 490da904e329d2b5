"""SuiteTalk REST over the sandbox ledger: record service, SuiteQL, asynchronous jobs, system and token endpoints.

request -> who is it (signing.py) -> what is asked -> service -> the vendor's shape
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from platforms.kit import jsonio
from platforms.kit.registry import Limits
from platforms.kit.sandbox.app import (
    BadBody,
    ErrorShapes,
    JsonResponse,
    SandboxApp,
    body_of,
    build_app,
    form_of,
    json_of,
)
from platforms.kit.sandbox.faults import Faults
from platforms.kit.sandbox.service import Refusal
from platforms.netsuite.sandbox.filters import compile_filter
from platforms.netsuite.sandbox.resources import Shower, json_schema
from platforms.netsuite.sandbox.schema import RECORDS, Record
from platforms.netsuite.sandbox.service import ROLES, NetSuiteService
from platforms.netsuite.sandbox.setup import ACCOUNT
from platforms.netsuite.sandbox.signing import TOKEN_PATH, Denied, Gate, TokenError
from platforms.netsuite.sandbox.suiteql import PAGE, SuiteQL

ROOT = "/services/rest"
RECORD = f"{ROOT}/record/v1"
JOB = f"{ROOT}/async/v1/job"
SINGULAR = "application/vnd.oracle.resource+json; type=singular"
COLLECTION = "application/vnd.oracle.resource+json; type=collection"
ERROR = "application/vnd.oracle.resource+json; type=error"
LIMITS = Limits(concurrency=5)
BATCH = 100

_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
           429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}  # fmt: skip
_SECTIONS = {400: "10.4.1", 401: "10.4.2", 403: "10.4.4", 404: "10.4.5", 405: "10.4.6", 429: "10.4", 500: "10.5.1",
             503: "10.5.4"}  # fmt: skip


def error_body(status: int, code: str, detail: str, **locators: str) -> dict[str, Any]:
    """The vendor's error shape; `locators` are path, query_parameter, header, url."""
    keys = {
        "path": "o:errorPath",
        "query_parameter": "o:errorQueryParam",
        "header": "o:errorHeader",
        "url": "o:errorUrl",
    }
    one = {"detail": detail, "o:errorCode": code} | {keys[name]: value for name, value in locators.items() if value}
    body: dict[str, Any] = {
        "type": f"https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html#sec{_SECTIONS.get(status, '10.4')}",
        "title": "Conflict" if code == "IDEMPOTENCY_ERROR" else _TITLES.get(status, "Error"),
        "status": status,
        "o:errorDetails": [one],
    }
    if status == 429:
        body["o:errorCode"] = code
    return body


def error(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **locators: str) -> Response:
    """An error answer."""
    return JsonResponse(error_body(status, code, detail, **locators), status, headers, ERROR)


def refused(request: Request, refusal: Refusal) -> Response:
    """A rule's refusal in the vendor's shape."""
    path = refusal.fields[0] if refusal.fields else ""
    return error(
        refusal.status, refusal.code, refusal.message, path=path,
        query_parameter=refusal.details.get("query_parameter", ""),
        header=refusal.details.get("header", ""),
    )  # fmt: skip


def _denied(denied: Denied) -> Response:
    if denied.scheme == "bearer":
        challenge = f'Bearer realm="{ACCOUNT}", error="invalid_token", error_description="Invalid login attempt."'
    else:
        challenge = f'OAuth realm="{ACCOUNT}", error="token_rejected", error_description="Invalid login attempt."'
    text = (
        "Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI at "
        "Setup > Users/Roles > User Management > View Login Audit Trail."
    )
    return error(401, "INVALID_LOGIN", text, {"WWW-Authenticate": challenge})


SHAPES = ErrorShapes(
    throttled=lambda seconds: error(
        429, "CONCURRENCY_LIMIT_EXCEEDED", "Concurrent request limit exceeded. Request blocked."
    ),
    too_concurrent=lambda: error(
        429, "CONCURRENCY_LIMIT_EXCEEDED", "Concurrent request limit exceeded. Request blocked."
    ),
    unavailable=lambda: error(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable. Try again later."),
    not_found=lambda request: error(404, "NONEXISTENT_ID", "Not found.", url=str(request.url.path)),
    method_not_allowed=lambda request: error(405, "INVALID_REQUEST", "This method is not allowed for this resource."),
    refused=refused,
    bad_body=lambda message: error(400, "INVALID_CONTENT", f"Invalid content in the request body. {message}"),
    crashed=lambda request, problem: error(
        500, "UNEXPECTED_ERROR", f"An unexpected error occurred. Error ID: {type(problem).__name__}"
    ),
)


class Api:
    """The handlers of one running sandbox."""

    def __init__(self, service: NetSuiteService, faults: Faults) -> None:
        self.service = service
        self.faults = faults
        self.gate = Gate(service)
        self.suiteql = SuiteQL(service.store)

    def routes(self) -> list[Route]:
        """Every path there is."""
        return [
            Route(TOKEN_PATH, self.token, methods=["POST"]),
            Route("/rest/tokeninfo", self._known(self.token_info), methods=["GET"]),
            Route(f"{ROOT}/query/v1/suiteql", self._known(self.query), methods=["POST"]),
            Route(f"{ROOT}/system/v1/serverTime", self._known(self.server_time), methods=["GET"]),
            Route(f"{ROOT}/system/v1/governanceLimits", self._known(self.governance), methods=["GET"]),
            Route(f"{RECORD}/metadata-catalog", self._known(self.catalog), methods=["GET"]),
            Route(f"{RECORD}/metadata-catalog/{{type}}", self._known(self.describe), methods=["GET"]),
            Route(f"{RECORD}/{{type}}", self._known(self.collection), methods=["GET"]),
            Route(f"{RECORD}/{{type}}", self._known(self.add), methods=["POST"]),
            Route(f"{RECORD}/{{type}}", self._known(self.batch), methods=["PUT", "PATCH", "DELETE"]),
            Route(f"{RECORD}/{{type}}/{{id}}", self._known(self.read), methods=["GET"]),
            Route(f"{RECORD}/{{type}}/{{id}}", self._known(self.write), methods=["PATCH", "PUT", "DELETE"]),
            Route(f"{RECORD}/{{type}}/{{id}}/!transform/{{target}}", self._known(self.transform), methods=["POST"]),
            Route(f"{RECORD}/{{type}}/{{id}}/{{sublist}}", self._known(self.sublist), methods=["GET"]),
            Route(f"{JOB}/{{job}}", self._known(self.job), methods=["GET"]),
            Route(f"{JOB}/{{job}}/task", self._known(self.tasks), methods=["GET"]),
            Route(f"{JOB}/{{job}}/task/{{task}}", self._known(self.task), methods=["GET"]),
            Route(f"{JOB}/{{job}}/task/{{task}}/result", self._known(self.result), methods=["GET"]),
        ]

    # -- who --------------------------------------------------------------------------------------------------------

    def _known(self, handler: Callable[[Request, str], Response]) -> Callable[[Request], Response]:
        def let_in(request: Request) -> Response:
            try:
                actor = self.gate.actor(request)
            except Denied as denied:
                return _denied(denied)
            return handler(request, actor)

        return let_in

    def token(self, request: Request) -> Response:
        """POST .../oauth2/v1/token."""
        try:
            return JsonResponse(self.gate.grant(request, dict(form_of(request))))
        except TokenError as refusal:
            status = 401 if refusal.code == "invalid_client" else 400
            headers = {"WWW-Authenticate": f'Basic realm="{ACCOUNT}"'} if status == 401 else {}
            return JsonResponse({"error": refusal.code}, status, headers)

    def token_info(self, request: Request, actor: str) -> Response:
        """GET /rest/tokeninfo on the restlets host: whose token it is."""
        role = ROLES[actor].name
        return JsonResponse({"companyName": "Northwind Advisory", "companyId": ACCOUNT, "roleName": role,
                             "roleId": actor, "scopes": ["rest_webservices"]})  # fmt: skip

    # -- SuiteQL ----------------------------------------------------------------------------------------------------

    def query(self, request: Request, actor: str) -> Response:
        """POST .../query/v1/suiteql."""
        if "transient" not in _prefers(request):
            return error(400, "INVALID_HEADER", "Prefer header with value 'transient' is required.", header="Prefer")
        body = json_of(request)
        if not isinstance(body, Mapping) or not isinstance(body.get("q"), str):
            return error(400, "INVALID_CONTENT", "The request body must have the query as text under 'q'.", path="q")
        limit, offset = _window(request, divisible=True)
        params = body.get("params") or []
        if not isinstance(params, list):
            return error(400, "INVALID_CONTENT", "'params' must be an array.", path="params")
        hidden = ROLES[actor].hidden
        for record in hidden:
            if re.search(rf"\b(from|join)\s+{record}\b", body["q"], re.IGNORECASE):
                self.service.permit(actor, self.service.record(record), write=False)
        service = self.service
        rows, total = self.suiteql.page(
            body["q"], params, limit=limit, offset=offset, cap=int(service.preference("suiteql_cap")),
            date_format=str(service.preference("date_format")),
        )  # fmt: skip
        more = offset + len(rows) < total and bool(rows)
        links = _page_links(f"{_origin(request)}{ROOT}/query/v1/suiteql", limit, offset, total, len(rows))
        head = jsonio.dumps({"links": links, "count": len(rows), "hasMore": more})
        content = b'%s,"items":[%s],"offset":%d,"totalResults":%d}' % (
            head[:-1].encode(),
            b",".join(rows),
            offset,
            total,
        )
        return Response(content, 200, {"content-type": COLLECTION})

    # -- system -----------------------------------------------------------------------------------------------------

    def server_time(self, request: Request, actor: str) -> Response:
        """GET .../system/v1/serverTime."""
        return JsonResponse(
            {"serverTime": self.service.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")}, 200, None, SINGULAR
        )

    def governance(self, request: Request, actor: str) -> Response:
        """GET .../system/v1/governanceLimits; administrators only."""
        if actor != "administrator":
            return error(403, "INSUFFICIENT_PERMISSION", "Permission Violation: You need the Administrator role.")
        limit = LIMITS.concurrency
        body = {"accountConcurrencyLimit": limit, "accountUnallocatedConcurrencyLimit": limit,
                "integrationConcurrencyLimit": limit, "integrationLimitType": "accountLimit"}  # fmt: skip
        return JsonResponse(body, 200, None, SINGULAR)

    # -- metadata ---------------------------------------------------------------------------------------------------

    def catalog(self, request: Request, actor: str) -> Response:
        """GET .../metadata-catalog."""
        base = f"{_origin(request)}{RECORD}/metadata-catalog"
        wanted = {name.strip().lower() for name in request.query_params.get("select", "").split(",") if name.strip()}
        shown = [r for r in RECORDS if not wanted or r.name.lower() in wanted]
        accept = request.headers.get("accept", "")
        if "swagger+json" in accept:
            return JsonResponse(_openapi(shown, _origin(request)), 200, None, "application/swagger+json")
        items = [
            {
                "name": r.name,
                "links": [
                    {"rel": "canonical", "href": f"{base}/{r.name}", "mediaType": "application/json"},
                    {"rel": "describes", "href": f"{_origin(request)}{RECORD}/{r.name}"},
                    {"rel": "describedby", "href": f"{base}/{r.name}", "mediaType": "application/schema+json"},
                ],
            }
            for r in shown
        ]
        return JsonResponse({"links": [{"rel": "self", "href": base}], "items": items}, 200, None, COLLECTION)

    def describe(self, request: Request, actor: str) -> Response:
        """GET .../metadata-catalog/{type}."""
        base = f"{_origin(request)}{RECORD}"
        if request.path_params["type"].lower() == "nslink":
            link = {"type": "object", "properties": {"rel": {"type": "string"}, "href": {"type": "string"}}}
            return JsonResponse(link, 200, None, "application/schema+json")
        record = self._record(request, actor)
        return JsonResponse(json_schema(record, base), 200, None, "application/schema+json")

    # -- records ----------------------------------------------------------------------------------------------------

    def collection(self, request: Request, actor: str) -> Response:
        """GET .../{type}: ids and links of a collection."""
        record = self._record(request, actor)
        limit, offset = _window(request, divisible=True)
        if offset // limit >= 1000:
            return error(400, "INVALID_PARAMETER", "The offset lies beyond 1000 pages.", query_parameter="offset")
        conditions = [f"\"{column}\" = '{value}'" for column, value in record.where.items()]
        params: list[Any] = []
        if request.query_params.get("q"):
            layout = str(self.service.preference("date_format"))
            sql, params = compile_filter(record, request.query_params["q"], layout)
            conditions.append(sql)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        store = self.service.store
        counted = store.one(f'SELECT count(*) AS n FROM "{record.table}"{where}', params)
        total = int((counted or {"n": 0})["n"])
        rows = store.read(
            f'SELECT id FROM "{record.table}"{where} ORDER BY id LIMIT ? OFFSET ?', [*params, limit, offset]
        )
        base = f"{_origin(request)}{RECORD}"
        items = [
            {"links": [{"rel": "self", "href": f"{base}/{record.name}/{row['id']}"}], "id": str(row["id"])}
            for row in rows
        ]
        body = {
            "links": _page_links(
                f"{base}/{record.name}", limit, offset, total, len(rows), request.query_params.get("q")
            ),
            "count": len(items),
            "hasMore": offset + len(items) < total,
            "items": items,
            "offset": offset,
            "totalResults": total,
        }
        return JsonResponse(body, 200, None, COLLECTION)

    def read(self, request: Request, actor: str) -> Response:
        """GET .../{type}/{id or eid:X}."""
        record = self._record(request, actor)
        id = self.service.find(record, request.path_params["id"])
        row = self.service.store.one(f'SELECT * FROM "{record.table}" WHERE id = ?', (id,))
        assert row is not None
        only = tuple(n.strip().lower() for n in request.query_params.get("fields", "").split(",") if n.strip())
        for name in only:
            if record.field(name) is None and record.sublist(name) is None:
                text = f"Field '{name}' does not exist in {record.name}."
                return error(400, "INVALID_PARAMETER", text, query_parameter="fields")
        shower = self._shower(request)
        expand = request.query_params.get("expandSubResources", "").lower() == "true"
        return JsonResponse(shower.record(record, row, expand=expand, only=only), 200, None, SINGULAR)

    def sublist(self, request: Request, actor: str) -> Response:
        """GET .../{type}/{id}/{sublist}."""
        record = self._record(request, actor)
        id = self.service.find(record, request.path_params["id"])
        sublist = record.sublist(request.path_params["sublist"])
        if sublist is None:
            return error(404, "NONEXISTENT_ID", f"There is no sublist '{request.path_params['sublist']}'.")
        row = self.service.store.one(f'SELECT * FROM "{record.table}" WHERE id = ?', (id,))
        items = self._shower(request).sublist(record, row or {}, sublist)
        href = f"{_origin(request)}{RECORD}/{record.name}/{id}/{sublist.name}"
        body = {"links": [{"rel": "self", "href": href}], "items": items, "totalResults": len(items)}
        return JsonResponse(body, 200, None, COLLECTION)

    def add(self, request: Request, actor: str) -> Response:
        """POST .../{type}: one record, or a batch when the body is a collection."""
        if "type=collection" in request.headers.get("content-type", "").replace(" ", ""):
            return self.batch(request, actor)
        record = self._record(request, actor)
        return self._perform(request, actor, record, "POST", None, _body(request))

    def write(self, request: Request, actor: str) -> Response:
        """PATCH, PUT (external id only) and DELETE of one record."""
        record = self._record(request, actor)
        body = {} if request.method == "DELETE" else _body(request)
        return self._perform(request, actor, record, request.method, request.path_params["id"], body)

    def transform(self, request: Request, actor: str) -> Response:
        """POST .../{type}/{id}/!transform/{target}."""
        service = self.service
        record, target = self._record(request, actor), service.record(request.path_params["target"])
        id = service.find(record, request.path_params["id"])
        values = json_of(request) or {}
        with service.writing():
            made = service.transform(record, id, target, values, actor, unknown=_validation(request))
        return _done(request, target, made)

    def _perform(
        self, request: Request, actor: str, record: Record, method: str, id_text: str | None, body: Mapping[str, Any]
    ) -> Response:
        if "respond-async" in _prefers(request):
            return self._submit(request, actor, record, method, [{"id_text": id_text, "body": body}])
        return self._one(request, actor, record, method, id_text, body)

    def _one(
        self, request: Request, actor: str, record: Record, method: str, id_text: str | None, body: Mapping[str, Any]
    ) -> Response:
        service, warnings = self.service, list[str]()
        replace = [n.strip() for n in request.query_params.get("replace", "").split(",") if n.strip()]
        unknown = _validation(request)
        with service.writing():
            if method == "POST":
                id = service.create(record, body, actor, unknown=unknown, warnings=warnings)
            elif method == "PUT":
                if id_text is None or not id_text.lower().startswith("eid:"):
                    text = "PUT needs an external ID in the path (eid:...)."
                    raise Refusal("INVALID_REQUEST", text, (), 400)
                id = service.upsert(
                    record, id_text[4:], body, actor, unknown=unknown, replace=replace, warnings=warnings
                )
            else:
                id = service.find(record, id_text or "")
                if method == "DELETE":
                    service.remove(record, id, actor)
                    return Response(status_code=204)
                if request.query_params.get("replaceSelectedFields", "").lower() == "true":
                    body = {**{name: None for name in replace if record.sublist(name) is None}, **body}
                service.change(record, id, body, actor, unknown=unknown, replace=replace, warnings=warnings)
        return _done(request, record, id, warnings)

    # -- asynchronous jobs ------------------------------------------------------------------------------------------

    def batch(self, request: Request, actor: str) -> Response:
        """POST, PUT, PATCH or DELETE of up to 100 records of one type as one asynchronous job."""
        record = self._record(request, actor)
        if "respond-async" not in _prefers(request):
            text = "Batch operations need the header Prefer: respond-async."
            return error(400, "INVALID_HEADER", text, header="Prefer")
        if request.method == "DELETE":
            ids = [i.strip() for i in request.query_params.get("ids", "").split(",") if i.strip()]
            tasks: list[dict[str, Any]] = [{"id_text": i, "body": {}} for i in ids]
        else:
            body = json_of(request)
            items = body.get("items") if isinstance(body, Mapping) else None
            if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
                return error(400, "INVALID_CONTENT", "The request body must have records under 'items'.", path="items")
            tasks = [{"id_text": _target_of(item, request.method), "body": _without_id(item)} for item in items]
        if not tasks:
            return error(400, "INVALID_CONTENT", "There are no records in the request.", path="items")
        if len(tasks) > BATCH:
            text = f"The number of records {len(tasks)} is more than the maximum of {BATCH}."
            return error(400, "INVALID_CONTENT", text, path="items")
        return self._submit(request, actor, record, request.method, tasks)

    def _submit(
        self, request: Request, actor: str, record: Record, method: str, tasks: list[dict[str, Any]]
    ) -> Response:
        service = self.service
        key = request.headers.get("x-netsuite-idempotency-key")
        with service.writing():
            if key:
                first = service.store.one("SELECT id FROM async_job WHERE idempotency_key = ?", (f"{actor}:{key}",))
                if first is not None:
                    location = f"{_origin(request)}{JOB}/{first['id']}"
                    text = "A request with this idempotency key has been submitted already."
                    return error(400, "IDEMPOTENCY_ERROR", text, {"Location": location})
            job = service.store.next_number("async_job")
            service.store.write(
                "INSERT INTO async_job (id, idempotency_key, actor, method, record, submitted) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (job, f"{actor}:{key}" if key else None, actor, method, record.name, service.now()),
            )
            for n, task in enumerate(tasks, 1):
                service.store.write(
                    "INSERT INTO async_task (job, task, request) VALUES (?, ?, ?)", (job, n, jsonio.dumps(task))
                )
        self._run(request, actor, record, method, job, tasks)
        headers = {"Location": f"{_origin(request)}{JOB}/{job}", "Preference-Applied": "respond-async"}
        return Response(status_code=202, headers=headers)

    def _run(
        self, request: Request, actor: str, record: Record, method: str, job: int, tasks: list[dict[str, Any]]
    ) -> None:
        """Do the tasks one after the other; each stands or falls alone, and is committed with its outcome."""
        service = self.service
        for n, task in enumerate(tasks, 1):
            key = f"{record.name}:{task['id_text'] or task['body'].get('externalId') or n}"
            with service.store.transaction():
                started = service.now()
                if self.faults.partial(key):
                    answer = error(
                        429, "CONCURRENCY_LIMIT_EXCEEDED", "Concurrent request limit exceeded. Request blocked."
                    )
                else:
                    try:
                        answer = self._one(request, actor, record, method, task["id_text"], task["body"])
                    except Refusal as refusal:
                        answer = refused(request, refusal)
                service.store.write(
                    "UPDATE async_task SET status = ?, location = ?, body = ?, started = ?, ended = ? "
                    "WHERE job = ? AND task = ?",
                    (answer.status_code, _path_of(answer.headers.get("location")), bytes(answer.body).decode() or None,
                     started, service.now(), job, n),
                )  # fmt: skip
        service.store.write("UPDATE async_job SET completed = 1 WHERE id = ?", (job,))

    def _job(self, request: Request, actor: str) -> dict[str, Any]:
        text = request.path_params["job"]
        job = self.service.store.one("SELECT * FROM async_job WHERE id = ?", (int(text) if text.isdigit() else -1,))
        if job is None or job["actor"] != actor:
            raise Refusal("NONEXISTENT_ID", f"There is no asynchronous job {text}.", (), 404)
        return job

    def _finished(self, job: Mapping[str, Any]) -> bool:
        return bool(job["completed"]) and int(job["polls"]) >= int(self.service.preference("async_polls"))

    def job(self, request: Request, actor: str) -> Response:
        """GET .../job/{id}: whether it is done. The first polls say it is still being processed."""
        job = self._job(request, actor)
        done = self._finished(job)
        self.service.store.write("UPDATE async_job SET polls = polls + 1 WHERE id = ?", (job["id"],))
        failed = self.service.store.one("SELECT 1 AS yes FROM async_task WHERE job = ? AND status >= 400", (job["id"],))
        href = f"{_origin(request)}{JOB}/{job['id']}"
        progress = ("failed" if failed else "succeeded") if done else "processing"
        body = {
            "links": [{"rel": "self", "href": href}],
            "completed": done,
            "id": str(job["id"]),
            "progress": progress,
            "task": {"links": [{"rel": "self", "href": f"{href}/task"}]},
        }
        return JsonResponse(body, 200, None, SINGULAR)

    def tasks(self, request: Request, actor: str) -> Response:
        """GET .../job/{id}/task: the tasks, one per record, in the order they were sent."""
        job = self._job(request, actor)
        href = f"{_origin(request)}{JOB}/{job['id']}/task"
        rows = self.service.store.read("SELECT * FROM async_task WHERE job = ? ORDER BY task", (job["id"],))
        items = [self._task_body(row, f"{href}/{row['task']}", self._finished(job)) for row in rows]
        body = {"links": [{"rel": "self", "href": href}], "count": len(items), "hasMore": False, "items": items,
                "offset": 0,                 "totalResults": len(items)}  # fmt: skip
        return JsonResponse(body, 200, None, COLLECTION)

    def task(self, request: Request, actor: str) -> Response:
        """GET .../job/{id}/task/{n}."""
        job = self._job(request, actor)
        row = self._task(request, job)
        href = f"{_origin(request)}{JOB}/{job['id']}/task/{row['task']}"
        return JsonResponse(self._task_body(row, href, self._finished(job)), 200, None, SINGULAR)

    def result(self, request: Request, actor: str) -> Response:
        """GET .../job/{id}/task/{n}/result: what the same request would have been answered at once."""
        job = self._job(request, actor)
        row = self._task(request, job)
        if not self._finished(job):
            return error(404, "NONEXISTENT_ID", "The result is not available yet.")
        headers = {"Location": f"{_origin(request)}{row['location']}"} if row["location"] else {}
        if row["body"]:
            return JsonResponse(jsonio.loads(row["body"]), int(row["status"]), headers, ERROR)
        return Response(status_code=int(row["status"]), headers=headers)

    def _task(self, request: Request, job: Mapping[str, Any]) -> dict[str, Any]:
        text = request.path_params["task"]
        row = self.service.store.one(
            "SELECT * FROM async_task WHERE job = ? AND task = ?", (job["id"], int(text) if text.isdigit() else -1)
        )
        if row is None:
            raise Refusal("NONEXISTENT_ID", f"There is no task {text}.", (), 404)
        return row

    @staticmethod
    def _task_body(row: Mapping[str, Any], href: str, done: bool) -> dict[str, Any]:
        body: dict[str, Any] = {"links": [{"rel": "self", "href": href}], "completed": done, "id": str(row["task"])}
        body["progress"] = ("succeeded" if row["status"] < 400 else "failed") if done else "processing"
        if done:
            for name, column in (("startTime", "started"), ("endTime", "ended")):
                body[name] = f"{row[column][:10]}T{row[column][11:] or '00:00:00'}Z"
            body["result"] = {"links": [{"rel": "self", "href": f"{href}/result"}]}
        return body

    # -- small things -----------------------------------------------------------------------------------------------

    def _record(self, request: Request, actor: str) -> Record:
        record = self.service.record(request.path_params["type"])
        self.service.permit(actor, record, write=False)
        return record

    def _shower(self, request: Request) -> Shower:
        simple = request.query_params.get("simpleEnumFormat", "").lower() == "true"
        return Shower(self.service, f"{_origin(request)}{RECORD}", simple_enums=simple)


def _origin(request: Request) -> str:
    """Scheme and host as the caller wrote them; every link leads back to where it was asked."""
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


def _path_of(location: str | None) -> str | None:
    return None if location is None else f"/{location.split('/', 3)[3]}"


def _prefers(request: Request) -> set[str]:
    values = ",".join(request.headers.getlist("prefer"))
    return {value.strip().lower() for value in values.split(",") if value.strip()}


def _validation(request: Request) -> str:
    return request.headers.get("x-netsuite-propertynamevalidation", "warning").strip().lower()


def _body(request: Request) -> Mapping[str, Any]:
    body = json_of(request)
    if body is None and not body_of(request):
        return {}
    if not isinstance(body, Mapping):
        raise BadBody("A JSON object is expected.")
    return body


def _done(request: Request, record: Record, id: int, warnings: list[str] | None = None) -> Response:
    headers = {"Location": f"{_origin(request)}{RECORD}/{record.name}/{id}"}
    if warnings:
        headers["X-NetSuite-Warnings"] = " ".join(warnings).encode("ascii", "replace").decode()
    return Response(status_code=204, headers=headers)


def _target_of(item: Mapping[str, Any], method: str) -> str | None:
    """Which record an item of a batch is for: its id (which wins) or its external id; None for a new one."""
    if method == "POST":
        return None
    if method == "PATCH" and item.get("id"):
        return str(item["id"])
    return f"eid:{item.get('externalId', '')}"


def _without_id(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "id"}


def _window(request: Request, *, divisible: bool) -> tuple[int, int]:
    """`limit` and `offset` of a page. Raises Refusal INVALID_PARAMETER."""
    found = {}
    for name, default in (("limit", PAGE), ("offset", 0)):
        text = request.query_params.get(name, str(default))
        if not text.isdigit() or (name == "limit" and not 1 <= int(text) <= PAGE):
            expected = f"a number from 1 to {PAGE}" if name == "limit" else "a number from 0 on"
            raise Refusal("INVALID_PARAMETER", f"Invalid value '{text}' of {name}; it must be {expected}.", (), 400,
                          query_parameter=name)  # fmt: skip
        found[name] = int(text)
    if divisible and found["offset"] % found["limit"]:
        raise Refusal(
            "INVALID_PARAMETER", "The offset must be divisible by the limit.", (), 400, query_parameter="offset"
        )
    return found["limit"], found["offset"]


def _page_links(
    url: str, limit: int, offset: int, total: int, count: int, q: str | None = None
) -> list[dict[str, str]]:
    from urllib.parse import quote

    extra = f"&q={quote(q)}" if q else ""

    def at(place: int) -> str:
        return f"{url}?limit={limit}&offset={place}{extra}"

    links = []
    if offset + count < total and count:
        last = (total - 1) // limit * limit
        links += [{"rel": "next", "href": at(offset + limit)}, {"rel": "last", "href": at(last)}]
    if offset:
        links += [{"rel": "first", "href": at(0)}, {"rel": "prev", "href": at(max(0, offset - limit))}]
    return [*links, {"rel": "self", "href": at(offset)}]


def _openapi(records: list[Record], origin: str) -> dict[str, Any]:
    base = f"{origin}{RECORD}"
    return {
        "openapi": "3.0.1",
        "info": {"title": "NetSuite REST Record API", "version": "v1"},
        "servers": [{"url": base}],
        "paths": {f"/{r.name}": {"get": {"tags": [r.name]}, "post": {"tags": [r.name]}} for r in records},
        "components": {"schemas": {r.name: json_schema(r, base) for r in records}},
    }


def create_app(service: NetSuiteService, faults: Faults) -> SandboxApp:
    """The sandbox's ASGI app. Five requests at a time, as a standard account allows."""
    api = Api(service, faults)
    return build_app("netsuite", api.routes(), service.store, faults, LIMITS, SHAPES, id_header="x-n-operationid")
