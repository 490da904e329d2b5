"""Writing to NetSuite: one record a call, or up to 100 as an asynchronous batch; answered record by record.

    create  -> POST with our key as externalId. The ledger keeps external ids unique per record type, so a create that
               is sent twice is refused the second time; the engine reads it back and adopts it. (A PUT by external
               id would *change* a record that finance has corrected meanwhile, and append its lines once more.)
    update  -> PATCH by id; sublists that are sent replace those there
    find    -> SuiteQL by externalid or id; lines of documents are given back with the signs they were sent with

A batch carries an idempotency key made from the engine's batch id: when its answer is lost, the client sends it again
and is led to the first job. A batch of an earlier process is not sent again by us: its records are looked for, and
what is not there is offered anew, which the unique external id makes harmless even if the old job should still run.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from platforms.kit.errors import AskPerson, Gone, PlatformError, Refused, Retry
from platforms.netsuite.client import BATCH, IN_LIMIT, NetSuiteClient, fields_of, table_of
from reverse_etl.targets.base import (
    TARGET_ID,
    CallCount,
    Capability,
    Found,
    JobHandle,
    KeyKind,
    Outcome,
    Promise,
    Receipt,
    Target,
    Value,
    Verb,
    WriteRow,
    nest,
    outcome_of,
    read_back_by_key,
)

PLATFORM = "netsuite"
KEY_FIELD = "externalId"
_OBJECT = re.compile(r"[A-Za-z][A-Za-z_0-9]*")
_NOT_EXPOSED = re.compile(r"Field '(\w+)'", re.IGNORECASE)
# Idempotency keys are UUIDs; this namespace makes them from the engine's batch ids.
_NAMESPACE = uuid.UUID("6f0a1c52-7d0b-4e0e-9a55-0d5f7a2c9b11")
_PAGES = {
    "customer": "common/entity/custjob.nl",
    "job": "accounting/project/project.nl",
    "contact": "common/entity/contact.nl",
    "employee": "common/entity/employee.nl",
    "invoice": "accounting/transactions/custinvc.nl",
    "creditmemo": "accounting/transactions/custcred.nl",
    "customerpayment": "accounting/transactions/custpymt.nl",
}
_OWNERS = (
    ("period", "Finance decides: reopen the accounting period, or date the document into an open one."),
    ("inactive", "Finance decides: activate the record in NetSuite, or correct what refers to it."),
    ("please enter value", "The owner of the named field completes it at its source."),
)


def build(client: NetSuiteClient, connection: str) -> Target:
    """The target of one connection."""
    return NetSuiteTarget(client, connection)


class NetSuiteTarget:
    """One account as a target. Field names are REST names; `entity.id` and `item.items` reach inside."""

    platform = PLATFORM

    def __init__(self, client: NetSuiteClient, connection: str) -> None:
        self.client = client
        self.connection = connection
        self._jobs: dict[str, str] = {}
        self._schemas: dict[str, dict[str, Any]] = {}
        self._hidden: dict[str, set[str]] = {}

    def capability(self, object: str) -> Capability:
        """Every record type with an external id is written alike; whether this one exists is told by the first call."""
        if not _OBJECT.fullmatch(object):
            raise Refused(
                f"{object!r} is no NetSuite record type; there are customer, job, invoice, ...",
                platform=PLATFORM, connection=self.connection,
            )  # fmt: skip
        return Capability(
            object=object,
            key_kind=KeyKind.upsert_key,
            promise=Promise.exactly_once,
            max_batch_create=1,
            max_batch_update=1,
            max_find=IN_LIMIT // 2,
            supports_async_job=True,
            job_min_rows=2,
            job_max_rows=BATCH,
        )

    # -- reading ----------------------------------------------------------------------------------------------------

    def find(
        self, object: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        """Records by external id, id or another field. Fields that SuiteQL does not show are left out of the answer."""
        wanted = list(dict.fromkeys(keys))
        column = "id" if key_field == TARGET_ID else key_field.lower()
        asked = [key for key in wanted if column != "id" or key.isdigit()]
        answer: dict[str, list[Found]] = {key: [] for key in wanted}
        if not asked:
            return {key: () for key in wanted}
        rows = self._rows(object, column, asked, [path for path in fields if not _is_lines(path)])
        lines = self._lines(object, rows, [path for path in fields if _is_lines(path)])
        kinds = self._kinds(object) if fields else {}
        for row in rows:
            values: dict[str, Value] = {}
            for path in fields:
                name = _column(path)
                if _is_lines(path):
                    if object.lower() in _LINED and path.lower() == "item.items":
                        values[path] = lines.get(row["id"], [])
                elif name not in self._hidden.get(object.lower(), ()) and name in self._shown(object, [path]):
                    values[path] = _typed(row.get(name), kinds.get(path.lower(), ""))
            key = row.get("asked_key", "")
            answer.setdefault(key, []).append(
                Found(key=key, target_id=row["id"], version=row.get("version"), fields=values)
            )
        return {key: tuple(answer[key]) for key in wanted}

    def _rows(self, object: str, column: str, keys: Sequence[str], paths: Sequence[str]) -> list[dict[str, str]]:
        table, condition = table_of(object)
        hidden = self._hidden.setdefault(object.lower(), set())
        condition = condition.replace(" AND type", " AND t.type")
        while True:
            shown = [name for name in dict.fromkeys(map(_column, paths)) if name not in hidden]
            selected = ["t.id", f"t.{column} AS asked_key"]
            join = ""
            for name in shown:
                if name == "subsidiary" and table == "transaction":
                    # The header's subsidiary is not exposed; the main line's is.
                    selected.append("tl.subsidiary AS subsidiary")
                    join = " JOIN transactionline tl ON tl.transaction = t.id AND tl.mainline = 'T'"
                elif name.endswith("date"):
                    selected.append(f"TO_CHAR(t.{name}, 'YYYY-MM-DD') AS {name}")
                elif name not in ("id",):
                    selected.append(f"t.{name}")
            if "lastmodifieddate" not in hidden:
                selected.append("TO_CHAR(t.lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS version")
            marks = ", ".join("?" * len(keys))
            query = f"SELECT {', '.join(selected)} FROM {table} t{join} WHERE t.{column} IN ({marks}){condition}"
            try:
                return [row for page in self.client.suiteql(f"{query} ORDER BY t.id", list(keys)) for row in page]
            except Refused as refused:
                # An account shows fewer columns than it has fields, by its features; what it hides is not compared.
                found = _NOT_EXPOSED.search(refused.message)
                name = found[1].lower() if found else ""
                if name in ("", "id", column) or name in hidden:
                    raise
                hidden.add(name)

    def _shown(self, object: str, paths: Sequence[str]) -> set[str]:
        hidden = self._hidden.get(object.lower(), set())
        return {_column(path) for path in paths} - hidden

    def _lines(
        self, object: str, rows: Sequence[Mapping[str, str]], paths: Sequence[str]
    ) -> dict[str, list[dict[str, Value]]]:
        """Item lines of documents by document id, as the record service would show them."""
        out: dict[str, list[dict[str, Value]]] = {}
        sign = _LINED.get(object.lower())
        if sign is None or not rows or not any(path.lower() == "item.items" for path in paths):
            return out
        ids = [row["id"] for row in rows]
        marks = ", ".join("?" * len(ids))
        select = (
            "SELECT tl.transaction, tl.uniquekey, tl.linesequencenumber, tl.item, i.externalid AS itemkey, "
            "tl.quantity, tl.rate, tl.foreignamount, tl.memo, tl.custcol_tieout_source FROM transactionline tl "
            "JOIN item i ON i.id = tl.item"
        )
        where = f"tl.transaction IN ({marks}) AND tl.mainline = 'F' AND tl.taxline = 'F'"
        pages = self.client.suiteql_keyset(select, "tl.uniquekey", ids, where=where)
        found = [row for page in pages for row in page]
        for row in sorted(found, key=lambda row: int(row.get("linesequencenumber", "0"))):
            line: dict[str, Value] = {
                "item": {"id": row["item"], "externalId": row.get("itemkey")},
                "quantity": None if "quantity" not in row else sign * Decimal(row["quantity"]),
                "rate": None if "rate" not in row else Decimal(row["rate"]),
                "amount": sign * Decimal(row.get("foreignamount", "0")),
                "description": row.get("memo"),
                "custcol_tieout_source": row.get("custcol_tieout_source"),
            }
            out.setdefault(row["transaction"], []).append(line)
        return out

    def read_back(
        self, object: str, rows: Sequence[WriteRow], *, key_field: str, fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        """The key travels with every create, so looking for it tells all."""
        return read_back_by_key(self, object, rows, key_field=key_field, fields=fields)

    def keys_of_others(self, object: str, rows: Sequence[WriteRow], *, key_field: str) -> Mapping[str, str]:
        """External ids that are not of our making: an import or another integration finds its records by them.

        Ours begin as the row's key does, up to its first underscore (ACC_, PRJ_, INV_).
        """
        if key_field.lower() != KEY_FIELD.lower():
            return {}
        by_id = {_target(row): row for row in rows}
        asked = [id for id in by_id if id.isdigit()]
        found: dict[str, str] = {}
        for start in range(0, len(asked), IN_LIMIT):
            for one in self._rows(object, "id", asked[start : start + IN_LIMIT], [KEY_FIELD]):
                there, row = one.get("externalid"), by_id[one["id"]]
                if there and not there.casefold().startswith(_prefix(row.key)):
                    found[row.entry_id] = there
        return found

    # -- one record a call ------------------------------------------------------------------------------------------

    def write(
        self, object: str, verb: Verb, rows: Sequence[WriteRow], *, key_field: str, batch_id: str
    ) -> Sequence[Receipt]:
        """One POST or PATCH. Raises what concerns the connection; what concerns the record is its receipt."""
        (row,) = rows
        try:
            if verb is Verb.create:
                id = self.client.create(object, self._body(row, key_field))
            else:
                id = self.client.patch(object, _target(row), self._body(row, key_field), replace=_sublists(row))
        except AskPerson as error:
            if error.status in (401, 403) or error.status is None:
                raise
            return [self._refusal(row, error)]
        except Refused as error:
            if error.status is None:
                raise
            return [self._refusal(row, error)]
        return [Receipt(entry_id=row.entry_id, outcome=Outcome.done, target_id=id, created=verb is Verb.create)]

    def _body(self, row: WriteRow, key_field: str) -> dict[str, Any]:
        body = nest({name: _plain(value) for name, value in row.fields.items()})
        if row.verb is Verb.create or row.adopt:
            if key_field.lower() != KEY_FIELD.lower():
                if row.verb is Verb.create:
                    raise Refused(
                        f"records are recognised by their externalId, not by {key_field}",
                        platform=PLATFORM, connection=self.connection,
                        next_step="Set the sync's key field to externalId.",
                    )  # fmt: skip
                return body
            body[KEY_FIELD] = row.key
        return body

    def _refusal(self, row: WriteRow, error: PlatformError) -> Receipt:
        outcome = outcome_of(error)
        if isinstance(error, Retry):
            # "Unexpected error" does not say that nothing was done.
            outcome = Outcome.uncertain if row.verb is Verb.create else Outcome.retry
        hint = next((step for word, step in _OWNERS if word in error.message.lower()), "")
        return Receipt(
            entry_id=row.entry_id,
            outcome=outcome,
            code=error.code,
            message=f"{error.message} {hint}".strip(),
            fields=error.fields,
            request_id=error.request_id,
            retry_after=error.retry_after,
        )

    # -- batches ----------------------------------------------------------------------------------------------------

    def open_job(self, object: str, verb: Verb, *, key_field: str, batch_id: str, rows: int) -> JobHandle:
        """No call: the batch's idempotency key is its name until the vendor gives it a number."""
        return JobHandle(
            connection=self.connection,
            object=object,
            verb=verb,
            key_field=key_field,
            batch_id=batch_id,
            remote=f"idempotency-key:{uuid.uuid5(_NAMESPACE, f'{self.connection}:{batch_id}')}",
        )

    def submit_job(self, handle: JobHandle, rows: Sequence[WriteRow]) -> None:
        """One call for all rows. A lost answer is asked for again with the same key, which leads to the same job."""
        bodies = [self._body(row, handle.key_field) for row in rows]
        if handle.verb is Verb.update:
            bodies = [{"id": _target(row), **body} for row, body in zip(rows, bodies, strict=True)]
        replace = sorted({name for row in rows for name in _sublists(row)}) if handle.verb is Verb.update else []
        self._jobs[handle.batch_id] = self.client.submit_batch(
            handle.object,
            bodies,
            "POST" if handle.verb is Verb.create else "PATCH",
            handle.remote.partition(":")[2],
            replace=replace,
        )

    def reattach(self, handle: JobHandle, rows: Sequence[WriteRow]) -> Sequence[Receipt] | None:
        """The receipts of a batch; None while it runs. Only refused records are asked for one by one."""
        job_id = self._jobs.get(handle.batch_id)
        if job_id is None:
            return self._after_a_crash(handle, rows)
        if not self.client.job(job_id).completed:
            return None
        tasks = {task.position: task for task in self.client.tasks(job_id)}
        told = all(task.completed and task.progress in ("succeeded", "failed") for task in tasks.values())
        receipts: dict[int, Receipt] = {}
        good = [n for n in range(1, len(rows) + 1) if n in tasks and told and not tasks[n].failed]
        if handle.verb is Verb.update:
            for n in good:
                row = rows[n - 1]
                receipts[n] = Receipt(
                    entry_id=row.entry_id, outcome=Outcome.done, target_id=row.target_id, created=False
                )
        else:
            looked = good if told else list(range(1, len(rows) + 1))
            ids = self.client.find_by_external_ids(handle.object, [rows[n - 1].key for n in looked])
            for n in looked:
                there = ids.get(rows[n - 1].key, [])
                if len(there) == 1:
                    receipts[n] = Receipt(
                        entry_id=rows[n - 1].entry_id, outcome=Outcome.done, target_id=there[0]["id"], created=True
                    )
        for n, row in enumerate(rows, 1):
            if n not in receipts:
                receipts[n] = self._result(job_id, n, row)
        self._jobs.pop(handle.batch_id, None)
        return [receipts[n] for n in sorted(receipts)]

    def _result(self, job_id: str, position: int, row: WriteRow) -> Receipt:
        try:
            result = self.client.task_result(job_id, position)
        except Gone:
            return Receipt(
                entry_id=row.entry_id, outcome=Outcome.uncertain, message="the job does not know this record"
            )
        if result.error is not None:
            return self._refusal(row, result.error)
        if result.record_id is None and row.target_id is None:
            return Receipt(entry_id=row.entry_id, outcome=Outcome.uncertain, message="done, but without an id")
        return Receipt(
            entry_id=row.entry_id,
            outcome=Outcome.done,
            target_id=result.record_id or row.target_id,
            created=row.verb is Verb.create,
        )

    def _after_a_crash(self, handle: JobHandle, rows: Sequence[WriteRow]) -> Sequence[Receipt]:
        """The batch was sent, or not, by a process that is gone: what is there is done, the rest may be sent again."""
        if handle.verb is Verb.update:
            return [Receipt(entry_id=row.entry_id, outcome=Outcome.retry, message="sent again: the run ended before an "
                            "answer came, and setting fields twice does no harm") for row in rows]  # fmt: skip
        there = self.client.find_by_external_ids(handle.object, [row.key for row in rows])
        receipts = []
        for row in rows:
            ids = there.get(row.key, [])
            if len(ids) == 1:
                receipts.append(
                    Receipt(entry_id=row.entry_id, outcome=Outcome.done, target_id=ids[0]["id"], created=True)
                )
            else:
                receipts.append(
                    Receipt(entry_id=row.entry_id, outcome=Outcome.retry, message="not there; sent again by its key")
                )
        return receipts

    # -- counts, links, set-up --------------------------------------------------------------------------------------

    def call_floor(self, object: str, verb: Verb, rows: int) -> int:
        """One call for every 100 records begun."""
        return -(-rows // BATCH)

    def calls(self) -> CallCount:
        """Calls of this connection's client; polling a job counts as reading."""
        counted = self.client.api.calls.snapshot()
        return CallCount(reads=counted["reads"] + counted["polls"], writes=counted["writes"])

    def link(self, object: str, target_id: str) -> str:
        """The record's page in the account's own screens; '' for types whose page is not known."""
        page = _PAGES.get(object.lower())
        host = self.client.account_id.lower().replace("_", "-")
        return f"https://{host}.app.netsuite.com/app/{page}?id={target_id}" if page else ""

    def fields_exist(self, object: str, fields: Sequence[str]) -> Mapping[str, bool]:
        """Which fields exist and may be written; none, when the record type is not there."""
        try:
            known = fields_of(self._schema(object))
        except Gone:
            return dict.fromkeys(fields, False)
        return {name: known.get(name.lower(), False) for name in fields}

    def _schema(self, object: str) -> dict[str, Any]:
        if object not in self._schemas:
            self._schemas[object] = self.client.describe(object)
        return self._schemas[object]

    def _kinds(self, object: str) -> dict[str, str]:
        return {
            name.lower(): str(shown.get("format") or shown.get("type", ""))
            for name, shown in (self._schema(object).get("properties") or {}).items()
        }


# Documents whose item lines can be compared, and the sign that turns the ledger's lines into the record service's.
_LINED = {"invoice": -1, "creditmemo": 1}


def _is_lines(path: str) -> bool:
    return path.lower().endswith(".items")


def _column(path: str) -> str:
    """`entity.id` -> entity, `tranDate` -> trandate: the SuiteQL column of a REST field path."""
    return path.partition(".")[0].lower()


def _prefix(key: str) -> str:
    """`ACC_0015f_UK_GBP` -> `acc_`; a key without an underscore is its own prefix. The ledger ignores case."""
    head, underscore, _ = key.partition("_")
    return (head + underscore).casefold()


def _target(row: WriteRow) -> str:
    if not row.target_id:
        raise ValueError(f"entry {row.entry_id} updates no record: it has no target_id")
    return row.target_id


def _sublists(row: WriteRow) -> list[str]:
    """Sublists sent whole: they replace what is there, or else their lines would be appended once more."""
    return sorted({path.partition(".")[0] for path in row.fields if _is_lines(path)})


def _plain(value: Value) -> Any:
    """A value as JSON carries it; Decimals stay Decimals (the client writes them digit for digit)."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    return value


def _typed(value: str | None, kind: str) -> Value:
    """SuiteQL's text by the field's type, so that it compares with what was sent."""
    if value is None:
        return None
    if kind == "boolean":
        return value == "T"
    if kind in ("number", "integer", "double", "float"):
        return Decimal(value)
    if kind == "date":
        return date.fromisoformat(value[:10])
    return value
