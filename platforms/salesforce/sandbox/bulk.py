"""The Bulk APIs: 2.0 (CSV jobs below `/services/data/vXX.0/jobs`) and v1 (`/services/async/XX.0`), query and ingest.

Jobs are worked off when their data is complete, so the first poll already finds them finished; `bulk.polls` in the
store's meta lets a job stay InProgress for that many polls first.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from platforms.kit.sandbox.app import BadBody
from platforms.kit.sandbox.faults import Faults
from platforms.kit.sandbox.service import Refusal
from platforms.salesforce.sandbox.ids import make_id, normal_id
from platforms.salesforce.sandbox.rest import LOCK_MESSAGE, row_key
from platforms.salesforce.sandbox.service import SalesforceService
from platforms.salesforce.sandbox.soql import Column, Compiled, SoqlError, instant_text, parse_instant, shaper
from platforms.salesforce.sandbox.wire import Answer, Call, Table, error_list

DELIMITERS = {"COMMA": ",", "TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}
ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
RESULT_PAGE = 50_000
MAX_UPLOAD = 150 * 1024 * 1024
NULL = "#N/A"


# --- CSV of query results ----------------------------------------------------------------------------------


def csv_select(compiled: Compiled) -> str:
    """The page SQL with every column as the CSV shows it: booleans as words, instants with Z, numbers with a point."""
    parts = []
    for column in compiled.columns:
        name = f"c{column.index}"
        if column.kind == "boolean":
            parts.append(f"CASE {name} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END")
        elif column.kind == "datetime":
            parts.append(f"replace({name}, '+0000', 'Z')")
        else:
            parts.append(name)
    return f"SELECT seq, {', '.join(parts)} FROM ({compiled.page_sql})"


def header_of(columns: Iterable[Column]) -> list[str]:
    """Column names as the CSV header shows them: `Account.Name`."""
    return [".".join(column.path) for column in columns]


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ",", ending: str = "\n") -> bytes:
    """CSV with every value quoted; null is the empty string."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode("utf-8")


def check_bulk_query(compiled: Compiled) -> None:
    """Raise SoqlError for what bulk queries do not do."""
    query = compiled.query
    if compiled.aggregate or query.group:
        raise SoqlError("FEATURENOTENABLED", "Aggregate Relationships not supported in Bulk Query")
    if compiled.children:
        raise SoqlError("FEATURENOTENABLED", "Nested Relationships not supported in Bulk Query")
    if query.offset:
        raise SoqlError("FEATURENOTENABLED", "OFFSET not supported in Bulk Query")
    if any(column.kind == "address" for column in compiled.columns):
        raise SoqlError("FUNCTIONALITY_NOT_ENABLED", "Selecting compound data not supported in Bulk Query")
    if not compiled.object.bulk:
        raise SoqlError("INVALIDENTITY", f"Entity '{compiled.object.name}' is not supported by the Bulk API.")


