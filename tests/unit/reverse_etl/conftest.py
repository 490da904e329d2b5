"""A firm of one table: models written into a DuckDB file, an engine over a shelf and a journal, a clock that ticks."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from reverse_etl.dispatch.dispatcher import Patience
from reverse_etl.journal.store import Journal
from reverse_etl.run import Engine
from reverse_etl.sync import Mode, SyncSettings
from tests.unit.reverse_etl.postgres import MISSING, Cluster, binaries, running
from tests.unit.reverse_etl.shelf import Shelf, World

COLUMNS = {
    "external_id": "varchar",
    "name": "varchar",
    "total": "decimal(18, 2)",
    "currency": "varchar",
    "due_on": "date",
    "is_open": "boolean",
    "_connection": "varchar",
    "_target_id": "varchar",
    "_hold_reason": "varchar",
    "_source_refs": "varchar",
}

INVOICE = SyncSettings(
    name="sync_shelf__invoice",
    platform="shelf",
    object="invoice",
    key_column="external_id",
    key_field="externalId",
    mode=Mode.upsert,
    fields={"name": "name", "total": "money.total", "due_on": "dueDate", "is_open": "open"},
    database="firm",
    schema="main",
    table="sync_shelf__invoice",
    file="models/shelf.yml",
    amount_column="total",
    currency_column="currency",
    owner="finance",
)


def invoice(key: str, name: str | None = "Acme", total: str = "10.50", **more: Any) -> dict[str, Any]:
    """One row of the model, with the usual values."""
    row = {
        "external_id": key,
        "name": name,
        "total": total,
        "currency": "EUR",
        "due_on": "2026-02-01",
        "is_open": True,
        "_connection": "shelf",
        "_target_id": None,
        "_hold_reason": None,
        "_source_refs": f'["crm:deal:{key}@7"]',
    }
    return {**row, **more}


@dataclass
class Firm:
    """The whole of it, with verbs short enough to tell a story in a test."""

    folder: Path
    journal: Journal
    world: World = field(default_factory=World)
    shelf: Shelf = field(init=False)
    syncs: tuple[SyncSettings, ...] = (INVOICE,)
    slept: list[float] = field(default_factory=list)
    others: dict[str, Shelf] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.world)

    @property
    def snapshot(self) -> Path:
        return self.folder / "firm.duckdb"

    def desire(
        self, rows: Sequence[dict[str, Any]], table: str = INVOICE.table, columns: dict[str, str] | None = None
    ) -> None:
        """The model's table holds exactly these rows."""
        columns = columns or COLUMNS
        with duckdb.connect(str(self.snapshot)) as db:
            db.execute(f"create or replace table {table} ({', '.join(f'{n} {t}' for n, t in columns.items())})")
            if rows:
                marks = ", ".join("?" for _ in columns)
                db.executemany(
                    f"insert into {table} values ({marks})", [[row.get(name) for name in columns] for row in rows]
                )

    def engine(self, **more: Any) -> Engine:
        return Engine(
            journal=self.journal,
            snapshot=self.snapshot,
            targets=lambda connection, platform: self.others.get(connection, self.shelf),
            syncs=self.syncs,
            sleep=self.slept.append,
            random=random.Random(1),
            lock_wait=0.0,
            **{"patience": Patience(tries=4), **more},
        )

    def run(self, **more: Any) -> Any:
        """Apply everything; the report of the first sync."""
        return self.engine(**more).apply().syncs[0]

    def change(self, **settings: Any) -> None:
        """The invoice sync with other settings."""
        self.syncs = (replace(self.syncs[0], **settings), *self.syncs[1:])


def ticking() -> Callable[[], datetime]:
    """A clock that moves a millisecond each time it is read."""
    ticks = itertools.count()
    start = datetime(2026, 1, 5, 9, tzinfo=UTC)
    return lambda: start + timedelta(milliseconds=next(ticks))


def counting() -> Callable[[], str]:
    """Ids in order, so that two runs of a test are the same."""
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):012d}"


def open_journal(kind: str, folder: Path) -> Journal:
    if kind == "memory":
        return Journal.in_memory(clock=ticking(), ids=counting())
    return Journal.open(f"sqlite:///{folder}/journal.sqlite", clock=ticking(), ids=counting())


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for this session; tests that need one skip where it is not installed."""
    if binaries() is None:
        pytest.skip(MISSING)
    with running() as started:
        yield started


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """A new, empty journal of every kind."""
    if request.param == "postgresql":
        opened = Journal.open(request.getfixturevalue("cluster").url(), clock=ticking(), ids=counting())
    else:
        opened = open_journal(request.param, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def firm(journal: Journal, tmp_path: Path) -> Firm:
    """Every story is told three times: with the journal in memory, in a file, on a server. They must not differ."""
    return Firm(tmp_path, journal)
