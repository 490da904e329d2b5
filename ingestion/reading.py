"""One run of one connection: which window of each table is read, what is new in it, what is set aside.

    vendor pages -> columns.to_arrow -> drop what is already loaded as it is -> Arrow tables for dlt

Nothing here knows dlt, a vendor or the warehouse: `read_table` takes a `Reader` (the vendor's room in
`ingestion/sources/`), a dict of state that survives between runs, and yields Arrow tables. State moves only when the
caller stores it, which dlt does together with the rows.

The window: from the newest change seen so far minus an overlap (rows committed late carry earlier stamps), ties kept,
up to the platform's own clock at the start of the run where the platform can be asked so without losing rows.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion import columns
from ingestion.columns import BadRow, Row
from ingestion.errors import ColumnRemoved, TypeChanged
from ingestion.tables import DELETED_AT, LOADED_AT, TIME, Deletes, Table, column_name
from platforms.kit.errors import Refused

# Rows converted at once, and rows handed to dlt at once: bigger hardly helps, smaller costs (one page of 200 rows at a
# time took 2.6 times as long).
CONVERT_ROWS = 2_000
YIELD_ROWS = 50_000
# Fingerprints remembered per table to recognise unchanged rows of the overlap: 8 bytes each.
REMEMBERED = 200_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a connection is read.

    `overlap` is subtracted from the cursor. Every `sweep_every`-th run reads all ids of the tables whose deletes show
    in no other way (0: never). `extra_columns` are patterns `table.Field` of fields to take although no table declares
    them, `accept_removed` fields `table.Field` that a person has agreed to lose, `largest_loss` is the share of a
    table's rows that may be marked as deleted at once.
    """

    overlap: timedelta = timedelta(minutes=10)
    sweep_every: int = 10
    extra_columns: tuple[str, ...] = ()
    accept_removed: tuple[str, ...] = ()
    largest_loss: float = 0.3


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which changes to read: from `since` on (None: everything), up to `until` where the platform can do so safely.
    `previous` is when the last run read this table, by the platform's clock, less the overlap."""

    since: datetime | None
    until: datetime
    previous: datetime | None = None


class Reader(Protocol):
    """What a vendor's room does for ingestion. Every read checks its row count against the vendor's and raises
    TruncatedRead when rows are missing."""

    omits_nulls: bool
    """True when the vendor leaves null fields out, so that an absent field says nothing."""

    def now(self) -> datetime:
        """The platform's own clock, asked for with one cheap call."""

    def describe(self, table: Table) -> Mapping[str, str] | None:
        """{field: vendor type} as the platform describes the object now; None when it does not describe itself."""

    def expected(self, kind: pa.DataType) -> frozenset[str]:
        """The vendor's type names that may fill a column of this kind."""

    def read(self, table: Table, window: Window, fields: Sequence[str]) -> Iterator[Sequence[Row] | bytes]:
        """Pages of rows, or of CSV, changed within the window."""

    def ids(self, table: Table) -> Iterator[Sequence[str]]:
        """All ids there are, for a sweep."""

    def count(self, table: Table) -> int | None:
        """How many rows there are, by one call; None when that cannot be asked."""

    def gone(self, table: Table, window: Window) -> Iterable[str]:
        """Ids of records deleted since `window.previous`, where the platform tells; else nothing."""

    def deletion(self, table: Table) -> tuple[str | None, str] | None:
        """The field that marks a row as deleted (None: the time alone tells) and the field with the time of it."""