class Jobs:
    """What both APIs share: where jobs are kept, and how rows of an upload are done."""

    def __init__(self, service: SalesforceService, faults: Faults) -> None:
        self.service = service
        self.faults = faults

    def new(self, kind: str, facts: dict[str, Any], body: bytes = b"") -> dict[str, Any]:
        """Keep a new job; `facts` is what answers show."""
        store = self.service.store
        facts["id"] = make_id("750", store.next_number("_job"))
        store.write(
            "INSERT INTO _jobs (id, kind, state, facts, body, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
            (facts["id"], kind, facts["state"], json.dumps(facts), body, self.service.clock.milliseconds()),
        )
        return facts

    def get(self, job_id: str, *kinds: str) -> dict[str, Any] | None:
        """A job's facts."""
        normal = normal_id(job_id)
        row = self.service.store.one("SELECT kind, facts FROM _jobs WHERE id = ?", (normal,))
        return json.loads(row["facts"]) if row and (not kinds or row["kind"] in kinds) else None

    def body(self, job_id: str) -> bytes:
        """A job's data: the uploaded CSV, or the record numbers a query found."""
        row = self.service.store.one("SELECT body FROM _jobs WHERE id = ?", (job_id,))
        return bytes(row["body"] or b"") if row else b""

    def save(self, facts: Mapping[str, Any], body: bytes | None = None) -> None:
        """Keep changed facts (and data)."""
        store = self.service.store
        store.write(
            "UPDATE _jobs SET facts = ?, state = ? WHERE id = ?", (json.dumps(facts), facts["state"], facts["id"])
        )
        if body is not None:
            store.write("UPDATE _jobs SET body = ? WHERE id = ?", (body, facts["id"]))

    def drop(self, job_id: str) -> None:
        """Forget a job."""
        self.service.store.write("DELETE FROM _jobs WHERE id = ?", (job_id,))

    def all(self, kind: str) -> list[dict[str, Any]]:
        """All jobs of a kind, oldest first."""
        rows = self.service.store.read("SELECT facts FROM _jobs WHERE kind = ? ORDER BY id", (kind,))
        return [json.loads(row["facts"]) for row in rows]

    def work(
        self, object_name: str, operation: str, key: str, rows: list[dict[str, Any]], actor: str
    ) -> list[tuple[str, bool, str, tuple[str, ...], str]]:
        """Do each row by itself: (id, created, error code, fields, error message); an empty code means done."""
        definition = self.service.object(object_name)
        done: list[tuple[str, bool, str, tuple[str, ...], str]] = []
        with self.service.transaction():
            for row in rows:
                values = _unflatten(row)
                own = next((v for k, v in values.items() if k.lower() == "id"), None)
                name = str(own or row.get(key) or row_key(row))
                if self.faults.partial(name):
                    done.append(("", False, "UNABLE_TO_LOCK_ROW", (), LOCK_MESSAGE + name))
                    continue
                try:
                    with self.service.store.transaction():
                        done.append((*self._row(definition.name, operation, key, values, own, actor), "", (), ""))
                except Refusal as refusal:
                    code = "INVALID_CROSS_REFERENCE_KEY" if refusal.code == "NOT_FOUND" else refusal.code
                    done.append(("", False, code, refusal.fields, refusal.message))
        return done

    def _row(
        self, name: str, operation: str, key: str, values: dict[str, Any], own: Any, actor: str
    ) -> tuple[str, bool]:
        service = self.service
        rest = {k: v for k, v in values.items() if k.lower() != "id"}
        if operation == "insert":
            return service.insert(name, rest, actor=actor), True
        if operation == "upsert" and key.lower() != "id":
            wanted = next((v for k, v in values.items() if k.lower() == key.lower()), None)
            if wanted in (None, ""):
                raise Refusal("MISSING_ARGUMENT", f"{key} not specified", [key])
            rest = {k: v for k, v in rest.items() if k.lower() != key.lower()}
            return service.upsert(name, key, wanted, rest, actor=actor)
        if operation == "upsert" and not own:
            return service.insert(name, rest, actor=actor), True
        normal = normal_id(str(own or ""))
        if normal is None:
            raise Refusal(
                "MISSING_ARGUMENT" if not own else "MALFORMED_ID", "Id not specified in an update call", ["Id"]
            )
        if operation in ("delete", "hardDelete"):
            service.delete(name, normal, actor=actor, hard=operation == "hardDelete")
        else:
            service.update(name, normal, rest, actor=actor)
        return normal, False


