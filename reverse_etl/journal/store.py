"""The journal: what we intend to write, what was sent, what came of it, and what we know to be there.

Every method that changes something runs inside `with journal.write(sync) as tx:`, one transaction that is on the disk
when the block ends. Nothing may be sent to a platform whose intent has not been through such a block. The same class
serves SQLite, PostgreSQL and, for tests, a database in memory.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from filelock import FileLock, Timeout
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import StaticPool

from reverse_etl.journal import schema
from reverse_etl.journal.states import IN_DOUBT, OPEN, IllegalMove, State, sources

T = TypeVar("T")
CHUNK = 5_000
"""Rows per statement. Larger chunks gain nothing measurable on SQLite and hold more memory."""
BATCH = 20_000
"""Rows per Arrow batch of a stream: some 10 MB of known records with twenty fields."""
# SQLite allows 32,766 variables a statement; keys are bound one each.
_KEYS = 10_000


class JournalError(Exception):
    """The journal cannot be written or read; nothing more is sent until it can."""


class Busy(Exception):
    """Another run is at work on this sync; try again when it has finished."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One intended write, as it stands in the journal."""

    entry_id: str
    ordinal: int
    plan_id: str
    run_id: str
    sync: str
    platform: str
    connection: str
    object: str
    key: str
    verb: str
    adopt: int
    state: State
    hold_kind: str | None
    reason: str | None
    fields_json: str
    before_json: str | None
    desired_json: str | None
    desired_digest: str
    target_id: str | None
    target_version: str | None
    batch_id: str | None
    attempts: int
    amount: Decimal | None
    currency: str | None
    owner: str | None
    source_refs: str | None
    created_at: datetime
    confirmed_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Move:
    """One entry's next state, with what is learnt on the way. None leaves the column; `reason` is always set."""

    entry_id: str
    to: State
    reason: str | None = None
    target_id: str | None = None
    target_version: str | None = None
    verb: str | None = None
    desired_json: str | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What we know to be on the platform for one record, as last confirmed."""

    sync: str
    connection: str
    key: str
    target_id: str
    fields_json: str
    target_version: str | None
    entry_id: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one attempt came to."""

    entry_id: str
    attempt: int
    outcome: str
    code: str = ""
    message: str = ""
    request_id: str = ""


# The lock of one sync of one journal; journals may share a database, each in its schema.
_LOCK = "hashtextextended(concat_ws(':', 'tieout', current_schema(), cast(:name as text)), 0)"
_LOCK_IS_OURS = (
    f"objsubid = 1 and cast(classid as bigint) = ({_LOCK} >> 32) & 4294967295"
    f" and cast(objid as bigint) = {_LOCK} & 4294967295"
)
_ENTRY_COLUMNS = [schema.entries.c[f.name] for f in fields(Entry)]
KNOWN_ARROW = pa.schema(
    [
        ("connection", pa.string()),
        ("key", pa.string()),
        ("target_id", pa.string()),
        ("fields_json", pa.string()),
        ("target_version", pa.string()),
    ]
)
OPEN_ARROW = pa.schema(
    [
        ("connection", pa.string()),
        ("key", pa.string()),
        ("entry_id", pa.string()),
        ("state", pa.string()),
        ("verb", pa.string()),
        ("hold_kind", pa.string()),
        ("reason", pa.string()),
        ("desired_digest", pa.string()),
        ("approved", pa.bool_()),
    ]
)


