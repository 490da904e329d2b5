"""Where the warehouse is and how a load gets into it: the only module that knows paths, datasets and dlt's state.

    <home>/warehouse.duckdb    written by one process at a time, in turns (`warehouse_turn`)
    <home>/published.duckdb    the last good build, for readers; swapped in whole (`publish`)
    <home>/dlt/                dlt's working folders, one per connection, and what is applied after a load

Fetching needs no turn: extract and normalize run outside, only the load waits for it. A run may be killed at any
moment: its package is either finished by the next run or was never complete and leaves no trace; cursors are part of
the package.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from ingestion.errors import DiskFull, IngestionError, SuspiciousSweep, WarehouseLocked, WarehouseReplaced
from ingestion.tables import CONNECTION, DELETED_AT, LOADED_AT, Deletes, Table
from platforms.kit.secrets import mask

if TYPE_CHECKING:
    import dlt
    import duckdb

    from ingestion.changes import Changes
    from ingestion.reading import Run

# A dbt build of the medium firm takes under a minute; ten minutes of waiting means that something hangs.
TURN_TIMEOUT = 600.0
KEPT_PACKAGES = 5
# Marking fewer rows than this as deleted is never suspicious.
SMALL_LOSS = 50

# By process too: a forked child must not hold its parent's lock.
_locks: dict[tuple[int, Path], filelock.FileLock] = {}


@dataclass(frozen=True, kw_only=True)
class Home:
    """The files of one installation that belong to the warehouse."""

    root: Path

    @property
    def warehouse(self) -> Path:
        """The database that loads and builds write."""
        return self.root / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        """The snapshot that people, BI tools and plans read."""
        return self.root / "published.duckdb"

    @property
    def state(self) -> Path:
        """dlt's working folders."""
        return self.root / "dlt"


def home_of(home: Path | str | None = None) -> Home:
    """The home given, or the one named by TIEOUT_HOME, or `.tieout` beside pyproject.toml."""
    chosen = home or os.environ.get("TIEOUT_HOME") or Path(__file__).resolve().parent.parent / ".tieout"
    return Home(root=Path(chosen).expanduser().resolve())


def dataset_name(platform: str) -> str:
    """dlt dataset = DuckDB schema = dbt source of one platform."""
    return f"raw_{platform}"