def _unflatten(row: Mapping[str, Any]) -> dict[str, Any]:
    """`{"Account.Ext__c": "x"}` names a parent by its external id: `{"Account": {"Ext__c": "x"}}`."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        parent, dot, field = name.partition(".")
        if dot:
            out[parent] = {field.split(".")[-1]: value} if value is not None else None
        else:
            out[name] = value
    return out


def read_csv(body: bytes, delimiter: str, nulls: str = NULL) -> tuple[list[str], list[list[str]], list[dict[str, Any]]]:
    """Header, raw lines and rows of an upload: `#N/A` is null, an empty value leaves the field alone."""
    reader = csv.reader(io.StringIO(body.decode("utf-8-sig")), delimiter=delimiter)
    header = next(reader, [])
    lines = [line for line in reader if line]
    rows = [
        {name: None if value == nulls else value for name, value in zip(header, line, strict=False) if value != ""}
        for line in lines
    ]
    return header, lines, rows


class Bulk2:
    """Bulk API 2.0."""

    def __init__(self, jobs: Jobs, table: Table) -> None:
        self.jobs = jobs
        self.service = jobs.service
        add = table.add
        add("/jobs/query", "POST", self.create_query)
        add("/jobs/query", "GET", lambda call: self.list_jobs(call, "query", "V2Query"))
        add("/jobs/query/{id}/results", "GET", self.results)
        add("/jobs/query/{id}", "GET", self.query_status)
        add("/jobs/query/{id}", "PATCH", self.patch_query)
        add("/jobs/query/{id}", "DELETE", self.delete)
        add("/jobs/ingest", "POST", self.create_ingest)
        add("/jobs/ingest", "GET", lambda call: self.list_jobs(call, "ingest", "V2Ingest"))
        add("/jobs/ingest/{id}/batches", "PUT", self.upload)
        add("/jobs/ingest/{id}/successfulResults", "GET", lambda call: self.outcome(call, "successful"))
        add("/jobs/ingest/{id}/failedResults", "GET", lambda call: self.outcome(call, "failed"))
        add("/jobs/ingest/{id}/unprocessedrecords", "GET", lambda call: self.outcome(call, "unprocessed"))
        add("/jobs/ingest/{id}", "GET", self.ingest_status)
        add("/jobs/ingest/{id}", "PATCH", self.patch_ingest)
        add("/jobs/ingest/{id}", "DELETE", self.delete)

    def _common(self, call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
        delimiter, ending = body.get("columnDelimiter", "COMMA"), body.get("lineEnding", "LF")
        if delimiter not in DELIMITERS or ending not in ENDINGS:
            raise Refusal("INVALIDJOB", "columnDelimiter or lineEnding is not one of the allowed values")
        if body.get("contentType", "CSV") != "CSV":
            raise Refusal("INVALIDJOB", "Bulk API 2.0 takes contentType CSV only")
        now = instant_text(self.service.clock.now())
        return {
            "id": "",
            "operation": body.get("operation"),
            "object": body.get("object"),
            "createdById": call.user,
            "createdDate": now,
            "systemModstamp": now,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": call.version,
            "lineEnding": ending,
            "columnDelimiter": delimiter,
        }

    def _job(self, call: Call, kind: str) -> dict[str, Any]:
        facts = self.jobs.get(call.params["id"], kind)
        if facts is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        if facts["apiVersion"] != call.version:
            raise Refusal("INVALIDVERSION", f"Job was created with API version {facts['apiVersion']}", status=409)
        return facts

    def _poll(self, facts: dict[str, Any]) -> dict[str, Any]:
        left = int(facts.pop("_polls", 0))
        if facts["state"] in ("JobComplete", "Failed") and left:
            self.jobs.save({**facts, "_polls": left - 1})
            return {**facts, "state": "InProgress"}
        return facts

    # query

    def create_query(self, call: Call) -> Answer:
        """POST /jobs/query."""
        body = call.mapping()
        if body.get("operation") not in ("query", "queryAll"):
            raise Refusal("INVALIDJOB", "operation must be query or queryAll")
        facts = self._common(call, body)
        soql = str(body.get("query", ""))
        found, error = array("q"), None
        try:
            compiled = self.service.compile(soql, all_rows=body["operation"] == "queryAll")
            facts["object"] = compiled.object.name
            check_bulk_query(compiled)
            found = self.service.find(compiled)
        except SoqlError as problem:
            if problem.code in ("MALFORMED_QUERY", "INVALID_TYPE", "INVALID_FIELD") and facts["object"] is None:
                return error_list("API_ERROR" if problem.code != "MALFORMED_QUERY" else problem.code, problem.message)
            error = f"{problem.code}: {problem.message}"
        shown = {**facts, "state": "UploadComplete"}
        kept = {
            **facts,
            "state": "Failed" if error else "JobComplete",
            "jobType": "V2Query",
            "numberRecordsProcessed": len(found),
            "retries": 0,
            "totalProcessingTime": 12,
            "isPkChunkingSupported": True,
            "errorMessage": error or "",
            "_soql": soql,
            "_polls": int(self.service.store.meta.get("bulk.polls", 0)),
        }
        made = self.jobs.new("query", kept, found.tobytes())
        return Answer(body={**shown, "id": made["id"]})

    def query_status(self, call: Call) -> Answer:
        """GET /jobs/query/{id}."""
        return Answer(body=_public(self._poll(self._job(call, "query"))))

    def patch_query(self, call: Call) -> Answer:
        """PATCH /jobs/query/{id} {"state": "Aborted"}."""
        facts = self._job(call, "query")
        if call.mapping().get("state") != "Aborted":
            raise Refusal("INVALIDJOBSTATE", "a query job can only be aborted")
        facts["state"] = "Aborted"
        self.jobs.save(facts)
        return Answer(body=_public(facts))

    def results(self, call: Call) -> Answer:
        """GET /jobs/query/{id}/results: CSV pages; the last one carries the literal locator `null`."""
        facts = self._job(call, "query")
        if facts["state"] != "JobComplete" or facts.get("_polls"):
            raise Refusal("JOB_NOT_COMPLETE", f"the job is {facts['state']}, its results are not ready")
        numbers = array("q")
        numbers.frombytes(self.jobs.body(facts["id"]))
        offset = _decode_locator(call.arg("locator"))
        if offset > len(numbers):
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        try:
            size = max(1, int(call.arg("maxRecords") or RESULT_PAGE))
        except ValueError:
            raise Refusal("INVALID_PARAMETER", "maxRecords must be a number") from None
        chosen = numbers[offset : offset + size]
        compiled = self.service.compile(facts["_soql"], all_rows=facts["operation"] == "queryAll")
        found = {
            row[0]: row[1:]
            for row in self.service.store.connection.execute(csv_select(compiled), (json.dumps(list(chosen)),))
        }
        rows = [found[number] for number in chosen if number in found]
        body = to_csv(
            header_of(compiled.columns), rows, DELIMITERS[facts["columnDelimiter"]], ENDINGS[facts["lineEnding"]]
        )
        following = offset + size
        locator = _encode_locator(following) if following < len(numbers) else "null"
        headers = {"Sforce-NumberOfRecords": str(len(rows)), "Sforce-Locator": locator}
        return Answer(body=body, headers=headers, content_type="text/csv")

    # ingest

    def create_ingest(self, call: Call) -> Answer:
        """POST /jobs/ingest."""
        body = call.mapping()
        operation = body.get("operation")
        if operation not in ("insert", "update", "upsert", "delete", "hardDelete"):
            raise Refusal("INVALIDJOB", "operation must be insert, update, upsert, delete or hardDelete")
        definition = self.service.objects.get(str(body.get("object", "")).lower())
        if definition is None or not definition.bulk:
            raise Refusal("INVALIDENTITY", f"Entity '{body.get('object')}' is not supported by the Bulk API.")
        key = body.get("externalIdFieldName")
        if operation == "upsert" and str(key or "").lower() not in definition.by_lower:
            raise Refusal("INVALIDJOB", f"External ID was not found for {definition.name}: {key}")
        facts = {**self._common(call, body), "object": definition.name, "state": "Open", "jobType": "V2Ingest"}
        if key:
            facts["externalIdFieldName"] = key
        facts["assignmentRuleId"] = body.get("assignmentRuleId")
        made = self.jobs.new("ingest", facts)
        made["contentUrl"] = f"services/data/v{call.version:.1f}/jobs/ingest/{made['id']}/batches"
        self.jobs.save(made)
        return Answer(body=_public(made))

    def upload(self, call: Call) -> Answer:
        """PUT /jobs/ingest/{id}/batches: the CSV, once."""
        facts = self._job(call, "ingest")
        if facts["state"] != "Open" or self.jobs.body(facts["id"]):
            raise Refusal("INVALIDJOBSTATE", "the job is not open for data any more")
        if not call.headers.get("content-type", "").lower().startswith("text/csv"):
            return error_list("UNSUPPORTED_MEDIA_TYPE", "Content-Type must be text/csv", 415)
        if len(call.body) > MAX_UPLOAD:
            raise Refusal("REQUEST_ENTITY_TOO_LARGE", "the data is larger than 150 MB", status=413)
        self.jobs.save(facts, call.body)
        return Answer(status=201)

    def patch_ingest(self, call: Call) -> Answer:
        """PATCH /jobs/ingest/{id}: UploadComplete starts the work, Aborted ends the job."""
        facts = self._job(call, "ingest")
        state = call.mapping().get("state")
        if state not in ("UploadComplete", "Aborted") or facts["state"] != "Open":
            raise Refusal("INVALIDJOBSTATE", f"the job is {facts['state']}; it cannot become {state}")
        if state == "Aborted":
            facts["state"] = "Aborted"
            self.jobs.save(facts)
            return Answer(body=_public(facts))
        self._process(facts, call.user)
        shown = {k: v for k, v in facts.items() if not k.startswith("numberRecords")}
        return Answer(body=_public({**shown, "state": "UploadComplete"}))

    def _process(self, facts: dict[str, Any], user: str) -> None:
        raw = self.jobs.body(facts["id"])
        facts |= {
            "state": "JobComplete",
            "numberRecordsProcessed": 0,
            "numberRecordsFailed": 0,
            "retries": 0,
            "totalProcessingTime": 34,
            "apiActiveProcessingTime": 20,
            "apexProcessingTime": 0,
            "_polls": int(self.service.store.meta.get("bulk.polls", 0)),
        }
        header, lines, rows = read_csv(raw, DELIMITERS[facts["columnDelimiter"]])
        definition = self.service.object(facts["object"])
        unknown = [name for name in header if "." not in name and name.lower() not in definition.by_lower]
        if unknown:
            facts |= {"state": "Failed", "errorMessage": f"InvalidBatch : Field name not found : {unknown[0]}"}
            self.jobs.save(facts)
            return
        results = self.jobs.work(
            facts["object"], facts["operation"], facts.get("externalIdFieldName", "Id"), rows, user
        )
        failed = sum(1 for one in results if one[2])
        facts |= {"numberRecordsProcessed": len(rows), "numberRecordsFailed": failed}
        facts["_results"] = {
            "successful": to_csv(
                ["sf__Id", "sf__Created", *header],
                [[r[0], str(r[1]).lower(), *line] for r, line in zip(results, lines, strict=True) if not r[2]],
            ).decode(),
            "failed": to_csv(
                ["sf__Id", "sf__Error", *header],
                [
                    [r[0], f"{r[2]}:{r[4]}:{' '.join(r[3])} --", *line]
                    for r, line in zip(results, lines, strict=True)
                    if r[2]
                ],
            ).decode(),
        }
        self.jobs.save(facts)

    def ingest_status(self, call: Call) -> Answer:
        """GET /jobs/ingest/{id}."""
        return Answer(body=_public(self._poll(self._job(call, "ingest"))))

    def outcome(self, call: Call, which: str) -> Answer:
        """GET successfulResults, failedResults, unprocessedrecords."""
        facts = self._job(call, "ingest")
        found = (facts.get("_results") or {}).get(which)
        if found is None:
            header: list[str] = []
            raw = self.jobs.body(facts["id"])
            if raw:
                header = next(csv.reader(io.StringIO(raw.decode("utf-8-sig"))), [])
            found = (
                raw.decode()
                if which == "unprocessed" and facts["state"] in ("Failed", "Aborted")
                else to_csv(header, []).decode()
            )
        return Answer(body=found.encode(), content_type="text/csv")

    # both

    def list_jobs(self, call: Call, kind: str, job_type: str) -> Answer:
        """GET /jobs/query or /jobs/ingest."""
        wanted = call.arg("jobType")
        found = [_public(one) for one in self.jobs.all(kind)] if wanted in ("", job_type) else []
        return Answer(body={"done": True, "records": found, "nextRecordsUrl": None})

    def delete(self, call: Call) -> Answer:
        """DELETE a job in a final state."""
        kind = "query" if "/jobs/query" in call.path.lower() else "ingest"
        facts = self._job(call, kind)
        if facts["state"] not in ("JobComplete", "Failed", "Aborted", "UploadComplete"):
            raise Refusal("INVALIDJOBSTATE", f"the job is {facts['state']}; abort it first")
        self.jobs.drop(facts["id"])
        return Answer(status=204)


def _public(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if not name.startswith("_")}


def _encode_locator(offset: int) -> str:
    return base64.b64encode(str(offset).encode()).decode().rstrip("=")


def _decode_locator(text: str) -> int:
    if not text or text == "null":
        return 0
    try:
        return int(base64.b64decode(text + "=" * (-len(text) % 4)).decode())
    except ValueError:
        raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator") from None


# --- Bulk API v1 -------------------------------------------------------------------------------------------

_NAMESPACE = "http://www.force.com/2009/06/asyncapi/dataload"
Bulk1Handler = Callable[[Call], Answer]


def bulk1_error(code: str, message: str, status: int = 400, *, xml: bool = False) -> Answer:
    """The v1 error: exceptionCode and exceptionMessage, in the caller's format."""
    if xml:
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><error xmlns="{_NAMESPACE}"><exceptionCode>{code}</exceptionCode>'
            f"<exceptionMessage>{escape(message)}</exceptionMessage></error>"
        )
        return Answer(status=status, body=body.encode(), content_type="application/xml")
    return Answer(status=status, body={"exceptionCode": code, "exceptionMessage": message})


