"""The exceptions desk: trouble with a record that a person has to look at, until it is settled one way or another.

An exception opens when a platform refuses a record, a key turns out double, or a read-back differs from what was sent.
It closes by itself when the record later succeeds or its source changes; otherwise a person assigns, resolves, ignores
(with a reason) or retries it. Each decision is kept with its name and time. There is at most one open exception per
record and kind.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from reverse_etl.journal import schema
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Journal, Move, chunked, one_of
from reverse_etl.values import dump


class Trouble(StrEnum):
    """What kind of decision is wanted."""

    refused = "refused"
    """The platform said no to these values."""
    ask_person = "ask_person"
    """A permission, a closed period, a lock: something on the platform must change first."""
    conflict = "conflict"
    """The record there is not the one we thought: it exists otherwise, or has moved."""
    duplicate = "duplicate"
    """Several records carry one key; one has to go."""
    mismatch = "mismatch"
    """Read back, the record is not what was sent."""
    drift = "drift"
    """Others changed a record that was ours only to make; it stays as they left it (O-2), and here it shows."""
    missing = "missing"
    """Read back, the record is not there."""
    connection = "connection"
    """The whole connection is stopped: credentials, permissions, an answer that is not the platform's."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One exception to open."""

    sync: str
    platform: str
    connection: str
    object: str
    key: str
    kind: Trouble
    reason: str
    owner: str
    entry_id: str | None = None
    target_id: str | None = None
    code: str = ""
    fields: tuple[str, ...] = ()
    diff: Mapping[str, Any] | None = None
    attempts: int = 0