@dataclass(kw_only=True)
class LoadReport:
    """What one run of one connection brought in.

    `rows` are those loaded by table, `read` those fetched (the difference was loaded already, as it is), `deleted`
    those marked as deleted. `size` is bytes of Parquet, `seconds` by step (extract, normalize, wait, load). `calls` are
    requests by kind, `server_time` is the platform's clock when the read began.
    """

    connection: str
    platform: str
    run_id: str
    rows: dict[str, int] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    size: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    schema_changes: list[str] = field(default_factory=list)
    quarantined: list[dict[str, str]] = field(default_factory=list)
    calls: dict[str, Any] = field(default_factory=dict)
    server_time: datetime | None = None
    load_ids: list[str] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True when the warehouse holds anything that it did not hold before."""
        return any(self.rows.values()) or any(self.deleted.values()) or bool(self.recovered)

    @property
    def total_rows(self) -> int:
        """Rows loaded over all tables."""
        return sum(self.rows.values())

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        plain = asdict(self) | {"changed": self.changed, "total_rows": self.total_rows}
        plain["server_time"] = self.server_time.isoformat() if self.server_time else None
        return plain


def dataset_of(connection: str) -> str:
    """The dataset that a connection fills."""
    from ingestion import connections

    return dataset_name("tieout" if connection == "tieout" else connections.platform_of(connection))


def changes(connection: str, home: Path | str | None = None) -> Changes:
    """What changed on a platform since it was last read: see `ingestion.changes`."""
    from ingestion import changes as probe

    return probe.changes(connection, home)


# --- turns ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def warehouse_turn(home: Path | str | None = None, *, what: str = "", timeout: float = TURN_TIMEOUT) -> Iterator[Home]:
    """Hold the warehouse for writing while the block runs; one thread of one process at a time, re-entrant.

    `what` tells others who holds it. Raises WarehouseLocked naming the holder when the turn does not come within
    `timeout` seconds. A holder that was killed does not block: the kernel releases its lock.
    """
    place = home_of(home)
    place.root.mkdir(parents=True, exist_ok=True)
    holder = place.root / "warehouse.lock.holder"
    with _locked(place.root / "warehouse.lock", holder, "the warehouse", what, timeout):
        yield place


@contextlib.contextmanager
def _locked(path: Path, holder: Path, name: str, what: str, timeout: float) -> Iterator[None]:
    lock = _locks.setdefault((os.getpid(), path), filelock.FileLock(path, thread_local=True))
    outermost = not lock.is_locked
    try:
        lock.acquire(timeout=timeout)
    except filelock.Timeout:
        raise WarehouseLocked(
            f"{name} ({path.with_suffix('')}) is held by {_holder(holder)}, for longer than {timeout:g} s.",
            next_step="Wait for it to finish, or end that process if it hangs; then run again.",
        ) from None
    try:
        if outermost:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            holder.write_text(json.dumps({"pid": os.getpid(), "what": what, "since": now}))
        yield
    finally:
        lock.release()


def _holder(file: Path) -> str:
    try:
        told = json.loads(file.read_text())
        return f"process {told['pid']} ({told['what'] or 'no purpose told'}, since {told['since']})"
    except (OSError, ValueError, KeyError):
        return "another process"


@contextlib.contextmanager
def connected(place: Home, *, timeout: float = 30.0) -> Iterator[duckdb.DuckDBPyConnection]:
    """A writing connection to the warehouse. Use it within `warehouse_turn`.

    A process that does not take turns (a person's DuckDB shell) may still have the file open: that is waited for up to
    `timeout` seconds, then WarehouseLocked names its process id.
    """
    import duckdb

    deadline = time.monotonic() + timeout
    while True:
        try:
            connection = duckdb.connect(str(place.warehouse))
            break
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise _explained(error) from error
            if time.monotonic() >= deadline:
                raise WarehouseLocked(
                    f"{place.warehouse} is open in another program: {str(error).splitlines()[0]}",
                    next_step="Close that program (readers use published.duckdb, which is never locked), run again.",
                ) from None
            time.sleep(0.1)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def publish(home: Path | str | None = None) -> Path:
    """Copy the warehouse to published.duckdb, swapped in whole; readers of the old one keep it. Returns its path.

    Takes the warehouse's turn. Raises DiskFull (the old snapshot stays) and WarehouseLocked.
    """
    with warehouse_turn(home, what="publish") as place:
        fresh = place.published.with_suffix(f".{os.getpid()}.new")
        try:
            with connected(place) as connection:
                connection.execute("CHECKPOINT")
                shutil.copyfile(place.warehouse, fresh)
            os.replace(fresh, place.published)
        except Exception as error:
            raise _explained(error) from error
        finally:
            fresh.unlink(missing_ok=True)
        return place.published


# --- pipelines --------------------------------------------------------------------------------------------------------


def pipeline(connection: str, platform: str | None = None, home: Path | str | None = None) -> dlt.Pipeline:
    """The dlt pipeline of one connection: its own state and staging tables, the dataset shared by its platform.

    Opens nothing. Packages that are loaded are not kept.
    """
    import dlt

    from ingestion import connections

    connections.check_files()
    place = home_of(home)
    # One table after the other, in the order declared: what rides with a table comes after it.
    dlt.config["extract.next_item_mode"] = "fifo"
    dlt.config["load.delete_completed_jobs"] = True
    name = platform or ("tieout" if connection == "tieout" else connections.platform_of(connection))
    return dlt.pipeline(
        pipeline_name=f"ingest_{connection}",
        pipelines_dir=str(place.state),
        destination=dlt.destinations.duckdb(
            str(place.warehouse), staging_dataset_name_layout=f"%s_loading_{connection}"
        ),
        dataset_name=dataset_name(name),
    )


def run(
    source: Any, home: Path | str | None = None, *, timeout: float = TURN_TIMEOUT, progress: Any = None
) -> LoadReport:
    """Read `source` (made by `ingestion.sources.source`) and load it. Returns what came in.

    First finishes what an earlier, killed run of the same connection left behind. Either everything read is loaded and
    the cursors move, or nothing is and they do not. Raises IngestionError and PlatformError, each with its next step;
    WarehouseLocked when another run of this connection or a build does not end within `timeout` seconds.
    """
    from ingestion import changes as changes_of

    this: Run = source.tieout_run
    place = home_of(home)
    place.state.mkdir(parents=True, exist_ok=True)
    report = LoadReport(connection=this.connection, platform=this.platform, run_id=this.run_id)
    lock = place.state / f"ingest_{this.connection}.lock"
    try:
        with _locked(lock, lock.with_suffix(".holder"), f"reading {this.connection}", "ingest", timeout):
            pipe = _ready(this, place, report, timeout)
            version = _local_version(pipe)
            with _timed(report, "extract"):
                pipe.extract(source, loader_file_format="parquet")
            with _timed(report, "normalize"):
                pipe.normalize()
            started = time.monotonic()
            with (
                warehouse_turn(place.root, what=f"load {this.connection}", timeout=timeout),
                connected(place) as warehouse,
            ):
                report.seconds["wait"] = round(time.monotonic() - started, 3)
                _same_warehouse(pipe, this, warehouse, version)
                with _timed(report, "load"):
                    _load(pipe, this, warehouse, report)
            changes_of.was_read(place.state, this.connection, this.rows, this.loaded_at)
    except IngestionError:
        raise
    except Exception as error:
        raise _explained(error) from error
    finally:
        _tell(this, report)
    return report


def _tell(this: Run, report: LoadReport) -> None:
    report.rows = dict(this.rows)
    report.read = dict(this.read)
    report.schema_changes = [*this.notes, *report.schema_changes]
    report.quarantined = [
        {"table": row.table, "record_id": row.record_id, "rule": row.rule, "reason": row.reason}
        for row in this.quarantined
    ]
    report.server_time = this.observed_at
    report.calls = this.call_counts()


def _ready(this: Run, place: Home, report: LoadReport, timeout: float) -> dlt.Pipeline:
    """The pipeline with nothing pending, and with the state that the warehouse has."""
    pipe = pipeline(this.connection, this.platform, place.root)
    pending = bool(pipe.list_extracted_load_packages() or pipe.list_normalized_load_packages())
    leftover = any(_after(place, this.connection).glob("*"))
    # Without anything pending a busy warehouse is not waited for: `_same_warehouse` looks again before the load.
    patience = timeout if pending or leftover or not place.warehouse.exists() else 0.05
    try:
        with warehouse_turn(place.root, what=f"recover {this.connection}", timeout=patience), connected(place) as db:
            if pending:
                _finish_pending(pipe, this, db, report)
            _settle_all(this, place, db, report)
            if _versions_differ(pipe, db):
                pipe.drop()
                shutil.rmtree(this.memory, ignore_errors=True)
                pipe = pipeline(this.connection, this.platform, place.root)
                if _remote_version(pipe, db) is not None:
                    pipe.sync_destination()
            this.live = _live(this, db)
    except WarehouseLocked:
        if patience >= 1:
            raise
    return pipe


def _finish_pending(pipe: dlt.Pipeline, this: Run, db: duckdb.DuckDBPyConnection, report: LoadReport) -> None:
    """Load what a killed run left. A package that cannot be loaded is dropped; dlt's state goes back to before it."""
    try:
        pipe.normalize()
        info = pipe.load()
        report.recovered.extend(info.loads_ids if info else [])
    except Exception as error:
        if _is_disk_full(error) or _is_locked(error):
            raise
        pipe.abort_packages()
        report.schema_changes.append(
            f"an unfinished package was dropped and is read again: {mask(str(_root(error)))[:300]}"
        )
    _drop_staging(pipe, db)


def _load(pipe: dlt.Pipeline, this: Run, db: duckdb.DuckDBPyConnection, report: LoadReport) -> None:
    info = pipe.load()
    for package in info.load_packages:
        report.load_ids.append(package.load_id)
        report.size += sum(
            job.file_size for job in package.jobs["completed_jobs"] if job.file_path.endswith(".parquet")
        )
    _drop_staging(pipe, db)
    _settle(this, this.folder, db, report)
    # dlt keeps a folder for each package it ever loaded; a few are enough to look at after trouble.
    loaded = Path(pipe.working_dir) / "load" / "loaded"
    for package_folder in sorted(loaded.glob("*"))[:-KEPT_PACKAGES]:
        shutil.rmtree(package_folder, ignore_errors=True)


def _drop_staging(pipe: dlt.Pipeline, db: duckdb.DuckDBPyConnection) -> None:
    """dlt leaves a second copy of each load in its staging tables; readers should not be handed it."""
    staging = f"{pipe.dataset_name}_loading_{pipe.pipeline_name.removeprefix('ingest_')}"
    db.execute(f'DROP SCHEMA IF EXISTS "{staging}" CASCADE')


# --- is it still the same warehouse? ----------------------------------------------------------------------------------


def _remote_version(pipe: dlt.Pipeline, db: duckdb.DuckDBPyConnection) -> int | None:
    """The version of this pipeline's state that the warehouse holds; None when it holds none."""
    import duckdb

    name = pipe.dataset_name
    try:
        # As dlt does it: a package that was dropped half-way may have left its state behind, but never its load.
        row = db.execute(
            f'SELECT s.version FROM "{name}"._dlt_pipeline_state AS s JOIN "{name}"._dlt_loads AS l'
            " ON l.load_id = s._dlt_load_id WHERE s.pipeline_name = ? AND l.status = 0 ORDER BY l.load_id DESC LIMIT 1",
            [pipe.pipeline_name],
        ).fetchone()
    except duckdb.CatalogException:
        return None
    return int(row[0]) if row and row[0] is not None else None


def _local_version(pipe: dlt.Pipeline) -> int | None:
    version = int(pipe.state["_state_version"])
    return version or None


def _versions_differ(pipe: dlt.Pipeline, db: duckdb.DuckDBPyConnection) -> bool:
    """True when cursors on disk and rows in the warehouse do not belong together: one of them was replaced."""
    return _local_version(pipe) != _remote_version(pipe, db)


def _same_warehouse(pipe: dlt.Pipeline, this: Run, db: duckdb.DuckDBPyConnection, version: int | None) -> None:
    """Raise WarehouseReplaced when the warehouse is not at the `version` that the cursors of this run began from."""
    remote = _remote_version(pipe, db)
    if remote == version:
        return
    pipe.abort_packages()
    raise WarehouseReplaced(
        f"the warehouse was replaced while {this.connection} was read (it stands at version {remote}, not {version}).",
        connection=this.connection,
        next_step="Run again: it reads from where this warehouse stands.",
    )


def _live(this: Run, db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows that stand, by table whose deletes are found by sweeps."""
    import duckdb

    counted: dict[str, int] = {}
    for table in this.tables:
        if table.deletes is Deletes.SWEPT:
            with contextlib.suppress(duckdb.CatalogException):
                row = db.execute(
                    f'SELECT count(*) FROM "{dataset_name(this.platform)}"."{table.name}" WHERE {CONNECTION} = ?'
                    f" AND {DELETED_AT} IS NULL",
                    [this.connection],
                ).fetchone()
                counted[table.name] = int(row[0]) if row else 0
    return counted


# --- after the load ---------------------------------------------------------------------------------------------------


def _after(place: Home, connection: str) -> Path:
    return place.state / "after" / connection


def folder_after(home: Path | str | None, connection: str, run_id: str) -> Path:
    """Where a run writes down what is to be done once its load is done."""
    return _after(home_of(home), connection) / run_id


def folder_memory(home: Path | str | None, connection: str) -> Path:
    """Fingerprints of the rows of the last overlap, by table."""
    return home_of(home).state / "memory" / connection


def _settle_all(this: Run, place: Home, db: duckdb.DuckDBPyConnection, report: LoadReport) -> None:
    """Do what killed runs left to do: for the run whose load arrived; what others wrote down is void."""
    loaded = _last_run(this, db)
    for folder in sorted(_after(place, this.connection).glob("*")):
        if folder.name == loaded:
            _settle(this, folder, db, report)
        else:
            shutil.rmtree(folder)


def _last_run(this: Run, db: duckdb.DuckDBPyConnection) -> str | None:
    """The run whose load is complete; a package dropped half-way may have left its row of `_observed` behind."""
    import duckdb

    dataset = dataset_name(this.platform)
    try:
        row = db.execute(
            f'SELECT o.run_id FROM "{dataset}"._observed AS o JOIN "{dataset}"._dlt_loads AS l ON l.load_id = o.load_id'
            f" WHERE o.{CONNECTION} = ? AND l.status = 0",
            [this.connection],
        ).fetchone()
    except duckdb.CatalogException:
        return None
    return str(row[0]) if row else None


def _settle(this: Run, folder: Path, db: duckdb.DuckDBPyConnection, report: LoadReport) -> None:
    """Mark as deleted what is gone, remove rows whose parent was reloaded without them, keep the new fingerprints.

    All in one transaction, and the same again if a kill comes between. Raises SuspiciousSweep, after everything else is
    done, when more of a table would be marked than `largest_loss` allows.
    """
    suspicious: list[SuspiciousSweep] = []
    db.execute("BEGIN")
    try:
        for table in this.tables:
            name = f'"{dataset_name(this.platform)}"."{table.name}"'
            if (folder / f"{table.name}.replaced.all").exists():
                db.execute(
                    f"DELETE FROM {name} WHERE {CONNECTION} = ? AND {LOADED_AT} < (SELECT max({LOADED_AT}) FROM {name}"
                    f" WHERE {CONNECTION} = ?)",
                    [this.connection, this.connection],
                )
            replaced = folder / f"{table.name}.replaced.parquet"
            if replaced.exists():
                _remove_replaced(db, name, str(table.replaces), replaced, this.connection, folder.name)
            gone = folder / f"{table.name}.gone.parquet"
            if gone.exists():
                _mark(this, db, name, gone, table, report)
            everything = folder / f"{table.name}.all.parquet"
            if everything.exists():
                _mark_gone(this, db, table, name, everything, folder.name, report, suspicious)
        there = _tables_of(db, dataset_name(this.platform))
        for name, needed, statement in this.after_load:
            if not there.issuperset((name, *needed)):
                continue
            for row in db.execute(statement, [this.connection]).fetchall():
                if row[0]:
                    report.deleted[name] = report.deleted.get(name, 0) + int(row[0])
        db.execute("COMMIT")
    except Exception:
        db.execute("ROLLBACK")
        raise
    if folder.exists():
        this.memory.mkdir(parents=True, exist_ok=True)
        for prints in folder.glob("*.npy"):
            os.replace(prints, this.memory / prints.name)
        shutil.rmtree(folder)
    if suspicious:
        raise suspicious[0]


def _tables_of(db: duckdb.DuckDBPyConnection, dataset: str) -> set[str]:
    rows = db.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = ?", [dataset]).fetchall()
    return {str(name) for (name,) in rows}


def _loaded_by(db: duckdb.DuckDBPyConnection, dataset: str, connection: str) -> Any:
    row = db.execute(f'SELECT {LOADED_AT} FROM "{dataset}"._observed WHERE {CONNECTION} = ?', [connection]).fetchone()
    assert row is not None
    return row[0]


def _remove_replaced(
    db: duckdb.DuckDBPyConnection, name: str, column: str, file: Path, connection: str, run_id: str
) -> None:
    dataset = name.split('"')[1]
    db.execute(
        f'DELETE FROM {name} WHERE {CONNECTION} = ? AND {LOADED_AT} < ? AND "{column}" IN'
        f" (SELECT id FROM read_parquet(?))",
        [connection, _loaded_by(db, dataset, connection), str(file)],
    )


def _mark(this: Run, db: duckdb.DuckDBPyConnection, name: str, file: Path, table: Table, report: LoadReport) -> None:
    """Mark rows whose ids the platform named as deleted."""
    loaded_at = _loaded_by(db, dataset_name(this.platform), this.connection)
    row = db.execute(
        f"UPDATE {name} SET {DELETED_AT} = ? WHERE {CONNECTION} = ? AND {DELETED_AT} IS NULL AND id IN"
        " (SELECT id FROM read_parquet(?))",
        [loaded_at, this.connection, str(file)],
    ).fetchone()
    if row and row[0]:
        report.deleted[table.name] = report.deleted.get(table.name, 0) + int(row[0])


def _mark_gone(
    this: Run,
    db: duckdb.DuckDBPyConnection,
    table: Table,
    name: str,
    file: Path,
    run_id: str,
    report: LoadReport,
    suspicious: list[SuspiciousSweep],
) -> None:
    dataset = dataset_name(this.platform)
    loaded_at = _loaded_by(db, dataset, this.connection)
    gone = (
        f"{CONNECTION} = ? AND {DELETED_AT} IS NULL AND id NOT IN (SELECT id FROM read_parquet(?) WHERE id IS NOT NULL)"
    )
    counted = db.execute(
        f"SELECT count(*), count(*) FILTER (WHERE id NOT IN (SELECT id FROM read_parquet(?) WHERE id IS NOT NULL))"
        f" FROM {name} WHERE {CONNECTION} = ? AND {DELETED_AT} IS NULL",
        [str(file), this.connection],
    ).fetchone()
    assert counted is not None
    total, lost = counted
    if not lost:
        return
    if lost > SMALL_LOSS and lost > this.options.largest_loss * total:
        suspicious.append(
            SuspiciousSweep(
                f"{lost} of {total} rows are no longer listed by the platform, more than the "
                f"{this.options.largest_loss:.0%} that may vanish at once. Nothing was marked as deleted; everything "
                "else of this run was loaded.",
                connection=this.connection,
                table=table.name,
                next_step="Check whether the integration user lost a permission; if the records are truly gone, raise "
                "largest_loss for one run.",
            )
        )
        return
    db.execute(f"UPDATE {name} SET {DELETED_AT} = ? WHERE {gone}", [loaded_at, this.connection, str(file)])
    report.deleted[table.name] = report.deleted.get(table.name, 0) + int(lost)


# --- errors -----------------------------------------------------------------------------------------------------------


def _root(error: BaseException) -> BaseException:
    """The error that started it: dlt wraps one in another, several times."""
    seen = {id(error)}
    while True:
        inner = getattr(error, "exception", None) or error.__cause__
        if not isinstance(inner, BaseException) or id(inner) in seen:
            return error
        seen.add(id(inner))
        error = inner


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    queue: list[BaseException] = [error]
    while queue:
        one = queue.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        queue.extend(
            e for e in (getattr(one, "exception", None), one.__cause__, one.__context__) if isinstance(e, BaseException)
        )


def _is_disk_full(error: BaseException) -> bool:
    return any(
        (isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
        or "No space left on device" in str(one)
        or "File too large" in str(one)
        for one in _chain(error)
    )


def _is_locked(error: BaseException) -> bool:
    return any(isinstance(one, WarehouseLocked) or "Conflicting lock" in str(one) for one in _chain(error))


def _explained(error: BaseException) -> BaseException:
    """The error a person should see: our own and the platforms' as they are, a full disk and a locked file by name."""
    from platforms.kit.errors import PlatformError

    for one in _chain(error):
        if isinstance(one, IngestionError | PlatformError):
            return one
    if _is_disk_full(error):
        return DiskFull(
            f"no room left on the disk: {mask(str(_root(error)))[:200]}",
            next_step="Free some space and run again; what was read is kept, and nothing was half loaded.",
        )
    if _is_locked(error):
        return WarehouseLocked(
            f"the warehouse is open in another program: {mask(str(_root(error)))[:200]}",
            next_step="Close that program (readers use published.duckdb); then run again.",
        )
    return IngestionError(mask(f"{type(_root(error)).__name__}: {_root(error)}"), next_step="See the message.")


@contextlib.contextmanager
def _timed(report: LoadReport, step: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        report.seconds[step] = round(time.monotonic() - started, 3)


def counts(home: Path | str | None, dataset: str) -> Mapping[str, int]:
    """Rows by table of one dataset, deleted ones included; for people and tests. Takes the warehouse's turn."""
    with warehouse_turn(home, what="count") as place, connected(place) as db:
        tables = db.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = ? ORDER BY 1", [dataset]
        ).fetchall()
        return {
            name: int((db.execute(f'SELECT count(*) FROM "{dataset}"."{name}"').fetchone() or (0,))[0])
            for (name,) in tables
            if not name.startswith("_dlt")
        }