def _xml(root: str, facts: Mapping[str, Any]) -> bytes:
    inner = "".join(
        f"<{k}>{escape(_word(v))}</{k}>" for k, v in facts.items() if not k.startswith("_") and v is not None
    )
    return f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="{_NAMESPACE}">{inner}</{root}>'.encode()


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Bulk1:
    """Bulk API v1, as old clients use it."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.service = jobs.service
        self.table = Table()
        add = self.table.add
        add("/job", "POST", self.create)
        add("/job/{job}", "GET", self.status)
        add("/job/{job}", "POST", self.change)
        add("/job/{job}/batch", "POST", self.add_batch)
        add("/job/{job}/batch", "GET", self.batches)
        add("/job/{job}/batch/{batch}", "GET", self.batch)
        add("/job/{job}/batch/{batch}/request", "GET", self.batch_request)
        add("/job/{job}/batch/{batch}/result", "GET", self.result)
        add("/job/{job}/batch/{batch}/result/{result}", "GET", self.result_page)

    # formats

    def _given(self, call: Call) -> dict[str, Any]:
        if "xml" in call.headers.get("content-type", "").lower():
            try:
                root = ElementTree.fromstring(call.body)
            except ElementTree.ParseError as error:
                raise BadBody(str(error)) from error
            return {node.tag.rsplit("}", 1)[-1]: node.text for node in root}
        return call.mapping()

    def _show(
        self, call: Call, root: str, facts: Mapping[str, Any], status: int, *, job_json: bool | None = None
    ) -> Answer:
        accept = call.headers.get("accept", "").lower()
        sent = call.headers.get("content-type", "").lower()
        as_json = job_json if job_json is not None else "xml" not in sent
        if "application/json" in accept:
            as_json = True
        elif "xml" in accept and "*/*" not in accept:
            as_json = False
        if as_json:
            return Answer(status=status, body={k: v for k, v in facts.items() if not k.startswith("_")})
        return Answer(status=status, body=_xml(root, facts), content_type="application/xml")

    def _job(self, call: Call) -> dict[str, Any]:
        facts = self.jobs.get(call.params["job"], "bulk1")
        if facts is None:
            raise Refusal("InvalidJob", f"Unable to find object for id {call.params['job']}")
        return facts

    # jobs

    def create(self, call: Call) -> Answer:
        """POST /job."""
        given = self._given(call)
        operation = str(given.get("operation", ""))
        allowed = ("insert", "update", "upsert", "delete", "hardDelete", "query", "queryAll")
        if operation not in allowed:
            raise Refusal("InvalidJob", f"Unknown operation: {operation}")
        definition = self.service.objects.get(str(given.get("object", "")).lower())
        if definition is None or not definition.bulk:
            raise Refusal("InvalidEntity", f"Entity '{given.get('object')}' is not supported by the Bulk API.")
        now = instant_text(self.service.clock.now())
        chunking = call.headers.get("sforce-enable-pkchunking", "")
        facts = {
            "apexProcessingTime": 0,
            "apiActiveProcessingTime": 0,
            "apiVersion": call.version,
            "assignmentRuleId": None,
            "concurrencyMode": given.get("concurrencyMode") or "Parallel",
            "contentType": given.get("contentType") or "XML",
            "createdById": call.user,
            "createdDate": now,
            "externalIdFieldName": given.get("externalIdFieldName"),
            "fastPathEnabled": False,
            "id": "",
            "numberBatchesCompleted": 0,
            "numberBatchesFailed": 0,
            "numberBatchesInProgress": 0,
            "numberBatchesQueued": 0,
            "numberBatchesTotal": 0,
            "numberRecordsFailed": 0,
            "numberRecordsProcessed": 0,
            "numberRetries": 0,
            "object": definition.name,
            "operation": operation,
            "state": "Open",
            "systemModstamp": now,
            "totalProcessingTime": 0,
            "_chunk": _chunk_size(chunking),
        }
        return self._show(call, "jobInfo", self.jobs.new("bulk1", facts), 201)

    def status(self, call: Call) -> Answer:
        """GET /job/{id}."""
        facts = self._job(call)
        return self._show(call, "jobInfo", facts, 200, job_json=facts["contentType"] == "JSON")

    def change(self, call: Call) -> Answer:
        """POST /job/{id} {"state": "Closed" | "Aborted"}."""
        facts = self._job(call)
        state = self._given(call).get("state")
        if state not in ("Closed", "Aborted"):
            raise Refusal("InvalidJobState", f"a job cannot become {state}")
        facts["state"] = state
        self.jobs.save(facts)
        return self._show(call, "jobInfo", facts, 200)

    # batches

    def add_batch(self, call: Call) -> Answer:
        """POST /job/{id}/batch: the SOQL, or the rows."""
        facts = self._job(call)
        if facts["state"] != "Open":
            raise Refusal("InvalidJobState", f"the job is {facts['state']}")
        as_json = facts["contentType"] == "JSON"
        if facts["operation"] in ("query", "queryAll"):
            batch = self._query_batch(facts, call.body.decode("utf-8"))
        else:
            batch = self._rows_batch(facts, call)
        self.jobs.save(facts)
        return self._show(call, "batchInfo", batch, 201, job_json=as_json)

    def _new_batch(self, job: dict[str, Any], state: str, body: bytes, result: bytes, **more: Any) -> dict[str, Any]:
        store = self.service.store
        now = instant_text(self.service.clock.now())
        facts = {
            "apexProcessingTime": 0,
            "apiActiveProcessingTime": 0,
            "createdDate": now,
            "id": make_id("751", store.next_number("_batch")),
            "jobId": job["id"],
            "numberRecordsFailed": 0,
            "numberRecordsProcessed": 0,
            "state": state,
            "stateMessage": None,
            "systemModstamp": now,
            "totalProcessingTime": 0,
            **more,
        }
        store.write(
            "INSERT INTO _batches (id, job, facts, body, result) VALUES (?, ?, ?, ?, ?)",
            (facts["id"], job["id"], json.dumps(facts), body, result),
        )
        job["numberBatchesTotal"] += 1
        job["numberBatchesCompleted"] += state == "Completed"
        job["numberBatchesFailed"] += state == "Failed"
        job["numberRecordsProcessed"] += facts["numberRecordsProcessed"]
        job["numberRecordsFailed"] += facts["numberRecordsFailed"]
        return facts

    def _query_batch(self, job: dict[str, Any], soql: str) -> dict[str, Any]:
        body = soql.encode()
        try:
            compiled = self.service.compile(soql, all_rows=job["operation"] == "queryAll")
            check_bulk_query(compiled)
            numbers = self.service.find(compiled)
        except SoqlError as error:
            code = "InvalidBatch" if error.code != "FEATURENOTENABLED" else "FeatureNotEnabled"
            message = f"{code} : Failed to process query: {error.code}: {error.message}"
            return self._new_batch(job, "Failed", body, b"", stateMessage=message)
        if not job["_chunk"]:
            return self._new_batch(job, "Completed", body, numbers.tobytes(), numberRecordsProcessed=len(numbers))
        first = self._new_batch(job, "NotProcessed", body, b"")
        for start in range(0, len(numbers), job["_chunk"]):
            part = numbers[start : start + job["_chunk"]]
            self._new_batch(job, "Completed", body, part.tobytes(), numberRecordsProcessed=len(part))
        return first

    def _rows_batch(self, job: dict[str, Any], call: Call) -> dict[str, Any]:
        kind = job["contentType"]
        if kind == "JSON":
            rows = call.json()
            if not isinstance(rows, list):
                raise BadBody("a list of records is needed")
        elif kind == "CSV":
            rows = read_csv(call.body, ",")[2]
        else:
            root = ElementTree.fromstring(call.body)
            rows = [
                {field.tag.rsplit("}", 1)[-1]: _xml_value(field) for field in one}
                for one in root
                if one.tag.endswith("sObject")
            ]
        rows = [{k: v for k, v in row.items() if k not in ("attributes", "type")} for row in rows]
        results = self.jobs.work(job["object"], job["operation"], job["externalIdFieldName"] or "Id", rows, call.user)
        shown = [
            {
                "success": not code,
                "created": created,
                "id": own or None,
                "errors": [
                    {"statusCode": code, "message": message, "fields": list(fields), "extendedErrorDetails": None}
                ]
                if code
                else [],
            }
            for own, created, code, fields, message in results
        ]
        failed = sum(1 for one in shown if not one["success"])
        return self._new_batch(
            job, "Completed", call.body, json.dumps(shown).encode(),
            numberRecordsProcessed=len(rows), numberRecordsFailed=failed,
        )  # fmt: skip

    def batches(self, call: Call) -> Answer:
        """GET /job/{id}/batch."""
        job = self._job(call)
        rows = self.service.store.read("SELECT facts FROM _batches WHERE job = ? ORDER BY id", (job["id"],))
        found = [json.loads(row["facts"]) for row in rows]
        if job["contentType"] == "JSON":
            return Answer(body={"batchInfo": found})
        inner = "".join(
            "<batchInfo>"
            + "".join(f"<{k}>{escape(_word(v))}</{k}>" for k, v in one.items() if v is not None)
            + "</batchInfo>"
            for one in found
        )
        body = f'<?xml version="1.0" encoding="UTF-8"?><batchInfoList xmlns="{_NAMESPACE}">{inner}</batchInfoList>'
        return Answer(body=body.encode(), content_type="application/xml")

    def _batch(self, call: Call) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
        job = self._job(call)
        row = self.service.store.one(
            "SELECT * FROM _batches WHERE id = ? AND job = ?", (normal_id(call.params["batch"]), job["id"])
        )
        if row is None:
            raise Refusal("InvalidBatch", f"Unable to find object for id {call.params['batch']}")
        return job, json.loads(row["facts"]), bytes(row["body"]), bytes(row["result"])

    def batch(self, call: Call) -> Answer:
        """GET /job/{id}/batch/{id}."""
        job, facts, _, _ = self._batch(call)
        return self._show(call, "batchInfo", facts, 200, job_json=job["contentType"] == "JSON")

    def batch_request(self, call: Call) -> Answer:
        """GET what was sent."""
        job, _, body, _ = self._batch(call)
        kinds = {"JSON": "application/json", "CSV": "text/csv", "XML": "application/xml"}
        return Answer(body=body, content_type=kinds[job["contentType"]])

    def result(self, call: Call) -> Answer:
        """GET …/result: for queries the list of result ids, for writes the outcome of each row."""
        job, facts, _, result = self._batch(call)
        kind = job["contentType"]
        if job["operation"] in ("query", "queryAll"):
            result_id = "752" + facts["id"][3:15] + "AAA"
            ids = [result_id] if facts["state"] == "Completed" else []
            if kind == "JSON":
                return Answer(body=ids)
            inner = "".join(f"<result>{one}</result>" for one in ids)
            body = f'<?xml version="1.0" encoding="UTF-8"?><result-list xmlns="{_NAMESPACE}">{inner}</result-list>'
            return Answer(body=body.encode(), content_type="application/xml")
        rows = json.loads(result)
        if kind == "JSON":
            return Answer(body=rows)
        if kind == "CSV":
            lines = [
                [
                    one["id"] or "", _word(one["success"]), _word(one["created"]),
                    "; ".join(f"{e['statusCode']}:{e['message']}:{' '.join(e['fields'])} --" for e in one["errors"]),
                ]
                for one in rows
            ]  # fmt: skip
            return Answer(body=to_csv(["Id", "Success", "Created", "Error"], lines), content_type="text/csv")
        inner = "".join(_xml_outcome(one) for one in rows)
        body = f'<?xml version="1.0" encoding="UTF-8"?><results xmlns="{_NAMESPACE}">{inner}</results>'
        return Answer(body=body.encode(), content_type="application/xml")

    def result_page(self, call: Call) -> Answer:
        """GET …/result/{id}: the rows a query found."""
        job, facts, body, result = self._batch(call)
        if facts["state"] != "Completed":
            raise Refusal("InvalidBatch", "the batch has no results")
        numbers = array("q")
        numbers.frombytes(result)
        compiled = self.service.compile(body.decode(), all_rows=job["operation"] == "queryAll")
        if job["contentType"] == "CSV":
            found = {
                row[0]: row[1:]
                for row in self.service.store.connection.execute(csv_select(compiled), (json.dumps(list(numbers)),))
            }
            rows = [found[number] for number in numbers if number in found]
            return Answer(body=to_csv(header_of(compiled.columns), rows), content_type="text/csv")
        shape = shaper(compiled.root, f"/services/data/v{job['apiVersion']:.1f}")
        records = [r for row in self.service.fetch(compiled, numbers) if (r := shape(row)) is not None]
        if job["contentType"] == "JSON":
            instants = {c.path for c in compiled.columns if c.kind == "datetime"}
            for record in records:
                for path in instants:
                    _to_epoch(record, path)
            return Answer(body=records)
        inner = "".join(_xml_record(record) for record in records)
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><queryResult xmlns="' + _NAMESPACE + '" '
            f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{inner}</queryResult>'
        )
        return Answer(body=text.encode(), content_type="application/xml")


def _chunk_size(header: str) -> int:
    """Records per chunk that Sforce-Enable-PKChunking asks for; 0 when it is off."""
    if not header or header.strip().lower() == "false":
        return 0
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name.lower() == "chunksize" and value.isdigit():
            return min(int(value), 250_000)
    return 100_000


def _to_epoch(record: dict[str, Any], path: tuple[str, ...]) -> None:
    """Instants in v1 JSON results are milliseconds since 1970."""
    here: Any = record
    for step in path[:-1]:
        here = here.get(step) if isinstance(here, dict) else None
    if isinstance(here, dict) and here.get(path[-1]):
        moment = parse_instant(here[path[-1]])
        if moment is not None:
            here[path[-1]] = int(moment.timestamp() * 1000)


def _xml_outcome(one: Mapping[str, Any]) -> str:
    """The outcome of one written row."""
    errors = "".join(
        f"<errors><message>{escape(error['message'])}</message><statusCode>{error['statusCode']}</statusCode></errors>"
        for error in one["errors"]
    )
    own = f"<id>{one['id']}</id>" if one["id"] else ""
    flags = f"<success>{_word(one['success'])}</success><created>{_word(one['created'])}</created>"
    return f"<result>{errors}{own}{flags}</result>"


def _xml_value(field: ElementTree.Element) -> str | None:
    nil = field.attrib.get("{http://www.w3.org/2001/XMLSchema-instance}nil")
    return None if nil == "true" else (field.text or "")


def _xml_record(record: Mapping[str, Any]) -> str:
    kind = record["attributes"]["type"]
    parts = [f"<type>{kind}</type>"]
    for name, value in record.items():
        if name == "attributes":
            continue
        if isinstance(value, dict):
            parts.append(f"<{name}>{_xml_record(value)[len('<records>') : -len('</records>')]}</{name}>")
        elif value is None:
            parts.append(f'<{name} xsi:nil="true"/>')
        else:
            parts.append(f"<{name}>{escape(_word(value))}</{name}>")
    return f"<records>{''.join(parts)}</records>"


__all__ = ["Bulk1", "Bulk2", "Jobs", "bulk1_error"]