@dataclass(kw_only=True)
class Run:
    """One run over one connection, shared by its tables. `folder` receives what is applied after the load."""

    connection: str
    platform: str
    run_id: str
    loaded_at: datetime
    folder: Path
    memory: Path
    open_reader: Callable[[], Reader]
    options: Options = field(default_factory=Options)
    full: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    quarantine: list[pa.Table] = field(default_factory=list)
    quarantined: list[BadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    parents: dict[str, list[str]] = field(default_factory=dict)
    """By table whose rows are replaced together: the parents this run read, also those that have no rows (any more)."""
    live: dict[str, int] = field(default_factory=dict)
    """Rows by table that the warehouse holds and that are not deleted, as of the start of this run, where known."""
    tables: tuple[Table, ...] = ()
    after_load: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    observed_at: datetime | None = None
    client: Any = None
    _reader: Reader | None = None

    @property
    def reader(self) -> Reader:
        """The vendor's reader, made at first use; the platform's clock is read then."""
        if self._reader is None:
            self._reader = self.open_reader()
            self.observed_at = self._reader.now()
        return self._reader

    def call_counts(self) -> dict[str, Any]:
        """Requests sent so far, as the client counts them; empty before the first."""
        calls = getattr(getattr(self.client, "api", self.client), "calls", None)
        return dict(calls.snapshot()) if calls is not None else {}

    @property
    def until(self) -> datetime:
        """The end of this run's windows: a second past the platform's clock, which it tells in whole seconds."""
        assert self.reader is not None
        assert self.observed_at is not None
        return self.observed_at + timedelta(seconds=1)


def read_table(
    table: Table, run: Run, state: dict[str, Any], *, parent: Mapping[str, Any] | None = None
) -> Iterator[pa.Table]:
    """Everything new in `table`, as Arrow tables; `state` is moved on.

    `state` is this table's own dict from the last successful load ({} at first). `parent` is the state, as it was
    before this run, of the table it rides with, whose cursor holds for it too. The first run yields at least one,
    possibly empty, table. Raises TypeChanged, ColumnRemoved, TruncatedRead, and the platform's own errors.
    """
    reader = run.reader
    cursor_state = (parent or {}) if table.rides_with else state
    cursor = datetime.fromisoformat(cursor_state["cursor"]) if cursor_state.get("cursor") else None
    since = cursor - run.options.overlap if cursor and not run.full else None
    previous = datetime.fromisoformat(state["observed"]) - run.options.overlap if state.get("observed") else None
    window = Window(since=since, until=run.until, previous=previous)

    extra = {f: (column_name(f), _KINDS[kind]) for f, kind in state.get("extra", {}).items()}
    try:
        absent = _check_description(table, run, state, extra)
    except Refused as error:
        if not table.optional:
            raise
        run.notes.append(f"{table.name}: the platform has no {table.vendor_object} ({error.code or error.message})")
        run.rows[table.name] = run.read[table.name] = 0
        if not state.get("made"):
            state["made"] = True
            yield table.schema.empty_table()
        return
    wanted = [name for name in (*table.columns, *extra) if name not in absent]
    incremental = since is not None or (table.cursor is None and not table.rides_with and not run.full)
    sieve = _Sieve(table, run, incremental=incremental, complete=since is None)
    out = _Buffer()
    newest = cursor
    present: set[str] = set()
    for chunk in _chunks(reader.read(table, window, wanted)):
        if not isinstance(chunk, bytes):
            present |= _take_unknown(table, run, state, chunk, extra)
        arrow, bad = _convert(table, run, chunk, extra)
        run.read[table.name] = run.read.get(table.name, 0) + arrow.num_rows + len(bad)
        _set_aside(table, run, state, bad, arrow)
        if table.cursor_column and arrow.num_rows:
            latest = pc.max(arrow[table.cursor_column]).as_py()
            newest = max(filter(None, (newest, latest)), default=None)
        yield from out.add(sieve.new(arrow, newest))
    for rest in sieve.rest():
        yield from out.add(rest)
    _check_presence(table, run, state, present)
    if table.cursor_column:
        state["cursor"] = newest.isoformat() if newest else None
    sieve.remember(newest)
    if sieve.keeps_ids:
        _store_ids(run, f"{table.name}.all", sieve.all_ids())
    elif table.deletes is Deletes.SWEPT:
        gone = sorted(set(reader.gone(table, window)))
        if gone:
            _store_ids(run, f"{table.name}.gone", gone)
        _sweep(table, run, state, quiet=not out.rows)
    assert run.observed_at is not None
    state["observed"] = run.observed_at.isoformat()
    if not state.get("made") and not out.yielded and not out.held:
        yield table.schema.empty_table()
    state["made"] = True
    yield from out.flush()
    run.rows[table.name] = out.rows


def _sweep(table: Table, run: Run, state: dict[str, Any], *, quiet: bool) -> None:
    """Every so many runs, read all ids. When nothing is new and the numbers agree, the ids will too."""
    state["runs"] = state.get("runs", 0) + 1
    if not run.options.sweep_every or state["runs"] < run.options.sweep_every:
        return
    state["runs"] = 0
    if quiet and run.live.get(table.name) is not None and run.live[table.name] == run.reader.count(table):
        return
    _store_ids(run, f"{table.name}.all", [identifier for page in run.reader.ids(table) for identifier in page])


class _Buffer:
    """Gathers small Arrow tables into big ones of one schema."""

    def __init__(self) -> None:
        self.held: list[pa.Table] = []
        self.yielded = 0
        self.rows = 0

    def add(self, arrow: pa.Table) -> Iterator[pa.Table]:
        if not arrow.num_rows:
            return
        if self.held and self.held[0].schema != arrow.schema:
            yield from self.flush()
        self.held.append(arrow)
        self.rows += arrow.num_rows
        if sum(table.num_rows for table in self.held) >= YIELD_ROWS:
            yield from self.flush()

    def flush(self) -> Iterator[pa.Table]:
        if self.held:
            joined = pa.concat_tables(self.held)
            self.held = []
            self.yielded += 1
            yield joined


def _chunks(pages: Iterable[Sequence[Row] | bytes]) -> Iterator[list[Row] | bytes]:
    """Pages of rows joined to chunks of a size worth converting; pages of CSV as they are."""
    held: list[Row] = []
    for page in pages:
        if isinstance(page, bytes):
            yield page
            continue
        held.extend(page)
        if len(held) >= CONVERT_ROWS:
            yield held
            held = []
    if held:
        yield held


def _convert(
    table: Table, run: Run, chunk: list[Row] | bytes, extra: Mapping[str, tuple[str, pa.DataType]]
) -> tuple[pa.Table, list[BadRow]]:
    mark = run.reader.deletion(table)
    how: dict[str, Any] = {"connection": run.connection, "loaded_at": run.loaded_at, "extra": extra, "deletion": mark}
    if isinstance(chunk, bytes):
        return columns.from_csv(table, chunk, **how)
    return columns.to_arrow(table, chunk, **how)


class _Sieve:
    """Lets through what is not already loaded as it is.

    A row is recognised by a fingerprint of all its values, not by its version: a ledger's invoice that was paid keeps
    its modification date. Rows that are replaced together (lines of one invoice) pass together, when any of them
    changed. A full read lets everything through and remembers only rows of the coming overlap.
    """

    def __init__(self, table: Table, run: Run, *, incremental: bool, complete: bool) -> None:
        self.table = table
        self.run = run
        self.incremental = incremental
        self.keeps_ids = complete and table.deletes in (Deletes.UNLISTED, Deletes.SWEPT)
        file = run.memory / f"{table.name}.npy"
        self.known = np.load(file) if incremental and file.is_file() else np.empty(0, np.uint64)
        self.fresh: list[np.ndarray[Any, Any]] = []
        self.recent: list[pa.Table] = []
        self.held: list[pa.Table] = []
        self.ids: list[pa.ChunkedArray] = []

    def new(self, arrow: pa.Table, newest: datetime | None) -> pa.Table:
        """The rows of `arrow` that are not loaded yet; none for now where rows pass in groups."""
        if not arrow.num_rows:
            return arrow
        if self.keeps_ids:
            self.ids.append(arrow["id"])
        if not self.incremental:
            if not self.table.replaces:
                self.recent.append(arrow)
                if sum(held.num_rows for held in self.recent) > YIELD_ROWS:
                    self._prune(newest)
            return arrow
        if self.table.replaces:
            self.held.append(arrow)
            return arrow.slice(0, 0)
        prints = fingerprints(arrow)
        self.fresh.append(prints)
        return arrow.filter(pa.array(~np.isin(prints, self.known)))

    def _prune(self, newest: datetime | None) -> None:
        column = self.table.cursor_column
        if column is not None and newest is not None:
            edge = pa.scalar(newest - self.run.options.overlap, TIME)
            self.recent = [held.filter(pc.greater_equal(held[column], edge)) for held in self.recent]
        joined = pa.concat_tables(self.recent, promote_options="default")
        self.recent = [joined.slice(max(0, joined.num_rows - REMEMBERED))]

    def rest(self) -> Iterator[pa.Table]:
        """The groups that changed, once all rows are in. Notes which parents' older rows are to go after the load."""
        column = self.table.replaces
        if column is None:
            return
        self.run.folder.mkdir(parents=True, exist_ok=True)
        if not self.incremental:
            (self.run.folder / f"{self.table.name}.replaced.all").touch()
            return
        gone = set(self.run.parents.get(self.table.name, ()))
        if self.held:
            arrow = pa.concat_tables(self.held, promote_options="default")
            parents = arrow[column].to_pylist()
            sums: dict[str, int] = {}
            for parent, value in zip(parents, fingerprints(arrow).tolist(), strict=True):
                # A sum that does not depend on the order in which a group's rows came.
                sums[parent] = (sums.get(parent, 0) + value) % 2**64
            values = np.array(list(sums.values()), np.uint64)
            self.fresh.append(values)
            changed = {parent for parent, old in zip(sums, np.isin(values, self.known), strict=True) if not old}
            gone = (gone - sums.keys()) | changed
            yield arrow.filter(pa.array([parent in changed for parent in parents]))
        if gone:
            _store_ids(self.run, f"{self.table.name}.replaced", sorted(gone))

    def all_ids(self) -> list[str]:
        """All ids that a full read saw."""
        return [identifier for chunk in self.ids for identifier in chunk.to_pylist()]

    def remember(self, newest: datetime | None) -> None:
        """Write the fingerprints for the next run beside what is applied after the load."""
        if self.recent:
            self._prune(newest)
            self.fresh = [fingerprints(held) for held in self.recent]
        prints = np.concatenate(self.fresh) if self.fresh else np.empty(0, np.uint64)
        self.run.folder.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.save(content, np.unique(prints)[-REMEMBERED:])
        # Not np.save to the file: on a full disk it says how many items it wrote, and not why it stopped.
        (self.run.folder / f"{self.table.name}.npy").write_bytes(content.getvalue())


def fingerprints(arrow: pa.Table) -> np.ndarray[Any, Any]:
    """A 64-bit fingerprint of each row's values, the time of loading left out; the same in every process."""
    names = [name for name in arrow.column_names if name != LOADED_AT]
    plain = [arrow[name].to_pylist() for name in names]
    prints = np.empty(arrow.num_rows, np.uint64)
    for index, values in enumerate(zip(*plain, strict=True)):
        digest = hashlib.blake2b(repr(values).encode(), digest_size=8).digest()
        prints[index] = int.from_bytes(digest, "little")
    return prints


def _check_description(
    table: Table, run: Run, state: dict[str, Any], extra: dict[str, tuple[str, pa.DataType]]
) -> set[str]:
    """Compare the platform's own description with ours; returns declared fields the platform does not have.

    A changed type is refused. A field that was there and is gone is refused, unless a person accepted it; one that was
    never there is read as null and noted. A new field is noted, and taken when `extra_columns` names it.
    """
    described = run.reader.describe(table)
    if described is None:
        return set()
    seen = set(state.get("fields", ()))
    absent: set[str] = set()
    for name, (column, kind) in table.columns.items():
        if name not in described:
            absent.add(name)
            _missing(table, run, name, column, was_there=name in seen)
        elif described[name] and described[name] not in run.reader.expected(kind):
            raise TypeChanged(
                f"column {column} is declared {columns.duckdb_type(kind)}, but {table.vendor_object}.{name} is now "
                f"{described[name]}. Nothing of this run was loaded.",
                connection=run.connection,
                table=table.name,
                next_step="If the change was meant, change the type in the table's declaration; otherwise have it "
                "changed back on the platform.",
            )
    known = set(state.get("known", ()))
    for name in described.keys() - table.columns.keys() - extra.keys():
        if _is_wanted(table, run, name):
            kind = next((k for k in _KINDS.values() if described[name] in run.reader.expected(k)), pa.string())
            extra[name] = (column_name(name), kind)
            state.setdefault("extra", {})[name] = _kind_name(kind)
            run.notes.append(f"{table.name}: new column {column_name(name)} from {name}")
        elif state.get("known") is not None and name not in known:
            run.notes.append(f"{table.name}: the platform has a new field {name}; name it in extra_columns to take it")
    state["known"] = sorted(described.keys() - table.columns.keys())
    state["fields"] = sorted(described.keys() & table.columns.keys())
    return absent


def _take_unknown(
    table: Table, run: Run, state: dict[str, Any], rows: Sequence[Row], extra: dict[str, tuple[str, pa.DataType]]
) -> set[str]:
    """Note which declared fields these rows carry; take in fields that the platform did not have before.

    What the first rows of a table carry beside the declared fields is what we chose not to take. A field that shows up
    later is new: it becomes a column, is reported, and stays one.
    """
    present = {field for row in rows[:50] for field in row}
    if run.reader.omits_nulls:
        return present
    baseline = state.get("known")
    ignored = {name for name in baseline or () if not _is_wanted(table, run, name)}
    unknown = columns.unknown_fields(table, rows, {*extra, *ignored})
    if baseline is None:
        taken = {name for name in unknown if _is_wanted(table, run, name)}
        state["known"] = sorted(unknown.keys() - taken)
    else:
        taken = set(unknown)
    for name in sorted(taken):
        if unknown[name] is None:
            continue  # its type shows when it first has a value
        kind = columns.inferred(unknown[name])
        extra[name] = (column_name(name), kind)
        state.setdefault("extra", {})[name] = _kind_name(kind)
        run.notes.append(f"{table.name}: new column {column_name(name)} from {name}")
    return present


def _check_presence(table: Table, run: Run, state: dict[str, Any], present: set[str]) -> None:
    """Where the platform sends every field with every row, a declared field that all rows lack has been removed."""
    if not present or run.reader.omits_nulls:
        return
    seen = set(state.get("fields", ()))
    for name, (column, _) in table.columns.items():
        if name.partition(".")[0] not in present:
            _missing(table, run, name, column, was_there=name in seen, first="fields" not in state)
    state["fields"] = sorted(seen | {name for name in table.columns if name.partition(".")[0] in present})


def _missing(table: Table, run: Run, name: str, column: str, *, was_there: bool, first: bool = True) -> None:
    accepted = f"{table.name}.{name}" in run.options.accept_removed
    needed = column in table.key or name == table.cursor
    if needed or (was_there and not accepted):
        raise ColumnRemoved(
            f"{table.vendor_object}.{name} is {'no longer' if was_there else 'not'} delivered by the platform"
            f"{', and the table cannot be read without it' if needed else ''}. Nothing of this run was loaded.",
            connection=run.connection,
            table=table.name,
            next_step="Restore the field or the permission to read it"
            + ("." if needed else f", or accept its loss by adding {table.name}.{name} to accept_removed."),
        )
    if first:
        run.notes.append(f"{table.name}: the platform has no {name}; column {column} stays null")


def _is_wanted(table: Table, run: Run, name: str) -> bool:
    return any(fnmatch.fnmatchcase(f"{table.name}.{name}", pattern) for pattern in run.options.extra_columns)


_KINDS: dict[str, pa.DataType] = {
    "text": pa.string(),
    "flag": pa.bool_(),
    "count": pa.int64(),
    "number": pa.decimal128(38, 9),
    "date": pa.date32(),
    "time": TIME,
    "json": pa.large_string(),
}


def _kind_name(kind: pa.DataType) -> str:
    return next((name for name, known in _KINDS.items() if known == kind), "text")


def _set_aside(table: Table, run: Run, state: dict[str, Any], bad: list[BadRow], good: pa.Table) -> None:
    """Move bad rows to the quarantine; mark what is now good, and was there, as released."""
    held: dict[str, str] = state.setdefault("quarantined", {})
    rows: list[dict[str, Any]] = []
    if held and good.num_rows and table.key:
        ids = good[table.key[0]] if len(table.key) == 1 else None
        back = set(held) & set(ids.to_pylist()) if ids is not None else set()
        for record in sorted(back):
            rows.append(_quarantine_row(run, table.name, record, held.pop(record), "", "", released=True))
    for row in bad:
        held[row.record_id] = row.rule
        rows.append(_quarantine_row(run, row.table, row.record_id, row.rule, row.reason, row.payload))
    run.quarantined.extend(bad)
    if rows:
        from ingestion.tables import QUARANTINE

        run.quarantine.append(pa.Table.from_pylist(rows, schema=QUARANTINE.schema))


def _quarantine_row(
    run: Run, table: str, record: str, rule: str, reason: str, payload: str, *, released: bool = False
) -> dict[str, Any]:
    return {
        "table_name": table,
        "record_id": record,
        "rule": rule,
        "reason": reason,
        "payload": payload,
        "_connection": run.connection,
        LOADED_AT: run.loaded_at,
        DELETED_AT: run.loaded_at if released else None,
    }


def _store_ids(run: Run, name: str, ids: Sequence[str]) -> None:
    """Write ids down for what is done once the load is done (`ingestion.pipelines.settle`)."""
    run.folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": pa.array(ids, pa.string())}), run.folder / f"{name}.parquet")
