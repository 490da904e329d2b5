"""A small real platform in memory: shelves of records, a vendor-like face, and faults on demand.

It keeps what it is told, refuses what breaks its rules, counts its calls and writes its own log of effects, which the
tests trust more than anything the engine says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platforms.kit.errors import AskPerson, BadAnswer, Gone, NotSent, Refused, Retry, Uncertain, Wait
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
    Verb,
    WriteRow,
    read_back_by_key,
)

Fault = str
"""One of: lost (request never arrived), reply_lost (done, no answer), wait, not_sent, retry, ask, html, refuse,
half (every second row asks to be tried again), silent (every second row is not mentioned), twice (two answers)."""


@dataclass
class World:
    """The platform's memory; outlives targets, as a platform outlives our processes."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: list[tuple[str, str, str]] = field(default_factory=list)
    """(created | updated, key, id), as it happened."""
    jobs: dict[str, list[Receipt] | None] = field(default_factory=dict)
    writes: int = 0
    reads: int = 0
    number: int = 0
    refuse: dict[str, str] = field(default_factory=dict)
    """Key -> why its writes are refused."""
    fault: Callable[[str], Fault | None] = lambda step: None
    """Asked once a call, with 'write', 'find', 'open_job', 'submit_job' or 'reattach'."""
    hidden: int = 0
    """How many `find` calls do not see anything yet (search lag)."""

    def by_key(self) -> Counter[str]:
        """Records per key."""
        return Counter(record["@key"] for record in self.records.values())