@dataclass(frozen=True, kw_only=True)
class Exceptional:
    """One exception as it stands."""

    exception_id: str
    sync: str
    platform: str
    connection: str
    object: str
    key: str
    entry_id: str | None
    target_id: str | None
    kind: str
    code: str | None
    reason: str
    cause: str
    fields: str | None
    diff_json: str | None
    owner: str
    attempts: int
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    decision: str | None
    decided_by: str | None
    note: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Exceptions with the same cause."""

    sync: str
    kind: str
    code: str
    cause: str
    count: int
    example: str
    oldest: datetime


class NoSuchException(LookupError):
    """There is no open exception with this id."""


_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\S*\d\S*")


def cause_of(kind: str, code: str, message: str) -> str:
    """The same for messages that differ only in ids, numbers, dates and quoted values."""
    general = _VARIABLE.sub("_", message.lower())
    return hashlib.sha256(f"{kind}|{code}|{general}".encode("utf-8", "replace")).hexdigest()[:16]


def open_cases(journal: Journal, tx: Connection, cases: Sequence[Case]) -> None:
    """Open these, or bring the open ones of the same record and kind up to date."""
    now = journal.clock()
    statement = journal.inserting(schema.exceptions)
    told = ("entry_id", "target_id", "code", "reason", "cause", "fields", "diff_json", "attempts", "last_seen_at")
    statement = statement.on_conflict_do_update(
        index_elements=["sync", "connection", "key", "kind"],
        index_where=schema.exceptions.c.closed_at.is_(None),
        set_={name: statement.excluded[name] for name in told},
    )
    for part in chunked(cases):
        tx.execute(
            statement,
            [
                {
                    "exception_id": journal.ids(),
                    "sync": case.sync,
                    "platform": case.platform,
                    "connection": case.connection,
                    "object": case.object,
                    "key": case.key,
                    "entry_id": case.entry_id,
                    "target_id": case.target_id,
                    "kind": case.kind.value,
                    "code": case.code,
                    "reason": case.reason,
                    "cause": cause_of(case.kind, case.code, case.reason),
                    "fields": ", ".join(case.fields),
                    "diff_json": dump(case.diff) if case.diff is not None else None,
                    "owner": case.owner,
                    "attempts": case.attempts,
                    "opened_at": now,
                    "last_seen_at": now,
                }
                for case in part
            ],
        )


def close_cases(
    journal: Journal,
    tx: Connection,
    sync: str,
    records: Iterable[tuple[str, str]],
    decision: str,
    kinds: Iterable[Trouble] = tuple(Trouble),
) -> None:
    """Close the open exceptions of these (connection, key) records, of these kinds, if there are any."""
    x = schema.exceptions
    chosen = [k.value for k in kinds]
    standing = select(x.c.connection, x.c.key).where(x.c.sync == sync, x.c.closed_at.is_(None), x.c.kind.in_(chosen))
    open_now = set(tx.execute(standing).tuples())
    if not open_now:
        return
    hit = [(c, k) for c, k in records if (c, k) in open_now]
    statement = (
        update(x)
        .where(
            x.c.sync == sync,
            x.c.connection == bindparam("b_connection"),
            x.c.key == bindparam("b_key"),
            x.c.closed_at.is_(None),
            one_of(x.c.kind, chosen),
        )
        .values(closed_at=journal.clock(), decision=decision, decided_by="tieout")
    )
    for part in chunked(hit):
        tx.execute(statement, [{"b_connection": c, "b_key": k} for c, k in part])


def told_of(journal: Journal, entry_ids: Iterable[str], kinds: Iterable[Trouble]) -> dict[str, Exceptional]:
    """Entry -> the newest exception of these kinds that was opened about it, whether it is still open or not."""
    x = schema.exceptions
    query = select(*[x.c[f.name] for f in fields(Exceptional)]).where(x.c.kind.in_([k.value for k in kinds]))
    found: dict[str, Exceptional] = {}
    with journal.read() as c:
        for part in chunked(entry_ids):
            rows = c.execute(query.where(x.c.entry_id.in_(part)).order_by(x.c.opened_at, x.c.exception_id)).mappings()
            found.update({str(row["entry_id"]): Exceptional(**row) for row in rows})
    return found


class Desk:
    """What people do with exceptions. `actor` is who decides; it is kept."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def find(
        self,
        *,
        sync: str | None = None,
        owner: str | None = None,
        kind: str | None = None,
        closed: bool = False,
        limit: int = 1000,
    ) -> list[Exceptional]:
        """Open exceptions (or closed ones), oldest first."""
        x = schema.exceptions
        query = select(*[x.c[f.name] for f in fields(Exceptional)])
        query = query.where(x.c.closed_at.is_not(None) if closed else x.c.closed_at.is_(None))
        for column, value in ((x.c.sync, sync), (x.c.owner, owner), (x.c.kind, kind)):
            if value is not None:
                query = query.where(column == value)
        with self.journal.read() as c:
            rows = c.execute(query.order_by(x.c.opened_at, x.c.exception_id).limit(limit)).mappings()
            return [Exceptional(**row) for row in rows]

    def groups(self, *, sync: str | None = None) -> list[Group]:
        """Open exceptions by cause, the most frequent first."""
        x = schema.exceptions
        query = (
            select(
                x.c.sync,
                x.c.kind,
                func.max(x.c.code),
                x.c.cause,
                func.count(),
                func.min(x.c.reason),
                func.min(x.c.opened_at),
            )
            .where(x.c.closed_at.is_(None))
            .group_by(x.c.sync, x.c.kind, x.c.cause)
            .order_by(func.count().desc(), x.c.sync, x.c.cause)
        )
        if sync is not None:
            query = query.where(x.c.sync == sync)
        with self.journal.read() as c:
            rows: Iterable[Any] = c.execute(query)
            return [
                Group(sync=s, kind=k, code=code or "", cause=cause, count=n, example=example, oldest=oldest)
                for s, k, code, cause, n, example, oldest in rows
            ]

    def _one(self, exception_id: str) -> Exceptional:
        x = schema.exceptions
        query = select(*[x.c[f.name] for f in fields(Exceptional)]).where(
            x.c.exception_id == exception_id, x.c.closed_at.is_(None)
        )
        with self.journal.read() as c:
            row = c.execute(query).mappings().first()
        if row is None:
            raise NoSuchException(f"there is no open exception {exception_id!r}; `tieout exceptions list` shows them")
        return Exceptional(**row)

    def _close(self, tx: Connection, found: Exceptional, decision: str, actor: str, note: str) -> None:
        x = schema.exceptions
        tx.execute(
            update(x)
            .where(x.c.exception_id == found.exception_id)
            .values(closed_at=self.journal.clock(), decision=decision, decided_by=actor, note=note)
        )
        self._tell(tx, found, decision, actor, note)

    def _tell(self, tx: Connection, found: Exceptional, what: str, actor: str, note: str) -> None:
        self.journal.note(
            tx,
            f"exception {what}",
            actor=actor,
            sync=found.sync,
            connection=found.connection,
            entry_id=found.entry_id,
            detail=dump({"exception_id": found.exception_id, "key": found.key, "note": note}),
        )

    def assign(self, exception_id: str, owner: str, *, actor: str) -> None:
        """Give it to somebody."""
        found = self._one(exception_id)
        x = schema.exceptions
        with self.journal.write(found.sync) as tx:
            tx.execute(update(x).where(x.c.exception_id == exception_id).values(owner=owner))
            self._tell(tx, found, "assigned", actor, owner)

    def resolve(self, exception_id: str, *, actor: str, note: str = "") -> None:
        """It has been dealt with outside; a refused record stays unsent until its source changes or it is retried."""
        found = self._one(exception_id)
        with self.journal.write(found.sync) as tx:
            self._close(tx, found, "resolved", actor, note)

    def ignore(self, exception_id: str, *, actor: str, reason: str) -> None:
        """It is accepted as it is. The reason is required; the record is looked at again when its source changes."""
        if not reason.strip():
            raise ValueError("ignoring an exception needs a reason; it is what the next person reads")
        found = self._one(exception_id)
        with self.journal.write(found.sync) as tx:
            self._close(tx, found, "ignored", actor, reason)

    def retry(self, exception_id: str, *, actor: str, note: str = "") -> int:
        """Send it again with the next run. Returns how many entries may go (0: nothing of it is refused)."""
        found = self._one(exception_id)
        with self.journal.write(found.sync) as tx:
            count = self._free(tx, found.sync, found.connection, found.key, actor)
            self._close(tx, found, "retried", actor, note)
        return count

    def retry_cause(self, sync: str, cause: str, *, actor: str, note: str = "") -> int:
        """Retry every open exception with one cause; returns how many entries may go."""
        x = schema.exceptions
        query = select(*[x.c[f.name] for f in fields(Exceptional)]).where(
            x.c.sync == sync, x.c.cause == cause, x.c.closed_at.is_(None)
        )
        with self.journal.write(sync) as tx:
            all_found = [Exceptional(**row) for row in tx.execute(query).mappings()]
            count = 0
            for found in all_found:
                count += self._free(tx, found.sync, found.connection, found.key, actor)
                self._close(tx, found, "retried", actor, note)
        if not all_found:
            raise NoSuchException(f"there is no open exception of {sync} with cause {cause!r}")
        return count

    def _free(self, tx: Connection, sync: str, connection: str, key: str, actor: str) -> int:
        e = schema.entries
        query = select(e.c.entry_id).where(
            e.c.sync == sync, e.c.connection == connection, e.c.state == State.refused.value
        )
        if key:
            query = query.where(e.c.key == key)
        ids: list[str] = list(tx.execute(query).scalars())
        return self.journal.move(tx, [Move(entry_id=i, to=State.pending, reason=f"retried by {actor}") for i in ids])

    def approve(self, sync: str, *, actor: str, entry_ids: Sequence[str] | None = None) -> int:
        """Let entries go that wait for approval or are held by a brake: all of a sync, or the named ones.

        Entries held by the model's own `_hold_reason`, or frozen, are not approved here: the model has to let go.
        Returns how many may go now.
        """
        e = schema.entries
        query = select(e.c.entry_id).where(
            e.c.sync == sync, e.c.state == State.held.value, e.c.hold_kind.in_(["approval", "brake"])
        )
        with self.journal.write(sync) as tx:
            ids: list[str] = list(tx.execute(query.order_by(e.c.ordinal)).scalars())
            if entry_ids is not None:
                wanted = set(entry_ids)
                ids = [i for i in ids if i in wanted]
            self.journal.move(tx, [Move(entry_id=i, to=State.pending, reason=f"approved by {actor}") for i in ids])
            for part in chunked(ids):
                tx.execute(
                    update(e)
                    .where(e.c.entry_id == bindparam("b_entry"))
                    .values(approved_by=actor, approved_at=self.journal.clock()),
                    [{"b_entry": i} for i in part],
                )
            if ids:
                self.journal.note(tx, "approved", actor=actor, sync=sync, detail=dump({"entries": len(ids)}))
        return len(ids)
