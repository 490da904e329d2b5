"""Writing to Salesforce: collections of up to 200 records a call, answered row by row.

    create  -> upsert by an External ID field that the org keeps unique: repeating it makes no second record
    update  -> by record id; None empties a field
    jobs    -> the same two through Bulk API 2.0, from 2,000 rows on: three calls to write, whatever the number
    find    -> by id (retrieve) or by any field (SOQL); deleted records count as not there

The key of a create must be flagged External ID and Unique in the org. That is looked up once (describe) before the
first create, because without the flag a lost answer could leave a second record.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from platforms.kit.errors import AskPerson, Conflict, Gone, PlatformError, Refused
from platforms.salesforce.client import COLLECTION_SIZE, RETRIEVE_SIZE, RowResult, SalesforceClient, parse_instant
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
    dig,
    nest,
    outcome_of,
    read_back_by_key,
)

PLATFORM = "salesforce"
# Ten collections answer within seconds; a job costs three calls and the vendor's queue, so it starts above that. A job
# may carry 150 MB: 50,000 rows stay below it with 3,000 characters each.
JOB_MIN_ROWS = 2_000
JOB_MAX_ROWS = 50_000
_JOB_CALLS = 3
_NULL = "#N/A"
_OBJECT_NAME = re.compile(r"[A-Za-z]\w*")
_RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_DECIMALS = frozenset({"currency", "double", "percent"})
# Refusals that look like "exists already" but say something else: an approval lock, a likely twin found by a rule.
_NOT_OUR_KEY = {"ENTITY_IS_LOCKED": Outcome.ask_person, "DUPLICATES_DETECTED": Outcome.refused}


def build(client: SalesforceClient, connection: str) -> Target:
    """The target of one connection."""
    return SalesforceTarget(client, connection)


class SalesforceTarget:
    """One org as a target. Field names are the org's API names; `Account.Ext__c` sets a lookup by external id."""

    platform = PLATFORM

    def __init__(self, client: SalesforceClient, connection: str) -> None:
        self.client = client
        self.connection = connection
        self._checked_keys: set[tuple[str, str]] = set()

    def capability(self, object: str) -> Capability:
        """Every object of an org can be written alike; whether this one exists, the org says at the first call."""
        if not _OBJECT_NAME.fullmatch(object):
            raise Refused(
                f"{object!r} is no Salesforce object name; there are Account, Opportunity, ... and custom X__c",
                platform=PLATFORM,
                connection=self.connection,
            )
        return Capability(
            object=object,
            key_kind=KeyKind.upsert_key,
            promise=Promise.exactly_once,
            max_batch_create=COLLECTION_SIZE,
            max_batch_update=COLLECTION_SIZE,
            max_find=RETRIEVE_SIZE,
            supports_async_job=True,
            job_min_rows=JOB_MIN_ROWS,
            job_max_rows=JOB_MAX_ROWS,
        )

    # --- reading --------------------------------------------------------------------------------------------------

    def find(
        self, object: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        """Records by id or by a field's value; text is compared without regard to case, as the org compares it."""
        if key_field == TARGET_ID:
            return self._find_by_id(object, keys, fields)
        wanted = list(dict.fromkeys(["SystemModstamp", *fields]))
        groups: dict[str, list[Found]] = {}
        for record in self.client.find(object, key_field, list(dict.fromkeys(keys)), wanted):
            value = str(record[_canonical(record, key_field)])
            groups.setdefault(value.casefold(), []).append(self._found(object, value, record, fields))
        return {key: tuple(groups.get(key.casefold(), ())) for key in keys}

    def _find_by_id(self, object: str, keys: Sequence[str], fields: Sequence[str]) -> Mapping[str, tuple[Found, ...]]:
        # What is no record id cannot be there, and one such would have the whole call refused.
        ids = [key for key in dict.fromkeys(keys) if _RECORD_ID.fullmatch(key)]
        wanted = list(dict.fromkeys(["Id", "SystemModstamp", *fields]))
        records: list[dict[str, Any] | None] = []
        if ids and any("." in name for name in fields):
            found = {str(record["Id"])[:15]: record for record in self.client.find(object, "Id", ids, wanted)}
            records = [found.get(one[:15]) for one in ids]
        elif ids:
            records = self.client.retrieve(object, ids, wanted)
        answer: dict[str, tuple[Found, ...]] = {key: () for key in keys}
        for key, record in zip(ids, records, strict=True):
            if record is not None:
                answer[key] = (self._found(object, key, record, fields),)
        return answer

    def _found(self, object: str, key: str, record: Mapping[str, Any], fields: Sequence[str]) -> Found:
        types = {str(one["name"]): str(one["type"]) for one in self.client.describe(object)["fields"]}
        values = {name: _typed(dig(record, name), types.get(name, "")) for name in fields}
        return Found(key=key, target_id=str(record["Id"]), version=str(record["SystemModstamp"]), fields=values)

    def read_back(
        self, object: str, rows: Sequence[WriteRow], *, key_field: str, fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        """The key travels with every create, so looking for it tells all."""
        return read_back_by_key(self, object, rows, key_field=key_field, fields=fields)

    # --- writing --------------------------------------------------------------------------------------------------

    def write(
        self, object: str, verb: Verb, rows: Sequence[WriteRow], *, key_field: str, batch_id: str
    ) -> Sequence[Receipt]:
        """One Collections call. `batch_id` is not used: Salesforce takes no idempotency key.

        Raises AskPerson when `key_field` is no unique external id (create), and what the whole call was refused with.
        """
        if verb is Verb.create:
            self._check_key(object, key_field)
            records = [{key_field: row.key, **_body(row)} for row in rows]
            results = self.client.collections_upsert(object, records, key_field)
        else:
            records = [self._update_of(row, key_field) for row in rows]
            results = self.client.collections_update(object, records)
        return [self._receipt(row, result, key_field) for row, result in zip(rows, results, strict=True)]

    def _update_of(self, row: WriteRow, key_field: str) -> dict[str, Any]:
        if not row.target_id:
            raise ValueError(f"entry {row.entry_id} updates no record: it has no target_id")
        adopted = {key_field: row.key} if row.adopt and key_field != TARGET_ID else {}
        return {"Id": row.target_id, **adopted, **_body(row)}

    def _check_key(self, object: str, key_field: str) -> None:
        if (object, key_field) in self._checked_keys:
            return
        if key_field == TARGET_ID:
            raise Refused(
                f"records of {object} cannot be created by an id that Salesforce gives out",
                platform=PLATFORM, connection=self.connection,
                next_step="Set mode: update, or name an External ID field as the sync's key field.",
            )  # fmt: skip
        field = next((one for one in self.client.describe(object)["fields"] if one["name"] == key_field), None)
        if field is None or not (field["externalId"] or field["idLookup"]) or not field["unique"]:
            what = "does not exist" if field is None else "is not flagged External ID and Unique"
            raise AskPerson(
                f"{object}.{key_field} {what}, so a create could be done twice",
                platform=PLATFORM, connection=self.connection, fields=(key_field,),
                next_step=f"Setup > Object Manager > {object} > Fields & Relationships: make {key_field} a Text "
                "field with External ID and Unique.",
            )  # fmt: skip
        self._checked_keys.add((object, key_field))

    def _receipt(self, row: WriteRow, result: RowResult, key_field: str) -> Receipt:
        error = result.error
        if error is None:
            created = result.created if row.verb is Verb.create else None
            return Receipt(entry_id=row.entry_id, outcome=Outcome.done, target_id=result.id, created=created)
        return Receipt(
            entry_id=row.entry_id,
            outcome=_outcome(error, key_field),
            code=error.code,
            message=error.message,
            fields=error.fields,
            request_id=error.request_id,
            retry_after=error.retry_after,
        )

    # --- jobs -----------------------------------------------------------------------------------------------------

    def open_job(self, object: str, verb: Verb, *, key_field: str, batch_id: str, rows: int) -> JobHandle:
        """Reserve a Bulk API 2.0 job: upsert by `key_field` for creates, update by id otherwise."""
        if verb is Verb.create:
            self._check_key(object, key_field)
        operation = "upsert" if verb is Verb.create else "update"
        remote = self.client.ingest_open(object, operation, key_field if verb is Verb.create else "")
        return JobHandle(
            connection=self.connection,
            object=object,
            verb=verb,
            key_field=key_field,
            batch_id=batch_id,
            remote=remote,
        )

    def submit_job(self, handle: JobHandle, rows: Sequence[WriteRow]) -> None:
        """Hand the rows over as CSV; a field that a row does not have stays empty, which leaves it alone."""
        records = [self._job_record(handle, row) for row in rows]
        names = list(dict.fromkeys(name for record in records for name in record))
        out = io.StringIO()
        writer = csv.DictWriter(out, names, restval="", lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(records)
        self.client.ingest_start(handle.remote, out.getvalue().encode("utf-8"))

    def _job_record(self, handle: JobHandle, row: WriteRow) -> dict[str, str]:
        record = {name: _cell(value) for name, value in row.fields.items()}
        if handle.verb is Verb.create:
            return {handle.key_field: row.key, **record}
        adopted = {handle.key_field: row.key} if row.adopt and handle.key_field != TARGET_ID else {}
        return {"Id": row.target_id or "", **adopted, **record}

    def reattach(self, handle: JobHandle, rows: Sequence[WriteRow]) -> Sequence[Receipt] | None:
        """The job's results; None while it runs. Rows it never worked on may be sent again, and so may all of them."""
        again = "the job ended without working on this row"
        try:
            state = self.client.ingest_state(handle.remote)
        except Gone:
            # Jobs are kept for days only. Updates by id and upserts by a unique key do no harm when repeated.
            return [_again(row, "the org does not know the job any more") for row in rows]
        if state == "Open":
            try:
                self.client.ingest_abort(handle.remote)
            except Refused:
                return None
            return [_again(row, "the job never got its rows") for row in rows]
        if state not in ("JobComplete", "Failed", "Aborted"):
            return None
        column = handle.key_field if handle.verb is Verb.create else "Id"
        results = {str(sent[column]): result for sent, result in self.client.ingest_results(handle.remote)}
        receipts = []
        for row in rows:
            result = results.get(row.key if handle.verb is Verb.create else row.target_id or "")
            receipts.append(self._receipt(row, result, handle.key_field) if result else _again(row, again))
        return receipts

    # --- counts, links, set-up --------------------------------------------------------------------------------------

    def call_floor(self, object: str, verb: Verb, rows: int) -> int:
        """One call for every 200 records begun, or three for a job where that is fewer."""
        calls = -(-rows // COLLECTION_SIZE)
        return min(calls, _JOB_CALLS * -(-rows // JOB_MAX_ROWS)) if rows >= JOB_MIN_ROWS else calls

    def calls(self) -> CallCount:
        """Calls of this connection's client; polling a job counts as reading."""
        counted = self.client.calls.snapshot()
        return CallCount(reads=counted["reads"] + counted["polls"], writes=counted["writes"])

    def link(self, object: str, target_id: str) -> str:
        """The record's page."""
        return self.client.record_url(target_id)

    def fields_exist(self, object: str, fields: Sequence[str]) -> Mapping[str, bool]:
        """Which fields exist and may be written by our user; none, when the object itself is not there."""
        try:
            described = self.client.describe(object)
        except Gone:
            return {name: False for name in fields}
        writable = {str(one["name"]) for one in described["fields"] if one["updateable"] or one["createable"]}
        links = {str(one["relationshipName"]) for one in described["fields"] if one["relationshipName"]}
        return {name: name in writable or ("." in name and name.split(".")[0] in links) for name in fields}


def _outcome(error: PlatformError, key_field: str) -> Outcome:
    if error.code in _NOT_OUR_KEY:
        return _NOT_OUR_KEY[error.code]
    if isinstance(error, Conflict) and error.fields and key_field not in error.fields:
        # Another unique field is taken: reading back by our key would find nothing to adopt.
        return Outcome.refused
    return outcome_of(error)


def _canonical(record: Mapping[str, Any], name: str) -> str:
    """The name as the answer spells it; SOQL is caseless, answers carry the org's own spelling."""
    if name in record:
        return name
    return next(key for key in record if key.lower() == name.lower())


def _body(row: WriteRow) -> dict[str, Any]:
    return nest({name: _plain(value) for name, value in row.fields.items()})


def _plain(value: Value) -> Any:
    """A value as JSON carries it; Decimals stay Decimals (the client writes them digit for digit)."""
    if isinstance(value, datetime):
        utc = value.astimezone(UTC)
        return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"
    if isinstance(value, date):
        return value.isoformat()
    return value


def _cell(value: Value) -> str:
    """A value as a bulk CSV carries it: `#N/A` empties a field, an empty cell would leave it alone."""
    plain = _plain(value)
    if plain is None or plain == "":
        return _NULL
    if isinstance(plain, bool):
        return str(plain).lower()
    if isinstance(plain, list | dict):
        raise Refused("a field of Salesforce holds a plain value, not a list or an object", platform=PLATFORM)
    return f"{plain:f}" if isinstance(plain, Decimal) else str(plain)


def _again(row: WriteRow, why: str) -> Receipt:
    return Receipt(entry_id=row.entry_id, outcome=Outcome.retry, message=why)


def _typed(value: Any, kind: str) -> Value:
    """A value of an answer by its field's type, so that it compares with what was sent."""
    if value is None:
        return None
    if kind in _DECIMALS:
        return Decimal(str(value))
    if kind == "date":
        return date.fromisoformat(str(value))
    if kind == "datetime":
        return parse_instant(str(value))
    known: Value = value
    return known
