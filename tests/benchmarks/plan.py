"""How long the plan takes and how much memory: desired against known, field by field, at several sizes.

    .venv/bin/python tests/benchmarks/plan.py [rows ...] [--ten-million] [--postgresql]      default: 100000 1000000

Three lines a size: the first comparison, which reads known records out of the journal; the second, which finds them
kept in columns; and one in which 3 % of the rows have changed, with the field-level changes written out. The first two
must find no change at all. Each is a process of its own, so that its peak memory is its own; what Python and its
libraries take before they begin is told beside it. Known records are put into a real journal, SQLite or a throw-away
PostgreSQL; the model has 20 columns. Ten million need about 15 GB of free disk.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import duckdb
import psycopg

from reverse_etl.journal.store import Journal
from reverse_etl.plan.diff import Diff, open_snapshot
from reverse_etl.run import Engine
from reverse_etl.sync import Mode, SyncSettings
from tests.unit.reverse_etl.postgres import running

PHASES = ("from the journal", "from columns", "3 % changed")
TEXTS = 10
MONEY = 5
DATES = 5
COLUMNS = [
    *[f"t{i}" for i in range(TEXTS)],
    *[f"m{i}" for i in range(MONEY)],
    *[f"d{i}" for i in range(DATES)],
]
SYNC = SyncSettings(
    name="sync_shelf__row",
    platform="shelf",
    object="row",
    key_column="k",
    key_field="externalId",
    mode=Mode.upsert,
    fields={name: name.upper() for name in COLUMNS},
    database="bench",
    schema="main",
    table="sync_shelf__row",
    file="bench",
    owner="nobody",
    amount_column="m0",
    currency_column="currency",
)
Put = Callable[[Iterable[tuple[object, ...]]], object]


def model(rows: int, changed: bool) -> str:
    """The model's table as SQL; with `changed`, every 33rd row has another text and another amount."""
    bump = "(i % 33 = 0)::int" if changed else "0"
    texts = ", ".join(f"'text {i} of ' || (i + {bump if i == 0 else 0})::varchar as t{i}" for i in range(TEXTS))
    money = ", ".join(
        f"((i * {n + 1} + {bump if n == 0 else 0}) % 100000 / 100)::decimal(18, 2) as m{n}" for n in range(MONEY)
    )
    dates = ", ".join(f"date '2026-01-01' + (i % {300 + n})::int as d{n}" for n in range(DATES))
    return (
        f"select 'shelf' as _connection, 'K' || i::varchar as k, 'EUR' as currency, {texts}, {money}, {dates}"
        f" from range({rows}) r(i)"
    )


def fill(folder: Path, url: str, rows: int) -> None:
    """A journal that knows every row as the unchanged model has it, and the model's two snapshots."""
    Journal.open(url).close()
    members = ", ".join(f"'\"{name.upper()}\":\"' || {name}::varchar || '\"'" for name in COLUMNS)
    with duckdb.connect() as db:
        reader = db.sql(
            f"select '{SYNC.name}', 'shelf', k, 'id' || k, '{{' || concat_ws(',', {members}) || '}}', null::varchar,"
            f" '2026-01-01T00:00:00.000000+00:00', 'e', 0 from ({model(rows, False)})"
        ).to_arrow_reader(100_000)
        with contextlib.ExitStack() as stack:
            put = stack.enter_context(putting(folder, url))
            for part in reader:
                put(zip(*(column.to_pylist() for column in part.columns), strict=True))
    for changed in (False, True):
        with duckdb.connect(str(folder / f"bench_{changed}.duckdb")) as db:
            db.execute(f"create table {SYNC.table} as {model(rows, changed)}")


@contextlib.contextmanager
def putting(folder: Path, url: str) -> Iterator[Put]:
    """The quickest way into known_records."""
    if url.startswith("sqlite"):
        with sqlite3.connect(folder / "journal.sqlite") as raw:
            yield lambda part: raw.executemany("insert into known_records values (?, ?, ?, ?, ?, ?, ?, ?, ?)", part)
        return
    with (
        psycopg.connect(url.replace("+psycopg", "")) as server,
        server.cursor() as cursor,
        cursor.copy("copy known_records from stdin") as copy,
    ):

        def put(part: Iterable[tuple[object, ...]]) -> None:
            for row in part:
                copy.write_row(row)

        yield put


def peak() -> float:
    """Most memory this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder: Path, url: str, rows: int, phase: int) -> None:
    """One comparison, as the engine makes it."""
    changed = phase == 2
    snapshot = folder / f"bench_{changed}.duckdb"
    limit = Engine.__dataclass_fields__["memory_limit"].default
    journal, before = Journal.open(url), peak()
    started, cpu = time.monotonic(), time.process_time()
    with Diff(open_snapshot(snapshot, "bench", memory_limit=limit), SYNC, journal, folder / "known") as diff:
        compared = time.monotonic()
        written = sum(len(part) for part in diff.changes())
        done = time.monotonic()
    expected = -(-rows // 33) if changed else 0
    assert written == expected, (written, expected)
    print(
        f"{rows:>10,} rows, {PHASES[phase]:<16} {written:>7,} changes: wall {done - started:6.2f} s "
        f"(changes out {done - compared:.2f} s), CPU {time.process_time() - cpu:6.2f} s, "
        f"{rows / (done - started):>9,.0f} rows/s, peak {peak():,.0f} MB ({before:,.0f} MB before)"
    )
    journal.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--ten-million", action="store_true", help="ten million rows as well")
    parser.add_argument("--postgresql", action="store_true", help="with the journal on a throw-away PostgreSQL")
    parser.add_argument("--part", nargs=3, metavar=("FOLDER", "URL", "PHASE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        folder, url, phase = given.part
        if phase == "fill":
            fill(Path(folder), url, given.rows[0])
        else:
            measure(Path(folder), url, given.rows[0], int(phase))
        return
    for rows in [*given.rows, *([10_000_000] if given.ten_million else [])]:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tieout-plan-"))
            url = f"sqlite:///{folder}/journal.sqlite"
            if given.postgresql:
                url = stack.enter_context(running()).url()
            for phase in ("fill", "0", "1", "2"):
                command = [sys.executable, "-m", "tests.benchmarks.plan", str(rows), "--part", folder, url, phase]
                subprocess.run(command, check=True, cwd=Path(__file__).parents[2])


if __name__ == "__main__":
    main()