def chunked(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Lists of at most `size`, lazily."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def one_of(column: Any, values: Iterable[str]) -> ColumnElement[bool]:
    """`column in (...)`, in a form that executemany accepts."""
    return or_(*[column == value for value in values])


def new_id() -> str:
    return uuid.uuid4().hex


def _now() -> datetime:
    return datetime.now(UTC)


class Journal:
    """One journal database. Safe to use from several threads and, single-flight per sync, from several processes."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], datetime] = _now,
        ids: Callable[[], str] = new_id,
        locks: Path | None = None,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.ids = ids
        self._locks = locks
        self._turn = threading.RLock()
        self._held: dict[str, threading.Lock] = {}
        self._leases: dict[str, int] = {}
        try:
            with self._translated("opened"), self._turn, engine.begin() as tx:
                schema.migrate(tx, clock())
        except JournalError:
            engine.dispose()
            raise

    @classmethod
    def open(
        cls,
        url: str,
        *,
        clock: Callable[[], datetime] = _now,
        ids: Callable[[], str] = new_id,
        locks: Path | None = None,
    ) -> Journal:
        """By SQLAlchemy URL (`sqlite:////path/journal.sqlite`, `postgresql+psycopg://...`), brought up to date.

        `locks` is the folder for lock files of an SQLite journal; by default beside the file.
        """
        if not url.startswith("sqlite"):
            server = create_engine(url, pool_pre_ping=True)
            _wait_for_the_disk(server)
            return cls(server, clock=clock, ids=ids)
        engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False})
        database = engine.url.database
        if not database or database == ":memory:":
            return cls.in_memory(clock=clock, ids=ids)
        path = Path(database)
        path.parent.mkdir(parents=True, exist_ok=True)

        @event.listens_for(engine, "connect")
        def _careful(connection: Any, _record: Any) -> None:
            # FULL: the intent has to be on the disk before the send. A run makes two commits per vendor call, each
            # a few ms, so NORMAL would gain nothing that shows beside the call itself.
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

        _begin_immediate(engine)
        return cls(engine, clock=clock, ids=ids, locks=locks or path.parent / "locks")

    @classmethod
    def in_memory(cls, *, clock: Callable[[], datetime] = _now, ids: Callable[[], str] = new_id) -> Journal:
        """The twin for tests: the same tables and queries, gone with the process."""
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        _begin_immediate(engine)
        return cls(engine, clock=clock, ids=ids)

    def close(self) -> None:
        self.engine.dispose()

    # -- transactions and turns -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        try:
            yield
        except (OperationalError, DBAPIError) as error:
            cause = str(error.orig or error).strip()
            where = self.engine.url.render_as_string(hide_password=True)
            advice = (
                "Free some space and run again"
                if "full" in cause or "space" in cause
                else "See that it is there and ours"
            )
            raise JournalError(
                f"the journal {where} cannot be {done}: {cause}. Nothing was sent after this. {advice}."
            ) from error

    @contextlib.contextmanager
    def write(self, sync: str) -> Iterator[Connection]:
        """A transaction that changes entries or records of one sync; committed, or as if it had never begun."""
        with self._translated("written"), self._turn, self.engine.begin() as tx:
            stamp = self.inserting(schema.revisions).values(sync=sync, revision=1)
            tx.execute(
                stamp.on_conflict_do_update(index_elements=["sync"], set_={"revision": schema.revisions.c.revision + 1})
            )
            self._check_lease(tx, sync)
            yield tx

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent look."""
        turn = self._turn if self._in_memory else contextlib.nullcontext()
        with self._translated("read"), turn, self.engine.connect() as c:
            if self._on_server:
                c = c.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield c.execution_options(reading=True)

    @property
    def _in_memory(self) -> bool:
        return isinstance(self.engine.pool, StaticPool)

    @property
    def _on_server(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    def inserting(self, table: Any) -> Any:
        return postgresql.insert(table) if self._on_server else sqlite.insert(table)

    @contextlib.contextmanager
    def single_flight(self, sync: str, wait: float = 0.0) -> Iterator[None]:
        """Only one run at a time works on a sync, over threads and processes; a killed holder lets go.

        Waits up to `wait` seconds, then raises Busy.
        """
        turn = self._held.setdefault(sync, threading.Lock())
        if not (turn.acquire(timeout=wait) if wait > 0 else turn.acquire(blocking=False)):
            raise Busy(f"{sync}: another thread of this process is at work on it")
        try:
            if self._locks is not None:
                self._locks.mkdir(parents=True, exist_ok=True)
                try:
                    with FileLock(self._locks / f"{sync}.lock", timeout=wait):
                        yield
                except Timeout as error:
                    raise Busy(f"{sync}: another process is at work on it; waited {wait:g} s") from error
            elif self._on_server:
                with self._advisory_lock(sync, wait):
                    yield
            else:
                yield
        finally:
            turn.release()

    @contextlib.contextmanager
    def _advisory_lock(self, sync: str, wait: float) -> Iterator[None]:
        # A session lock: PostgreSQL frees it when the connection dies with its process. The connection is taken out of
        # the pool for good, so that its settings reach nobody else.
        with self._translated("locked"), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            c.detach()
            c.execute(text("select set_config('idle_session_timeout', '0', false)"))
            if not self._take_lock(c, sync, wait):
                raise Busy(f"{sync}: another process is at work on it; waited {wait:g} s")
            self._leases[sync] = int(c.execute(text("select pg_backend_pid()")).scalar() or 0)
            try:
                yield
            finally:
                del self._leases[sync]
                # Closing it frees the lock. A connection that is gone already has freed it too early, which the next
                # write has noticed.
                with contextlib.suppress(DBAPIError):
                    c.execute(text(f"select pg_advisory_unlock({_LOCK})"), {"name": sync})

    @staticmethod
    def _take_lock(c: Connection, sync: str, wait: float) -> bool:
        if wait <= 0:
            return bool(c.execute(text(f"select pg_try_advisory_lock({_LOCK})"), {"name": sync}).scalar())
        c.execute(text("select set_config('lock_timeout', :wait, false)"), {"wait": str(max(1, int(wait * 1000)))})
        try:
            c.execute(text(f"select pg_advisory_lock({_LOCK})"), {"name": sync})
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) == "55P03":
                return False
            raise
        return True

    def _check_lease(self, tx: Connection, sync: str) -> None:
        """A run that holds a lock on the server may write only while it still does: its connection may have been cut,
        and another run may have taken over."""
        pid = self._leases.get(sync)
        if pid is None:
            return
        query = f"select true from pg_locks where locktype = 'advisory' and granted and pid = :pid and {_LOCK_IS_OURS}"
        if tx.execute(text(query), {"pid": pid, "name": sync}).scalar() is None:
            raise JournalError(
                f"{sync}: the lock of this run was lost, its connection to the journal has ended. "
                "Nothing was sent after this. Run again."
            )

    # -- what the planner reads -------------------------------------------------------------------------------------

    def revision(self, sync: str) -> int:
        """Moves with every change of the sync's entries or records; 0 before the first."""
        with self.read() as c:
            found = c.execute(select(schema.revisions.c.revision).where(schema.revisions.c.sync == sync)).scalar()
        return int(found or 0)

    @cached_property
    def identity(self) -> str:
        """Tells this journal from any other."""
        v = schema.schema_versions
        with self.read() as c:
            return str(c.execute(select(v.c.applied_at).where(v.c.version == 1)).scalar())

    def known_count(self, sync: str, after: int = -1) -> int:
        """How many known records of a sync were written after a revision; by default all."""
        k = schema.known_records
        query = select(func.count()).where(k.c.sync == sync, k.c.revision > after)
        with self.read() as c:
            return int(c.execute(query).scalar() or 0)

    def known_stream(self, sync: str, after: int = -1) -> contextlib.AbstractContextManager[pa.RecordBatchReader]:
        """Known records of a sync as Arrow (KNOWN_ARROW), those written after a revision; by default all."""
        k = schema.known_records
        columns = [k.c[name] for name in KNOWN_ARROW.names]
        return self._stream(select(*columns).where(k.c.sync == sync, k.c.revision > after), KNOWN_ARROW)

    def open_stream(self, sync: str) -> contextlib.AbstractContextManager[pa.RecordBatchReader]:
        """All open entries of a sync as Arrow (OPEN_ARROW)."""
        e = schema.entries
        columns = [e.c[name] for name in OPEN_ARROW.names[:-1]]
        query = select(*columns, e.c.approved_at.is_not(None)).where(e.c.sync == sync, e.c.state.in_(sorted(OPEN)))
        return self._stream(query, OPEN_ARROW)

    @contextlib.contextmanager
    def _stream(self, query: Select[Any], arrow: pa.Schema) -> Iterator[pa.RecordBatchReader]:
        """Rows in batches of BATCH, of one moment, read while the block consumes them: memory does not grow with them.

        Whoever consumes may do so from another thread, as DuckDB does. A journal that fails meanwhile -> JournalError,
        whatever the consumer made of it.
        """
        # Around SQLAlchemy's row objects: they triple the time of a million rows.
        compiled = str(query.compile(self.engine, compile_kwargs={"literal_binds": True})).replace("%%", "%")
        faults: list[Exception] = []
        with self.read() as c:
            raw = c.connection.driver_connection
            assert raw is not None
            # A server would otherwise send all of it before the first row is seen.
            cursor = raw.cursor(name="tieout") if self._on_server else raw.cursor()
            try:
                cursor.execute(compiled)
                yield pa.RecordBatchReader.from_batches(arrow, _batches(cursor, arrow, faults))
            except Exception as error:
                fault = faults[0] if faults else error
                if not isinstance(fault, self.engine.dialect.loaded_dbapi.Error):
                    raise
                where = self.engine.url.render_as_string(hide_password=True)
                raise JournalError(f"the journal {where} cannot be read: {fault}") from error
            finally:
                cursor.close()

    # -- entries ----------------------------------------------------------------------------------------------------

    def insert_plan(self, tx: Connection, row: Mapping[str, Any]) -> None:
        tx.execute(insert(schema.plans), [dict(row)])

    def insert_entries(self, tx: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """Write down intended writes, streamed; every row names its state, which must follow `planned`."""
        count = 0
        allowed = sources_to_targets(State.planned)
        for part in chunked(rows):
            for row in part:
                if row["state"] not in allowed:
                    raise IllegalMove(State(row["state"]), 1, 0, row["entry_id"], "planned")
            tx.execute(insert(schema.entries), part)
            count += len(part)
        return count

    def move(self, tx: Connection, moves: Iterable[Move]) -> int:
        """Move entries, by the table of moves; one that may not go there -> IllegalMove, and nothing changes."""
        now = self.clock()
        by_state: dict[State, list[Move]] = {}
        for one in moves:
            by_state.setdefault(one.to, []).append(one)
        count = 0
        e = schema.entries
        for to, group in by_state.items():
            values: dict[str, Any] = {
                "state": to.value,
                "reason": bindparam("b_reason"),
                "target_id": func.coalesce(
                    bindparam("b_target_id", type_=schema.entries.c.target_id.type), e.c.target_id
                ),
                "target_version": func.coalesce(
                    bindparam("b_version", type_=schema.entries.c.target_version.type), e.c.target_version
                ),
                "verb": func.coalesce(bindparam("b_verb", type_=e.c.verb.type), e.c.verb),
                "desired_json": func.coalesce(bindparam("b_desired", type_=e.c.desired_json.type), e.c.desired_json),
                "updated_at": now,
            }
            stamp = {State.sent: "sent_at", State.confirmed: "confirmed_at", State.settled: "settled_at"}.get(to)
            if stamp:
                values[stamp] = now
            if to is State.pending:
                values["hold_kind"] = None
            statement = (
                update(e)
                .where(e.c.entry_id == bindparam("b_entry"), one_of(e.c.state, sorted(sources(to))))
                .values(**values)
            )
            plain, particular = _by_reason(group)
            for reason, ids in plain.items():
                for some in chunked(ids):
                    moved = tx.execute(
                        update(e)
                        .where(e.c.entry_id.in_(some), e.c.state.in_(sorted(sources(to))))
                        .values(**{n: v for n, v in values.items() if n in _SAME_FOR_ALL}, reason=reason)
                    ).rowcount
                    if moved != len(some):
                        self._complain(tx, to, some, moved)
                    count += moved
            for part in chunked(particular):
                moved = tx.execute(
                    statement,
                    [
                        {
                            "b_entry": m.entry_id,
                            "b_reason": m.reason,
                            "b_target_id": m.target_id,
                            "b_version": m.target_version,
                            "b_verb": m.verb,
                            "b_desired": m.desired_json,
                        }
                        for m in part
                    ],
                ).rowcount
                if moved != len(part):
                    self._complain(tx, to, [m.entry_id for m in part], moved)
                count += moved
        return count

    def turn_into_updates(self, tx: Connection, moves: Iterable[Move]) -> None:
        """Pending creates whose record turned out to be there: they stay pending, as updates of that record."""
        e = schema.entries
        rows = [{"b_entry": m.entry_id, "b_target": m.target_id, "b_version": m.target_version} for m in moves]
        if rows:
            tx.execute(
                update(e)
                .where(e.c.entry_id == bindparam("b_entry"), e.c.state == State.pending.value)
                .values(
                    verb="update",
                    target_id=bindparam("b_target"),
                    target_version=bindparam("b_version"),
                    reason="it is there already: updated instead",
                    updated_at=self.clock(),
                ),
                rows,
            )

    def _complain(self, tx: Connection, to: State, entry_ids: Sequence[str], moved: int) -> None:
        e = schema.entries
        found: Iterable[Any] = tx.execute(select(e.c.entry_id, e.c.state).where(e.c.entry_id.in_(entry_ids[:_KEYS])))
        states: dict[str, str] = {entry_id: state for entry_id, state in found}
        # Those that moved are in `to` by now; an entry already there beforehand cannot be told apart and is not named.
        wrong = [i for i in entry_ids if states.get(i) != to.value] or list(entry_ids)
        raise IllegalMove(to, len(entry_ids), moved, wrong[0], states.get(wrong[0], "not in the journal"))

    def page(
        self,
        sync: str,
        states: Iterable[State],
        *,
        connection: str | None = None,
        verb: str | None = None,
        after: int = -1,
        limit: int = CHUNK,
    ) -> list[Entry]:
        """Entries of a sync in these states, in sending order, after ordinal `after`."""
        e = schema.entries
        query = select(*_ENTRY_COLUMNS).where(
            e.c.sync == sync, e.c.state.in_([s.value for s in states]), e.c.ordinal > after
        )
        if connection is not None:
            query = query.where(e.c.connection == connection)
        if verb is not None:
            query = query.where(e.c.verb == verb)
        with self.read() as c:
            return [_entry(row) for row in c.execute(query.order_by(e.c.ordinal).limit(limit))]

    def pages(self, sync: str, states: Iterable[State], **kwargs: Any) -> Iterator[list[Entry]]:
        """All of `page`, one after the other; entries that move meanwhile are not met again."""
        after = -1
        states = list(states)
        while part := self.page(sync, states, after=after, **kwargs):
            after = part[-1].ordinal
            yield part

    def entries_by(self, **columns: Any) -> list[Entry]:
        """Entries whose columns equal these values, oldest first."""
        e = schema.entries
        query = select(*_ENTRY_COLUMNS).where(*[e.c[name] == value for name, value in columns.items()])
        with self.read() as c:
            return [_entry(row) for row in c.execute(query.order_by(e.c.ordinal))]

    def counts(self, sync: str | None = None) -> dict[tuple[str, str, str], int]:
        """(sync, connection, state) -> entries."""
        e = schema.entries
        query = select(e.c.sync, e.c.connection, e.c.state, func.count()).group_by(e.c.sync, e.c.connection, e.c.state)
        if sync is not None:
            query = query.where(e.c.sync == sync)
        with self.read() as c:
            rows: Iterable[Any] = c.execute(query)
            return {(s, con, state): n for s, con, state, n in rows}

    def next_ordinal(self, tx: Connection) -> int:
        """One more than the largest ordinal ever given."""
        return int(tx.execute(select(func.coalesce(func.max(schema.entries.c.ordinal), 0))).scalar() or 0) + 1

    def connections(self, sync: str, states: Iterable[State]) -> list[str]:
        """Connections with entries of a sync in these states."""
        e = schema.entries
        query = select(e.c.connection).distinct().where(e.c.sync == sync, e.c.state.in_([s.value for s in states]))
        with self.read() as c:
            return sorted(c.execute(query).scalars())

    # -- sending ----------------------------------------------------------------------------------------------------

    def mark_sent(
        self,
        tx: Connection,
        *,
        batch_id: str,
        run_id: str,
        entries: Sequence[Entry],
        moves: Sequence[Move],
        remote: str | None,
    ) -> None:
        """Write down that this batch is about to leave: its entries become `sent`, each gets an attempt row."""
        now = self.clock()
        first = entries[0]
        tx.execute(
            insert(schema.batches),
            [
                {
                    "batch_id": batch_id,
                    "run_id": run_id,
                    "sync": first.sync,
                    "connection": first.connection,
                    "object": first.object,
                    "verb": first.verb,
                    "row_count": len(entries),
                    "remote": remote,
                    "opened_at": now,
                    "closed_at": None,
                    "outcome": None,
                }
            ],
        )
        self.move(tx, moves)
        e = schema.entries
        for some in chunked([entry.entry_id for entry in entries]):
            tx.execute(update(e).where(e.c.entry_id.in_(some)).values(batch_id=batch_id, attempts=e.c.attempts + 1))
        tx.execute(
            insert(schema.attempts),
            [
                {"entry_id": entry.entry_id, "attempt": entry.attempts + 1, "batch_id": batch_id, "sent_at": now}
                for entry in entries
            ],
        )

    def close_batch(self, tx: Connection, batch_id: str, outcome: str, answers: Sequence[Answer]) -> None:
        """Write down what came back for a batch."""
        now = self.clock()
        b, a = schema.batches, schema.attempts
        tx.execute(update(b).where(b.c.batch_id == batch_id).values(closed_at=now, outcome=outcome))
        if answers:
            tx.execute(
                update(a)
                .where(a.c.entry_id == bindparam("b_entry"), a.c.attempt == bindparam("b_attempt"))
                .values(
                    answered_at=now,
                    outcome=bindparam("b_outcome"),
                    code=bindparam("b_code"),
                    message=bindparam("b_message"),
                    request_id=bindparam("b_request"),
                ),
                [
                    {
                        "b_entry": one.entry_id,
                        "b_attempt": one.attempt,
                        "b_outcome": one.outcome,
                        "b_code": one.code,
                        "b_message": one.message,
                        "b_request": one.request_id,
                    }
                    for one in answers
                ],
            )

    def open_batches(self, sync: str) -> list[Mapping[str, Any]]:
        """Batches without an answer, oldest first; after a crash these are what was under way."""
        b = schema.batches
        query = select(b).where(b.c.sync == sync, b.c.closed_at.is_(None)).order_by(b.c.opened_at, b.c.batch_id)
        with self.read() as c:
            return [dict(row) for row in c.execute(query).mappings()]

    # -- known records ----------------------------------------------------------------------------------------------

    def remember(self, tx: Connection, records: Sequence[Known]) -> None:
        """Set what we know of these records."""
        now = self.clock()
        revisions: dict[str, int] = {}
        for sync in {r.sync for r in records}:
            query = select(schema.revisions.c.revision).where(schema.revisions.c.sync == sync)
            revisions[sync] = int(tx.execute(query).scalar() or 0)
        statement = self.inserting(schema.known_records)
        statement = statement.on_conflict_do_update(
            index_elements=["sync", "connection", "key"],
            set_={
                name: statement.excluded[name]
                for name in ("target_id", "fields_json", "target_version", "written_at", "entry_id", "revision")
            },
        )
        for part in chunked(records):
            tx.execute(
                statement,
                [
                    {
                        "sync": r.sync,
                        "connection": r.connection,
                        "key": r.key,
                        "target_id": r.target_id,
                        "fields_json": r.fields_json,
                        "target_version": r.target_version,
                        "written_at": now,
                        "entry_id": r.entry_id,
                        "revision": revisions[r.sync],
                    }
                    for r in part
                ],
            )

    def targets_of(self, sync: str, keys: Iterable[str]) -> dict[str, dict[str, str]]:
        """Key -> connection -> target id, of the known ones among `keys`."""
        k = schema.known_records
        found: dict[str, dict[str, str]] = {}
        with self.read() as c:
            for part in chunked(sorted(set(keys)), _KEYS):
                query = select(k.c.key, k.c.connection, k.c.target_id).where(k.c.sync == sync, k.c.key.in_(part))
                rows: Iterable[Any] = c.execute(query)
                for key, connection, target_id in rows:
                    found.setdefault(key, {})[connection] = target_id
        return found

    def writers(self, sync: str, connection: str, keys: Iterable[str]) -> dict[str, str]:
        """Key -> the entry that wrote it last, of the known ones among `keys`."""
        k = schema.known_records
        found: dict[str, str] = {}
        with self.read() as c:
            for part in chunked(sorted(set(keys)), _KEYS):
                query = select(k.c.key, k.c.entry_id).where(
                    k.c.sync == sync, k.c.connection == connection, k.c.key.in_(part)
                )
                found.update(dict(c.execute(query).tuples().all()))
        return found

    def known(self, sync: str) -> dict[tuple[str, str], Known]:
        """All known records of a sync (for looking and for tests; the planner uses `known_stream`)."""
        k = schema.known_records
        columns = [k.c[f.name] for f in fields(Known)]
        with self.read() as c:
            rows = c.execute(select(*columns).where(k.c.sync == sync)).mappings()
            return {(r["connection"], r["key"]): Known(**r) for r in rows}

    # -- plans, runs, events ----------------------------------------------------------------------------------------

    def kinds(self, plan_id: str) -> dict[str, str]:
        """Kinds of the fields of a plan's entries."""
        from reverse_etl.values import load

        with self.read() as c:
            found = c.execute(select(schema.plans.c.types_json).where(schema.plans.c.plan_id == plan_id)).scalar()
        return dict(load(found)) if found else {}

    def start_run(self, run_id: str) -> None:
        with self._translated("written"), self._turn, self.engine.begin() as tx:
            tx.execute(insert(schema.runs).values(run_id=run_id, started_at=self.clock()))

    def finish_run(self, run_id: str, outcome: str, report_json: str) -> None:
        r = schema.runs
        with self._translated("written"), self._turn, self.engine.begin() as tx:
            tx.execute(
                update(r)
                .where(r.c.run_id == run_id)
                .values(finished_at=self.clock(), outcome=outcome, report_json=report_json)
            )

    def note(
        self, tx: Connection, kind: str, *, actor: str = "tieout", detail: str | None = None, **where: Any
    ) -> None:
        """Append an event."""
        tx.execute(
            insert(schema.events).values(
                event_id=self.ids(), at=self.clock(), kind=kind, actor=actor, detail_json=detail, **where
            )
        )

    def trail(self, ref: str) -> dict[str, list[dict[str, Any]]]:
        """Everything about one record, by entry id, business key, target id or source reference."""
        e, k, a, x, v = schema.entries, schema.known_records, schema.attempts, schema.exceptions, schema.events
        part = f'%"{ref}%'
        with self.read() as c:
            rows = [
                dict(r)
                for r in c.execute(
                    select(e)
                    .where(or_(e.c.entry_id == ref, e.c.key == ref, e.c.target_id == ref, e.c.source_refs.like(part)))
                    .order_by(e.c.ordinal)
                ).mappings()
            ]
            places = {(r["sync"], r["connection"], r["key"]) for r in rows}
            known = [
                dict(r)
                for r in c.execute(
                    select(k).where(
                        or_(
                            k.c.key == ref,
                            k.c.target_id == ref,
                            *[
                                and_(k.c.sync == s, k.c.connection == con, k.c.key == key)
                                for s, con, key in list(places)[:50]
                            ],
                        )
                    )
                ).mappings()
            ]
            ids = [r["entry_id"] for r in rows]
            tried: list[dict[str, Any]] = []
            happened: list[dict[str, Any]] = []
            for some in chunked(ids, _KEYS):
                tried += [dict(r) for r in c.execute(select(a).where(a.c.entry_id.in_(some))).mappings()]
                happened += [dict(r) for r in c.execute(select(v).where(v.c.entry_id.in_(some))).mappings()]
            told = [
                dict(r)
                for r in c.execute(
                    select(x).where(or_(x.c.key == ref, x.c.target_id == ref, x.c.entry_id.in_(ids[:_KEYS] or [""])))
                ).mappings()
            ]
        tried.sort(key=lambda r: (r["sent_at"], r["entry_id"]))
        happened.sort(key=lambda r: r["at"])
        return {"entries": rows, "known_records": known, "attempts": tried, "exceptions": told, "events": happened}


_SAME_FOR_ALL = frozenset({"state", "updated_at", "hold_kind", "sent_at", "confirmed_at", "settled_at"})


def _by_reason(moves: Iterable[Move]) -> tuple[dict[str | None, list[str]], list[Move]]:
    """Moves that say nothing but their reason, by reason (one statement for thousands), and the others."""
    plain: dict[str | None, list[str]] = {}
    particular: list[Move] = []
    for one in moves:
        if one.target_id is None and one.target_version is None and one.verb is None and one.desired_json is None:
            plain.setdefault(one.reason, []).append(one.entry_id)
        else:
            particular.append(one)
    return plain, particular


def sources_to_targets(state: State) -> frozenset[str]:
    """States that may follow `state`, as stored."""
    from reverse_etl.journal.states import MOVES

    return frozenset(s.value for s in MOVES[state])


def in_doubt_states() -> list[str]:
    return sorted(s.value for s in IN_DOUBT)


def _begin_immediate(engine: Engine) -> None:
    """Take SQLite's write turn at BEGIN, so that waiting for it happens there and never in the middle."""

    @event.listens_for(engine, "connect")
    def _no_implicit_begin(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _batches(cursor: Any, arrow: pa.Schema, faults: list[Exception]) -> Iterator[pa.RecordBatch]:
    """What is left in a cursor; a fault is kept as well as raised, since it has to pass through foreign code."""
    try:
        while rows := cursor.fetchmany(BATCH):
            columns = list(zip(*rows, strict=True))
            arrays = [
                pa.array([bool(v) for v in values], pa.bool_()) if pa.types.is_boolean(kind) else pa.array(values, kind)
                for values, kind in zip(columns, arrow.types, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=arrow)
    except Exception as fault:
        faults.append(fault)
        raise


def _wait_for_the_disk(engine: Engine) -> None:
    """A commit says that the intent is on the disk, whatever the server or the role says by default."""

    @event.listens_for(engine, "connect")
    def _careful(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "select set_config('synchronous_commit', 'on', false)"
                " where current_setting('synchronous_commit') = 'off'"
            )
        connection.commit()


def _entry(row: Any) -> Entry:
    values = dict(row._mapping)
    values["state"] = State(values["state"])
    return Entry(**values)