@dataclass
class Shelf:
    """One connection's face of a `World`."""

    world: World
    connection: str = "shelf"
    platform: str = "shelf"
    key_kind: KeyKind = KeyKind.upsert_key
    promise: Promise = Promise.exactly_once
    batch: int = 10
    max_find: int = 7
    lag: float = 0.0
    lanes: int = 1
    job_rows: int = 0
    gives_back: bool = True

    def capability(self, object: str) -> Capability:
        return Capability(
            object=object,
            key_kind=self.key_kind,
            promise=self.promise,
            max_batch_create=self.batch,
            max_batch_update=self.batch,
            max_find=self.max_find,
            find_lag_seconds=self.lag,
            parallel_writes=self.lanes,
            supports_async_job=bool(self.job_rows),
            job_min_rows=self.job_rows,
        )

    def find(
        self, object: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        assert len(keys) <= self.max_find
        self.world.reads += 1
        self._trouble("find")
        if self.world.hidden > 0:
            self.world.hidden -= 1
            return {key: () for key in keys}
        answer: dict[str, tuple[Found, ...]] = {}
        for key in keys:
            hits = (
                ([key] if key in self.world.records else [])
                if key_field == TARGET_ID
                else [i for i, r in self.world.records.items() if r["@key"] == key]
            )
            answer[key] = tuple(self._found(i, fields) for i in hits)
        return answer

    def _found(self, target_id: str, fields: Sequence[str]) -> Found:
        record = self.world.records[target_id]
        held = {name: record.get(name) for name in fields} if self.gives_back else {}
        return Found(key=record["@key"], target_id=target_id, version=str(record["@version"]), fields=held)

    def read_back(
        self, object: str, rows: Sequence[WriteRow], *, key_field: str, fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        return read_back_by_key(self, object, rows, key_field=key_field, fields=fields)

    def write(
        self, object: str, verb: Verb, rows: Sequence[WriteRow], *, key_field: str, batch_id: str
    ) -> Sequence[Receipt]:
        assert 0 < len(rows) <= self.batch
        assert all(row.verb is verb for row in rows)
        self.world.writes += 1
        fault = self._trouble("write")
        if fault == "refuse" and any(row.key in self.world.refuse for row in rows):
            raise Refused("one of the records is wrong", code="BAD_CALL")
        receipts = self._do(rows, fault)
        if fault == "reply_lost":
            raise Uncertain("the connection was cut")
        return receipts

    def _do(self, rows: Sequence[WriteRow], fault: Fault | None) -> list[Receipt]:
        receipts: list[Receipt] = []
        for number, row in enumerate(rows):
            if fault == "half" and number % 2:
                receipts.append(Receipt(entry_id=row.entry_id, outcome=Outcome.retry, message="row is locked"))
                continue
            receipt = self._one(row)
            if fault == "silent" and number % 2:
                continue
            receipts.append(receipt)
            if fault == "twice":
                receipts.append(Receipt(entry_id=row.entry_id, outcome=Outcome.retry, message="row is locked"))
        return receipts

    def _one(self, row: WriteRow) -> Receipt:
        world = self.world
        if row.key in world.refuse:
            return Receipt(
                entry_id=row.entry_id,
                outcome=Outcome.refused,
                code="RULE",
                message=world.refuse[row.key],
                fields=("name",),
            )
        target_id = row.target_id
        if row.verb is Verb.create:
            assert None not in row.fields.values(), "a create carries no nulls"
            there = [i for i, r in world.records.items() if r["@key"] == row.key]
            if there and self.promise is Promise.exactly_once:
                target_id = there[0]
            elif there and self.key_kind is KeyKind.upsert_key:
                return Receipt(entry_id=row.entry_id, outcome=Outcome.conflict, message="exists")
            else:
                target_id = None
        elif target_id not in world.records:
            return Receipt(entry_id=row.entry_id, outcome=Outcome.refused, code="GONE", message="no such record")
        made = target_id is None
        if target_id is None:
            world.number += 1
            target_id = f"id{world.number}"
            world.records[target_id] = {"@key": row.key, "@version": 0}
        record = world.records[target_id]
        record.update(row.fields)
        record["@version"] += 1
        if row.adopt:
            record["@key"] = row.key
        world.log.append(("created" if made else "updated", row.key, target_id))
        return Receipt(
            entry_id=row.entry_id,
            outcome=Outcome.done,
            target_id=target_id,
            target_version=str(record["@version"]),
            created=made,
        )

    def _trouble(self, step: str) -> Fault | None:
        fault = self.world.fault(step)
        match fault:
            case "lost":
                raise Uncertain("no answer")
            case "wait":
                raise Wait("slow down", retry_after=0.1)
            case "not_sent":
                raise NotSent("connection refused")
            case "retry":
                raise Retry("server error")
            case "ask":
                raise AskPerson("the token has been revoked", code="INVALID_LOGIN")
            case "html":
                raise BadAnswer("text/html: <html>maintenance")
        return fault

    def open_job(self, object: str, verb: Verb, *, key_field: str, batch_id: str, rows: int) -> JobHandle:
        self.world.writes += 1
        self._trouble("open_job")
        remote = f"job{len(self.world.jobs) + 1}"
        self.world.jobs[remote] = None
        return JobHandle(
            connection=self.connection, object=object, verb=verb, key_field=key_field, batch_id=batch_id, remote=remote
        )

    def submit_job(self, handle: JobHandle, rows: Sequence[WriteRow]) -> None:
        self.world.writes += 1
        fault = self._trouble("submit_job")
        self.world.jobs[handle.remote] = self._do(rows, fault)
        if fault == "reply_lost":
            raise Uncertain("the connection was cut")

    def reattach(self, handle: JobHandle, rows: Sequence[WriteRow]) -> Sequence[Receipt] | None:
        self.world.reads += 1
        if self._trouble("reattach") == "running":
            return None
        if handle.remote not in self.world.jobs:
            raise Gone("no such job")
        receipts = self.world.jobs[handle.remote]
        if receipts is None:
            return [Receipt(entry_id=row.entry_id, outcome=Outcome.retry, message="never submitted") for row in rows]
        return receipts

    def call_floor(self, object: str, verb: Verb, rows: int) -> int:
        if self.job_rows and rows >= self.job_rows:
            return 2
        return -(-rows // self.batch)

    def calls(self) -> CallCount:
        return CallCount(reads=self.world.reads, writes=self.world.writes)

    def link(self, object: str, target_id: str) -> str:
        return f"https://shelf.example/{object}/{target_id}"

    def fields_exist(self, object: str, fields: Sequence[str]) -> Mapping[str, bool]:
        return dict.fromkeys(fields, True)
