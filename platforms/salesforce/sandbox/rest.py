"""The REST API below `/services/data/vXX.0`: queries, records, collections, composite calls, describe, limits."""

from __future__ import annotations

import datetime as dt
import json
import re
from array import array
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from platforms.kit.sandbox.app import BadBody
from platforms.kit.sandbox.faults import Faults
from platforms.kit.sandbox.service import Refusal
from platforms.salesforce.sandbox.ids import make_id, normal_id
from platforms.salesforce.sandbox.schema import ObjectDef, describe_global_entry, describe_object
from platforms.salesforce.sandbox.service import CURSOR_LIFE, SalesforceService
from platforms.salesforce.sandbox.soql import SoqlError, instant_text, parse_instant
from platforms.salesforce.sandbox.wire import Answer, Call, Table, error_list, refused, row_error

PAGE = 2_000
COLLECTION_MAX = 200
CHUNK_MAX = 10
COMPOSITE_MAX = 25
COMPOSITE_QUERY_MAX = 5
LOCK_MESSAGE = "unable to obtain exclusive access to this record or 1 records: "


class _RolledBack(Exception):
    """Leaves a transaction without keeping what was done in it."""


class Rest:
    """The handlers. `faults` says which rows of a batch meet a locked record."""

    def __init__(self, service: SalesforceService, faults: Faults, usage: Callable[[], int]) -> None:
        self.service = service
        self.faults = faults
        self.usage = usage
        self.table = Table()
        add = self.table.add
        add("", "GET", self.resources)
        add("/query", "GET", self.query)
        add("/queryAll", "GET", self.query_all)
        add("/query/{locator}", "GET", self.query_more)
        add("/queryAll/{locator}", "GET", self.query_more)
        add("/limits", "GET", self.limits)
        add("/search", "GET", self.search)
        add("/parameterizedSearch", "GET", self.parameterized_search)
        add("/parameterizedSearch", "POST", self.parameterized_search)
        add("/recent", "GET", lambda call: Answer(body=[]))
        add("/sobjects", "GET", self.describe_global)
        add("/sobjects/{object}", "GET", self.object_info)
        add("/sobjects/{object}", "POST", self.create)
        add("/sobjects/{object}/describe", "GET", self.describe)
        add("/sobjects/{object}/deleted", "GET", self.deleted)
        add("/sobjects/{object}/updated", "GET", self.updated)
        add("/sobjects/{object}/{id}", "GET", self.read)
        add("/sobjects/{object}/{id}", "PATCH", self.update)
        add("/sobjects/{object}/{id}", "POST", self.tunnelled)
        add("/sobjects/{object}/{id}", "DELETE", self.delete)
        add("/sobjects/{object}/{field}/{value:path}", "GET", self.read_by_key)
        add("/sobjects/{object}/{field}/{value:path}", "PATCH", self.upsert)
        add("/sobjects/{object}/{field}/{value:path}", "DELETE", self.delete_by_key)
        add("/composite", "POST", self.composite)
        add("/composite/batch", "POST", self.batch)
        add("/composite/tree/{object}", "POST", self.tree)
        add("/composite/sobjects", "POST", self.collection_create)
        add("/composite/sobjects", "PATCH", self.collection_update)
        add("/composite/sobjects", "DELETE", self.collection_delete)
        add("/composite/sobjects/{object}", "POST", self.collection_read)
        add("/composite/sobjects/{object}", "GET", self.collection_read)
        add("/composite/sobjects/{object}/{field}", "PATCH", self.collection_upsert)

    # --- the map, limits, describe --------------------------------------------------------------------------

    def resources(self, call: Call) -> Answer:
        """The map of resources."""
        base = call.base
        meta = self.service.store.meta
        names = ("tooling", "chatter", "tabs", "appMenu", "quickActions", "queryAll", "commerce", "wave", "analytics",
                 "search", "identity", "composite", "parameterizedSearch", "theme", "nouns", "recent", "licensing",
                 "limits", "process", "jobs", "dedupe", "query", "sobjects", "actions", "support")  # fmt: skip
        found = {name: f"{base}/{name}" for name in names}
        found["identity"] = f"{call.host}/id/{meta['org_id']}/{call.user}"
        return Answer(body=found)

    def limits(self, call: Call) -> Answer:
        """What is left of the org's allowances."""
        maximum = self.daily_max()
        left = max(0, maximum - self.usage())

        def full(number: int) -> dict[str, int]:
            return {"Max": number, "Remaining": number}

        found = {
            "ConcurrentAsyncGetReportInstances": full(200),
            "DailyApiRequests": {"Max": maximum, "Remaining": left},
            "DailyAsyncApexExecutions": full(250_000),
            "DailyBulkApiBatches": full(15_000),
            "DailyBulkV2QueryFileStorageMB": full(976_562),
            "DailyBulkV2QueryJobs": full(10_000),
            "DailyStreamingApiEvents": full(200_000),
            "DataStorageMB": full(10_240),
            "FileStorageMB": full(10_240),
            "HourlyODataCallout": full(20_000),
            "SingleEmail": full(5_000),
        }
        return Answer(body=found)

    def daily_max(self) -> int:
        """The daily allowance of API requests."""
        return int(self.service.store.meta["limits"]["DailyApiRequests"])

    def describe_global(self, call: Call) -> Answer:
        """The list of objects."""
        entries = [describe_global_entry(one, call.base) for one in self.service.objects.values()]
        return Answer(body={"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": entries})

    def object_info(self, call: Call) -> Answer:
        """Basic facts of one object."""
        definition = self.service.object(call.params["object"])
        return Answer(body={"objectDescribe": describe_global_entry(definition, call.base), "recentItems": []})

    def describe(self, call: Call) -> Answer:
        """Everything about one object; 304 when the org's objects are unchanged since If-Modified-Since."""
        definition = self.service.object(call.params["object"])
        since = _http_date(call.headers.get("if-modified-since", ""))
        if since is not None and str(self.service.store.meta["schema.changed"]) <= instant_text(since):
            return Answer(status=304)
        body = describe_object(definition, self.service.objects.values(), call.base)
        return Answer(body=body)

    # --- queries --------------------------------------------------------------------------------------------

    def query(self, call: Call) -> Answer:
        """SOQL over records that are not deleted."""
        return self._query(call, all_rows=False)

    def query_all(self, call: Call) -> Answer:
        """SOQL over deleted records too."""
        return self._query(call, all_rows=True)

    def _query(self, call: Call, *, all_rows: bool) -> Answer:
        soql = call.arg("q")
        if not soql:
            if call.arg("explain"):
                raise Refusal("FUNCTIONALITY_NOT_ENABLED", "query plans are not offered here")
            raise SoqlError("MALFORMED_QUERY", "A query string has to be specified")
        compiled = self.service.compile(soql, all_rows=all_rows)
        if compiled.query.is_count:
            return Answer(body={"totalSize": self.service.count_rows(compiled), "done": True, "records": []})
        if compiled.aggregate:
            rows = self.service.groups(compiled)
            if len(rows) > PAGE:
                raise SoqlError(
                    "EXCEEDED_ID_LIMIT",
                    "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch",
                )
            return Answer(body={"totalSize": len(rows), "done": True, "records": rows})
        size = self._page_size(call)
        numbers = self.service.find(compiled)
        answer: dict[str, Any] = {"totalSize": len(numbers), "done": len(numbers) <= size}
        if len(numbers) > size:
            store = self.service.store
            locator = make_id("0r8", store.next_number("_cursor"))
            now = self.service.clock.milliseconds()
            oldest = now - CURSOR_LIFE // dt.timedelta(milliseconds=1)
            with store.transaction():
                store.write("DELETE FROM _cursors WHERE at_ms < ?", (oldest,))
                store.write(
                    "INSERT INTO _cursors (id, soql, all_rows, page, seqs, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
                    (locator, soql, int(all_rows), size, numbers.tobytes(), now),
                )
            answer["nextRecordsUrl"] = f"{call.base}/query/{locator}-{size}"
        answer["records"] = self.service.page(compiled, numbers[:size], call.base)
        return Answer(body=answer)

    def _page_size(self, call: Call) -> int:
        match = re.search(r"batchSize\s*=\s*(\d+)", call.headers.get("sforce-query-options", ""), re.IGNORECASE)
        return min(PAGE, max(200, int(match.group(1)))) if match else PAGE

    def query_more(self, call: Call) -> Answer:
        """The page of a cursor at an offset; cursors live two days and their pages can be asked for again."""
        locator, _, offset_text = call.params["locator"].partition("-")
        row = self.service.store.one("SELECT * FROM _cursors WHERE id = ?", (locator,))
        oldest = self.service.clock.milliseconds() - CURSOR_LIFE // dt.timedelta(milliseconds=1)
        if row is None or not offset_text.isdigit() or row["at_ms"] < oldest:
            return error_list("INVALID_QUERY_LOCATOR", "invalid query locator")
        numbers = array("q")
        numbers.frombytes(row["seqs"])
        offset, size = (
            int(offset_text),
            self._page_size(call) if "sforce-query-options" in call.headers else row["page"],
        )
        if offset >= len(numbers):
            return error_list("INVALID_QUERY_LOCATOR", "invalid query locator")
        compiled = self.service.compile(row["soql"], all_rows=bool(row["all_rows"]))
        following = offset + size
        answer: dict[str, Any] = {"totalSize": len(numbers), "done": following >= len(numbers)}
        if following < len(numbers):
            answer["nextRecordsUrl"] = f"{call.base}/query/{locator}-{following}"
        answer["records"] = self.service.page(compiled, numbers[offset:following], call.base)
        return Answer(body=answer)

    # --- search: names that contain a text, of the objects asked for --------------------------------------------

    def search(self, call: Call) -> Answer:
        """GET /search?q=FIND {text} RETURNING Account(Id, Name), Contact: a small part of SOSL."""
        found = re.fullmatch(
            r"\s*FIND\s*\{(.+?)\}(?:\s+IN\s+\w+\s+FIELDS)?(?:\s+RETURNING\s+(.+))?\s*", call.arg("q"), re.I | re.S
        )
        if found is None:
            raise Refusal("MALFORMED_SEARCH", "No search term found. The search term must be enclosed in braces.")
        listed = re.findall(r"(\w+)\s*(?:\(([^)]*)\))?\s*(?:,|$)", found.group(2) or "")
        wanted = [(name, fields or "Id") for name, fields in listed]
        return self._found(call, found.group(1), wanted)

    def parameterized_search(self, call: Call) -> Answer:
        """GET or POST /parameterizedSearch: the same without SOSL."""
        body = call.mapping() if call.method == "POST" else {"q": call.arg("q"), "sobject": call.arg("sobject")}
        names = [one.get("name") for one in body.get("sobjects") or []] or [body.get("sobject") or ""]
        fields = ", ".join(body.get("fields") or ["Id"]) if call.method == "POST" else call.arg("fields", "Id")
        return self._found(call, str(body.get("q") or ""), [(str(name), fields) for name in names if name])

    def _found(self, call: Call, words: str, wanted: list[tuple[str, str]]) -> Answer:
        words = words.replace("*", "").replace("\\", "").strip()
        if len(words) < 2:
            raise Refusal("MALFORMED_SEARCH", "search term must be longer than one character")
        if not wanted:
            wanted = [(name, "Id") for name in ("Account", "Contact", "Opportunity", "Product2", "User")]
        pattern = words.replace("'", "\\'").replace("%", "\\%").replace("_", "\\_")
        records: list[dict[str, Any]] = []
        for name, fields in wanted:
            compiled = self.service.compile(f"SELECT {fields} FROM {name} WHERE Name LIKE '%{pattern}%' LIMIT 200")
            records.extend(self.service.page(compiled, self.service.find(compiled), call.base))
        return Answer(body={"searchRecords": records})

    # --- one record -----------------------------------------------------------------------------------------

    def create(self, call: Call) -> Answer:
        """POST /sobjects/X."""
        definition = self.service.object(call.params["object"])
        made = self.service.insert(definition.name, call.mapping(), actor=call.user)
        return Answer(
            status=201,
            body={"id": made, "success": True, "errors": []},
            headers={"Location": f"{call.base}/sobjects/{definition.name}/{made}"},
        )

    def read(self, call: Call) -> Answer:
        """GET /sobjects/X/id?fields=."""
        definition = self.service.object(call.params["object"])
        named = call.arg("fields")
        fields = [name.strip() for name in named.split(",")] if named else None
        record = self.service.record(definition, self._own_id(definition, call.params["id"]), fields, call.base)
        since = _http_date(call.headers.get("if-modified-since", ""))
        if since is not None:
            stored = self.service.stored(definition, call.params["id"])
            if stored["LastModifiedDate"] <= instant_text(since):
                return Answer(status=304)
        return Answer(body=record)

    def _own_id(self, definition: ObjectDef, given: str) -> str:
        normal = normal_id(given)
        if normal is None:
            raise Refusal(
                "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {given}", status=404
            )
        return normal

    def update(self, call: Call) -> Answer:
        """PATCH /sobjects/X/id, refused with 412 when it changed after If-Unmodified-Since."""
        definition = self.service.object(call.params["object"])
        record_id = self._own_id(definition, call.params["id"])
        since = _http_date(call.headers.get("if-unmodified-since", ""))
        self.service.update(definition.name, record_id, call.mapping(), actor=call.user, unmodified_since=since)
        return Answer(status=204)

    def tunnelled(self, call: Call) -> Answer:
        """POST with ?_HttpMethod=PATCH, for callers that cannot send PATCH."""
        if call.arg("_HttpMethod").upper() == "PATCH":
            return self.update(call)
        return error_list(
            "METHOD_NOT_ALLOWED", "HTTP Method 'POST' not allowed. Allowed are DELETE,GET,HEAD,PATCH", 405
        )

    def delete(self, call: Call) -> Answer:
        """DELETE /sobjects/X/id."""
        definition = self.service.object(call.params["object"])
        self.service.delete(definition.name, self._own_id(definition, call.params["id"]), actor=call.user)
        return Answer(status=204)

    def _by_key(self, call: Call) -> tuple[ObjectDef, str]:
        definition = self.service.object(call.params["object"])
        one = definition.by_lower.get(call.params["field"].lower())
        if one is None or not (one.external_id or one.id_lookup or one.type == "id"):
            raise Refusal(
                "NOT_FOUND",
                f"Provided external ID field does not exist or is not accessible: {call.params['field']}",
                status=404,
            )
        value = normal_id(call.params["value"]) if one.type == "id" else call.params["value"]
        found = self.service.find_ids(definition, one.name, value)
        if not found:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        if len(found) > 1:
            raise Refusal(
                "DUPLICATE_EXTERNAL_ID", "several records match", status=300, ids=found, object=definition.name
            )
        return definition, found[0]

    def read_by_key(self, call: Call) -> Answer:
        """GET /sobjects/X/ExtField/value."""
        definition, record_id = self._by_key(call)
        return Answer(body=self.service.record(definition, record_id, None, call.base))

    def delete_by_key(self, call: Call) -> Answer:
        """DELETE /sobjects/X/ExtField/value."""
        definition, record_id = self._by_key(call)
        self.service.delete(definition.name, record_id, actor=call.user)
        return Answer(status=204)

    def upsert(self, call: Call) -> Answer:
        """PATCH /sobjects/X/ExtField/value: 201 created, 200 updated (204 before v46.0), 300 when several match."""
        definition = self.service.object(call.params["object"])
        field, values = call.params["field"], call.mapping()
        if any(name.lower() == field.lower() for name in values):
            raise Refusal("INVALID_FIELD", f"The {field} field should not be specified in the sobject data.", [field])
        try:
            made, created = self.service.upsert(
                definition.name,
                field,
                call.params["value"],
                values,
                actor=call.user,
                update_only=call.arg("updateOnly").lower() == "true",
                unmodified_since=_http_date(call.headers.get("if-unmodified-since", "")),
            )
        except Refusal as refusal:
            refusal.details["object"] = definition.name
            raise
        body: dict[str, Any] = {"id": made, "success": True, "errors": []}
        if call.version >= 46:
            return Answer(status=201 if created else 200, body={**body, "created": created})
        return Answer(status=201, body=body) if created else Answer(status=204)

    # --- deleted and updated --------------------------------------------------------------------------------

    def _window(self, call: Call, days: int) -> tuple[str, str]:
        start, end = (
            parse_instant(call.arg("start").replace(" ", "+")),
            parse_instant(call.arg("end").replace(" ", "+")),
        )
        now = self.service.clock.now()
        if start is None or end is None:
            raise Refusal(
                "MALFORMED_SEARCH" if not call.arg("start") else "INVALID_REPLICATION_DATE",
                "start and end must be dates",
            )
        if start >= end or now - start > dt.timedelta(days=days):
            raise Refusal("INVALID_REPLICATION_DATE", f"startDate cannot be more than {days} days ago or after endDate")
        return instant_text(start), instant_text(end)

    def deleted(self, call: Call) -> Answer:
        """Ids deleted in a window of at most 15 days back."""
        definition = self.service.object(call.params["object"])
        start, end = self._window(call, 15)
        if not definition.has_is_deleted:
            return error_list("INVALID_TYPE", f"entity type {definition.name} does not support deleted records")
        rows = self.service.store.read(
            f'SELECT "Id" AS id, "SystemModstamp" AS deletedDate FROM "{definition.name}" WHERE "IsDeleted" = 1 '
            'AND "SystemModstamp" >= ? AND "SystemModstamp" < ? ORDER BY "SystemModstamp", _seq',
            (start, end),
        )
        if len(rows) > 600_000:
            raise Refusal("EXCEEDED_ID_LIMIT", "too many deleted records; narrow the window")
        earliest = self.service.clock.now() - dt.timedelta(days=15)
        return Answer(
            body={
                "deletedRecords": rows,
                "earliestDateAvailable": instant_text(earliest),
                "latestDateCovered": min(end, instant_text(self.service.clock.now())),
            }
        )

    def updated(self, call: Call) -> Answer:
        """Ids created or changed in a window of at most 30 days back."""
        definition = self.service.object(call.params["object"])
        start, end = self._window(call, 30)
        alive = 'AND "IsDeleted" = 0' if definition.has_is_deleted else ""
        rows = self.service.store.read(
            f'SELECT "Id" AS id FROM "{definition.name}" WHERE "SystemModstamp" >= ? AND "SystemModstamp" < ? {alive} '
            "ORDER BY _seq",
            (start, end),
        )
        covered = min(end, instant_text(self.service.clock.now()))
        return Answer(body={"ids": [row["id"] for row in rows], "latestDateCovered": covered})

    # --- collections ----------------------------------------------------------------------------------------

    def _records(self, call: Call) -> tuple[list[dict[str, Any]], bool]:
        body = call.mapping()
        records = body.get("records")
        if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
            raise BadBody("The records field must be a list of objects")
        if len(records) > COLLECTION_MAX:
            raise Refusal(
                "EXCEEDED_ID_LIMIT",
                f"record limit reached. cannot submit more than {COLLECTION_MAX} records in this operation.",
            )
        return records, bool(body.get("allOrNone", False))

    def _type_of(self, record: Mapping[str, Any]) -> str:
        attributes = record.get("attributes")
        name = attributes.get("type") if isinstance(attributes, dict) else None
        if not name or str(name).lower() not in self.service.objects:
            raise Refusal("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return str(name)

    def _check_chunks(self, records: list[dict[str, Any]]) -> None:
        types = [str((one.get("attributes") or {}).get("type", "")).lower() for one in records]
        chunks = sum(1 for before, after in zip(["", *types], types, strict=False) if before != after)
        if chunks > CHUNK_MAX:
            raise Refusal("LIMIT_EXCEEDED", f"Cannot have more than {CHUNK_MAX} chunks in a single operation.")

    def _each(
        self, keys: list[str], work: list[Callable[[], dict[str, Any]]], all_or_none: bool
    ) -> list[dict[str, Any]]:
        """Do the rows one by one in one commit; a row that fails leaves no trace, or all do."""
        results: list[dict[str, Any]] = []
        failed = False
        try:
            with self.service.transaction():
                for key, one in zip(keys, work, strict=True):
                    results.append(self._one(key, one))
                    failed = failed or not results[-1]["success"]
                if failed and all_or_none:
                    raise _RolledBack
        except _RolledBack:
            rolled = row_error(
                "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                "Record rolled back because not all records were valid and the request was using AllOrNone header",
            )
            results = [rolled if one["success"] else one for one in results]
        return results

    def _one(self, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if self.faults.partial(key):
            return row_error("UNABLE_TO_LOCK_ROW", LOCK_MESSAGE + key)
        try:
            with self.service.store.transaction():
                return work()
        except Refusal as refusal:
            code = (
                "INVALID_CROSS_REFERENCE_KEY" if refusal.code == "NOT_FOUND" and refusal.status == 404 else refusal.code
            )
            message = "invalid cross reference id" if code != refusal.code else refusal.message
            return row_error(code, message, refusal.fields)

    def collection_create(self, call: Call) -> Answer:
        """POST /composite/sobjects."""
        records, all_or_none = self._records(call)
        self._check_chunks(records)

        def make(record: dict[str, Any]) -> Callable[[], dict[str, Any]]:
            def work() -> dict[str, Any]:
                made = self.service.insert(self._type_of(record), record, actor=call.user)
                return {"id": made, "success": True, "errors": []}

            return work

        keys = [row_key(one) for one in records]
        return Answer(body=self._each(keys, [make(one) for one in records], all_or_none))

    def collection_update(self, call: Call) -> Answer:
        """PATCH /composite/sobjects: each record carries its id."""
        records, all_or_none = self._records(call)
        self._check_chunks(records)

        def make(record: dict[str, Any]) -> Callable[[], dict[str, Any]]:
            def work() -> dict[str, Any]:
                name = self._type_of(record)
                given = next((value for key, value in record.items() if key.lower() == "id"), None)
                if not given:
                    raise Refusal("MISSING_ARGUMENT", "Id not specified in an update call")
                normal = normal_id(str(given))
                if normal is None:
                    raise Refusal("MALFORMED_ID", f"malformed id {given}", ["Id"])
                values = {key: value for key, value in record.items() if key.lower() != "id"}
                self.service.update(name, normal, values, actor=call.user)
                return {"id": normal, "success": True, "errors": []}

            return work

        keys = [str(next((v for k, v in one.items() if k.lower() == "id"), row_key(one))) for one in records]
        twice = {key for key in keys if keys.count(key) > 1} if len(set(keys)) < len(keys) else set()
        if twice:
            raise Refusal("INVALID_FIELD", f"Duplicate id in the request: {sorted(twice)[0]}")
        return Answer(body=self._each(keys, [make(one) for one in records], all_or_none))

    def collection_upsert(self, call: Call) -> Answer:
        """PATCH /composite/sobjects/X/ExtField: one object type, the key inside each record."""
        definition = self.service.object(call.params["object"])
        one = definition.by_lower.get(call.params["field"].lower())
        if one is None or not (one.external_id or one.id_lookup or one.type == "id"):
            raise Refusal(
                "NOT_FOUND",
                f"Provided external ID field does not exist or is not accessible: {call.params['field']}",
                status=404,
            )
        records, all_or_none = self._records(call)

        def make(record: dict[str, Any]) -> Callable[[], dict[str, Any]]:
            def work() -> dict[str, Any]:
                value = next((v for k, v in record.items() if k.lower() == one.name.lower()), None)
                values = {k: v for k, v in record.items() if k.lower() not in (one.name.lower(), "attributes")}
                made, created = self.service.upsert(definition.name, one.name, value, values, actor=call.user)
                return {"id": made, "success": True, "errors": [], "created": created}

            return work

        keys = [str(record.get(one.name, row_key(record))) for record in records]
        return Answer(body=self._each(keys, [make(record) for record in records], all_or_none))

    def collection_delete(self, call: Call) -> Answer:
        """DELETE /composite/sobjects?ids=a,b."""
        ids = [one for one in call.arg("ids").split(",") if one]
        if not ids or len(ids) > COLLECTION_MAX:
            raise Refusal("EXCEEDED_ID_LIMIT", f"between 1 and {COLLECTION_MAX} ids are needed")

        def make(given: str) -> Callable[[], dict[str, Any]]:
            def work() -> dict[str, Any]:
                normal = normal_id(given)
                definition = self.service.object_of_id(normal) if normal else None
                if normal is None or definition is None:
                    raise Refusal("MALFORMED_ID", f"malformed id {given}")
                self.service.delete(definition.name, normal, actor=call.user)
                return {"id": normal, "success": True, "errors": []}

            return work

        all_or_none = call.arg("allOrNone").lower() == "true"
        return Answer(body=self._each(ids, [make(one) for one in ids], all_or_none))

    def collection_read(self, call: Call) -> Answer:
        """POST or GET /composite/sobjects/X with ids and fields: records in order, null for what is not there."""
        definition = self.service.object(call.params["object"])
        if call.method == "GET":
            ids, fields = call.arg("ids").split(","), call.arg("fields").split(",")
        else:
            body = call.mapping()
            ids, fields = body.get("ids") or [], body.get("fields") or []
        if not fields:
            raise BadBody("The fields field is required")
        if len(ids) > (2000 if call.method == "POST" else 800):
            raise Refusal("EXCEEDED_ID_LIMIT", "too many ids")
        normal = [normal_id(str(one)) for one in ids]
        if any(one is None for one in normal):
            raise Refusal(
                "MALFORMED_ID", f"malformed id {next(g for g, n in zip(ids, normal, strict=True) if n is None)}"
            )
        chosen = list(dict.fromkeys(fields))
        if not any(name.lower() == "id" for name in chosen):
            chosen.append("Id")
        compiled = self.service.compile(f"SELECT {', '.join(chosen)} FROM {definition.name} LIMIT 1")
        listed = json.dumps(normal)
        alive = ' AND "IsDeleted" = 0' if definition.has_is_deleted else ""
        numbers = [
            row[0]
            for row in self.service.store.connection.execute(
                f'SELECT _seq FROM "{definition.name}" WHERE "Id" IN (SELECT value FROM json_each(?)){alive}', (listed,)
            )
        ]
        found = {record["Id"]: record for record in self.service.page(compiled, numbers, call.base)}
        return Answer(body=[found.get(str(one)) for one in normal])

    # --- composite ------------------------------------------------------------------------------------------

    def composite(self, call: Call) -> Answer:
        """POST /composite: up to 25 calls in one, later ones may refer to earlier answers."""
        body = call.mapping()
        requests = body.get("compositeRequest")
        if not isinstance(requests, list) or not requests or len(requests) > COMPOSITE_MAX:
            raise Refusal("LIMIT_EXCEEDED", f"between 1 and {COMPOSITE_MAX} subrequests are allowed")
        heavy = sum(
            1 for one in requests if re.search(r"/(query|queryAll|composite/sobjects)\b", str(one.get("url", "")), re.I)
        )
        if heavy > COMPOSITE_QUERY_MAX:
            raise Refusal("LIMIT_EXCEEDED", f"no more than {COMPOSITE_QUERY_MAX} queries and collections are allowed")
        all_or_none = bool(body.get("allOrNone", False))
        answers: list[tuple[str, Answer]] = []
        try:
            with self.service.transaction():
                known: dict[str, Any] = {}
                for one in requests:
                    reference = str(one.get("referenceId", ""))
                    answer = self._subrequest(call, one, known)
                    answers.append((reference, answer))
                    if answer.status < 300:
                        known[reference] = answer.body
                    elif all_or_none:
                        raise _RolledBack
        except _RolledBack:
            halted = error_list(
                "PROCESSING_HALTED",
                "The transaction was rolled back since another operation in the same transaction failed.",
            )
            done = [(reference, answer if answer.status >= 300 else halted) for reference, answer in answers]
            answers = done + [(str(one.get("referenceId", "")), halted) for one in requests[len(answers) :]]
        shown = [
            {
                "body": answer.body,
                "httpHeaders": answer.headers,
                "httpStatusCode": answer.status,
                "referenceId": reference,
            }
            for reference, answer in answers
        ]
        return Answer(body={"compositeResponse": shown})

    def _subrequest(self, call: Call, one: Mapping[str, Any], known: Mapping[str, Any]) -> Answer:
        try:
            url = _fill(str(one.get("url", "")), known)
            body = _fill(one.get("body"), known)
        except LookupError as error:
            return error_list("PROCESSING_HALTED", f"Invalid reference specified. No value for {error.args[0]} found")
        with self.service.store.transaction():
            return self.table.subrequest(
                call, str(one.get("method", "GET")), str(url), body, one.get("httpHeaders") or {}
            )

    def batch(self, call: Call) -> Answer:
        """POST /composite/batch: up to 25 independent calls."""
        body = call.mapping()
        requests = body.get("batchRequests")
        if not isinstance(requests, list) or not requests or len(requests) > COMPOSITE_MAX:
            raise Refusal("LIMIT_EXCEEDED", f"between 1 and {COMPOSITE_MAX} subrequests are allowed")
        results: list[dict[str, Any]] = []
        halted = False
        for one in requests:
            if halted:
                stopped = error_list("BATCH_PROCESSING_HALTED", "Batch processing halted per request", 412)
                results.append({"statusCode": 412, "result": stopped.body})
                continue
            answer = self.table.subrequest(
                call, str(one.get("method", "GET")), str(one.get("url", "")), one.get("richInput"), {}
            )
            results.append({"statusCode": answer.status, "result": answer.body})
            halted = answer.status >= 300 and bool(body.get("haltOnError"))
        bad = any(one["statusCode"] >= 300 for one in results)
        return Answer(body={"hasErrors": bad, "results": results})

    def tree(self, call: Call) -> Answer:
        """POST /composite/tree/X: nested creates, all or none."""
        definition = self.service.object(call.params["object"])
        records = call.mapping().get("records")
        if not isinstance(records, list):
            raise BadBody("The records field must be a list")
        made: list[dict[str, str]] = []
        errors: list[dict[str, Any]] = []
        try:
            with self.service.transaction():
                self._plant(definition, records, None, made, errors, call.user)
                if errors:
                    raise _RolledBack
        except _RolledBack:
            return Answer(status=400, body={"hasErrors": True, "results": errors})
        return Answer(status=201, body={"hasErrors": False, "results": made})

    def _plant(
        self, definition: ObjectDef, records: list[Any], parent: tuple[str, str] | None, made: list[dict[str, str]],
        errors: list[dict[str, Any]], user: str,
    ) -> None:  # fmt: skip
        for record in records:
            reference = str((record.get("attributes") or {}).get("referenceId", ""))
            if len(made) >= COLLECTION_MAX:
                raise Refusal("LIMIT_EXCEEDED", f"no more than {COLLECTION_MAX} records are allowed")
            nested = {k: v for k, v in record.items() if isinstance(v, dict) and isinstance(v.get("records"), list)}
            values = {k: v for k, v in record.items() if k not in nested}
            if parent is not None:
                values[parent[0]] = parent[1]
            try:
                with self.service.store.transaction():
                    own = self.service.insert(definition.name, values, actor=user)
            except Refusal as refusal:
                shape = row_error(refusal.code, refusal.message, refusal.fields)["errors"]
                errors.append({"referenceId": reference, "errors": shape})
                continue
            made.append({"referenceId": reference, "id": own})
            for name, value in nested.items():
                child = self._child(definition, name)
                self._plant(child[0], value["records"], (child[1], own), made, errors, user)

    def _child(self, definition: ObjectDef, relationship: str) -> tuple[ObjectDef, str]:
        for other in self.service.objects.values():
            for one in other.fields:
                same = (one.child_relationship or "").lower() == relationship.lower()
                if same and definition.name in one.reference_to:
                    return other, one.name
        raise Refusal("INVALID_FIELD", f"No such relation '{relationship}' on sobject of type {definition.name}")


def row_key(record: Mapping[str, Any]) -> str:
    """A name for a row that has no id yet, for the faults and for messages: its content."""
    return json.dumps({k: str(v) for k, v in record.items() if k != "attributes"}, sort_keys=True)


def _http_date(value: str) -> dt.datetime | None:
    if not value:
        return None
    try:
        return parsedate_to_datetime(value).astimezone(dt.UTC)
    except (TypeError, ValueError):
        return None


_REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])*)\}")


def _fill(value: Any, known: Mapping[str, Any]) -> Any:
    """`value` with every `@{ref.path[0].Field}` replaced. Raises LookupError naming the reference."""
    if isinstance(value, dict):
        return {key: _fill(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, known) for item in value]
    if not isinstance(value, str) or "@{" not in value:
        return value

    def one(match: re.Match[str]) -> str:
        try:
            found = known[match.group(1)]
            for step in re.findall(r"\w+", match.group(2)):
                found = found[int(step)] if isinstance(found, list) else found[step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise LookupError(match.group()[2:-1]) from None
        return str(found)

    return _REFERENCE.sub(one, value)


__all__ = ["Rest", "refused", "row_key"]
