"""How long the plan takes: desired against known, field by field, at several sizes.

    .venv/bin/python tests/benchmarks/plan.py [rows ...]            default: 100000 1000000

Three lines a size: the first comparison, which reads known records out of the journal; the second, which finds them
kept in columns; and one in which 3 % of the rows have changed, with the field-level changes written out. The first two
must find no change at all. Known records
are put into a real SQLite journal; the model has 20 columns. Sizes of ten million need about 10 GB of free disk.
"""

from __future__ import annotations

import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from reverse_etl.journal.store import Journal
from reverse_etl.plan.diff import Diff, open_snapshot
from reverse_etl.plan.known import known_rows
from reverse_etl.sync import Mode, SyncSettings

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


def fill(folder: Path, rows: int) -> Journal:
    """A journal that knows every row as the unchanged model has it."""
    journal = Journal.open(f"sqlite:///{folder}/journal.sqlite")
    members = ", ".join(f"'\"{name.upper()}\":\"' || {name}::varchar || '\"'" for name in COLUMNS)
    with duckdb.connect() as db:
        reader = db.sql(
            f"select k, '{{' || concat_ws(',', {members}) || '}}' as f from ({model(rows, False)})"
        ).to_arrow_reader(100_000)
        with sqlite3.connect(folder / "journal.sqlite") as raw:
            for part in reader:
                keys, texts = part.column(0).to_pylist(), part.column(1).to_pylist()
                raw.executemany(
                    "insert into known_records values (?, 'shelf', ?, ?, ?, null, '2026-01-01T00:00:00+00:00', 'e', 0)",
                    [(SYNC.name, key, f"id{key}", text) for key, text in zip(keys, texts, strict=True)],
                )
    return journal


def measure(rows: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = fill(folder, rows)
        for changed in (False, False, True):
            snapshot = folder / f"bench_{changed}.duckdb"
            snapshot.unlink(missing_ok=True)
            with duckdb.connect(str(snapshot)) as db:
                db.execute(f"create table {SYNC.table} as {model(rows, changed)}")
            started, cpu = time.monotonic(), time.process_time()
            known = known_rows(journal, SYNC, folder / "known")
            read = time.monotonic()
            with Diff(open_snapshot(snapshot, "bench"), SYNC, known, journal.open_arrow(SYNC.name)) as diff:
                compared = time.monotonic()
                written = sum(len(part) for part in diff.changes())
                done = time.monotonic()
                expected = -(-rows // 33) if changed else 0
                assert written == expected, (written, expected)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{rows:>10,} rows, {written:>7,} changes: known from the journal {read - started:6.2f} s, "
                f"compare {compared - read:6.2f} s, changes out {done - compared:6.2f} s, "
                f"{rows / (done - started):>10,.0f} rows/s, CPU {time.process_time() - cpu:.1f} s, peak {peak:,.0f} MB"
            )
        journal.close()


if __name__ == "__main__":
    for size in [int(arg) for arg in sys.argv[1:]] or [100_000, 1_000_000]:
        measure(size)
