"""The engine on hand-made desired tables, into Tryton through a line that can be cut; importable by a child process.

Three syncs: customers, their projects with a task each, their invoices. What is made is counted in Tryton's own tables.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from platforms.kit import jsonio
from platforms.kit.context import ClientContext
from platforms.kit.secrets import Secret
from platforms.tryton.client import TrytonClient
from platforms.tryton.server import RunningServer
from platforms.tryton.server.books import USER, USER_PASSWORD
from reverse_etl.journal.store import Journal
from reverse_etl.run import ApplyReport, Engine
from reverse_etl.sync import Mode, SyncSettings
from reverse_etl.targets import tryton as room

# Small batches, so that there are many calls to lose.
BATCH = 3
CUSTOMERS, PROJECTS, INVOICES, LINES = 9, 9, 15, 2
_COMMON: dict[str, Any] = {
    "platform": "tryton",
    "database": "desired",
    "schema": "main",
    "file": "by hand",
    "owner": "finance",
}
SYNCS = (
    SyncSettings(
        name="customer", object="party.party", key_column="key", key_field="code", mode=Mode.upsert, table="customer",
        fields={"name": "name", "city": "address.city", "mail": "contact.email", "vat": "identifier.eu_vat"}, **_COMMON,
    ),
    SyncSettings(
        name="project", object="project.work", key_column="key", key_field="comment", mode=Mode.upsert, table="project",
        fields={"name": "name", "type": "type", "party": "party", "tasks": "tasks"}, references={"party": "customer"},
        json=frozenset({"tasks"}), create_only=frozenset({"tasks"}), depends_on=("customer",), **_COMMON,
    ),
    SyncSettings(
        name="invoice", object="account.invoice", key_column="key", key_field="reference", mode=Mode.create,
        table="invoice", references={"party": "customer"}, json=frozenset({"lines"}), depends_on=("customer",),
        fields={"party": "party", "currency": "currency.code", "day": "invoice_date", "lines": "lines"}, **_COMMON,
    ),
)  # fmt: skip


def desire(folder: Path, seed: int) -> Path:
    """Desired rows of one seed; their keys and names begin with `S<seed>_`."""
    file = folder / f"desired{seed}.duckdb"

    def lines(number: int) -> str:
        return jsonio.dumps([
            {"product.code": "SVC-FIXED", "quantity": 1, "unit_price": 100 + n, "note": f"S{seed}_L{number}_{n}"}
            for n in range(LINES)
        ])  # fmt: skip

    tables: Mapping[str, tuple[str, list[tuple[Any, ...]]]] = {
        "customer": (
            "name varchar, city varchar, mail varchar, vat varchar",
            [(f"S{seed}_C{n}", f"S{seed}_C{n}", "Delft", f"c{n}@example.com", None) for n in range(CUSTOMERS)],
        ),
        "project": (
            "name varchar, type varchar, party varchar, tasks varchar",
            [
                (
                    f"S{seed}_P{n}",
                    f"S{seed}_P{n}",
                    "project",
                    f"S{seed}_C{n % CUSTOMERS}",
                    jsonio.dumps([{"name": f"S{seed}_T{n}"}]),
                )
                for n in range(PROJECTS)
            ],
        ),
        "invoice": (
            "party varchar, currency varchar, day date, lines varchar",
            [(f"S{seed}_I{n}", f"S{seed}_C{n % CUSTOMERS}", "EUR", "2026-03-31", lines(n)) for n in range(INVOICES)],
        ),
    }
    with duckdb.connect(str(file)) as db:
        for name, (columns, rows) in tables.items():
            db.execute(f"create or replace table {name} (key varchar, {columns})")
            db.executemany(f"insert into {name} values ({', '.join('?' * len(rows[0]))})", rows)
            for column, value in (
                ("_connection", "'tryton'"),
                ("_target_id", "null"),
                ("_hold_reason", "null"),
                ("_source_refs", "'[]'"),
            ):
                db.execute(f"alter table {name} add column {column} varchar default {value}")
    return file


def connect(url: str, seed: int) -> TrytonClient:
    """A client as the product's, whose pauses take no time."""
    settings: dict[str, str | Secret] = {
        "base_url": url, "database": "firm", "user": USER, "password": Secret(USER_PASSWORD),
    }  # fmt: skip
    context = ClientContext(connection="tryton", sleep=lambda seconds: None, random=random.Random(seed), timeout=60)
    return TrytonClient(settings, context)


@dataclass
class SmallBatches:
    """The product's target with a smaller `max_batch`."""

    target: room.TrytonTarget

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def capability(self, object: str) -> Any:
        return replace(self.target.capability(object), max_batch_create=BATCH, max_batch_update=BATCH)


def apply(folder: Path, seed: int, url: str, attempt: int = 0) -> ApplyReport:
    """One run of the engine for one seed, with the journal that earlier runs of it left."""
    with connect(url, seed * 100 + attempt) as client:
        target: Any = SmallBatches(room.build(client, "tryton"))
        target.platform, target.connection = "tryton", "tryton"
        journal = Journal.open(f"sqlite:///{folder}/journal{seed}.sqlite")
        try:
            engine = Engine(
                journal=journal, snapshot=folder / f"desired{seed}.duckdb", targets=lambda connection, platform: target,
                syncs=SYNCS, sleep=lambda seconds: None, random=random.Random(seed), lock_wait=10.0,
            )  # fmt: skip
            return engine.apply()
        finally:
            journal.close()


def until_quiet(folder: Path, seed: int, url: str, most: int = 15) -> list[ApplyReport]:
    """Runs until one sends nothing and leaves nothing in doubt."""
    reports: list[ApplyReport] = []
    while len(reports) < most:
        reports.append(apply(folder, seed, url, len(reports)))
        if reports[-1].ok and not any(sync.calls_used for sync in reports[-1].syncs):
            return reports
    raise AssertionError(f"seed {seed} is not quiet after {most} runs: {[s.to_dict() for s in reports[-1].syncs]}")


def in_doubt(folder: Path, seed: int) -> int:
    """Entries of which a dead run knew no outcome."""
    file = folder / f"journal{seed}.sqlite"
    if not file.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as journal:
        try:
            (row,) = journal.execute("SELECT count(*) FROM entries WHERE state IN ('sent', 'uncertain')").fetchall()
        except sqlite3.OperationalError:  # killed before it had tables
            return 0
        return int(row[0])


WANTED = {
    "parties": CUSTOMERS,
    "projects": PROJECTS,
    "tasks": PROJECTS,
    "invoices": INVOICES,
    "lines": INVOICES * LINES,
}


def counted(server: RunningServer, seed: int) -> Counter[str]:
    """What lies in Tryton's own tables of one seed, and what of it is double or missing: by keys, and by names."""
    start = f"S{seed}\\_%"
    queries = {
        "parties": ("SELECT code, name FROM party_party WHERE name LIKE ? ESCAPE '\\'", f"S{seed}_C"),
        "projects": (
            "SELECT comment, name FROM project_work WHERE type = 'project' AND name LIKE ? ESCAPE '\\'",
            f"S{seed}_P",
        ),
        "tasks": ("SELECT name, name FROM project_work WHERE type = 'task' AND name LIKE ? ESCAPE '\\'", f"S{seed}_T"),
        "invoices": (
            "SELECT reference, reference FROM account_invoice WHERE reference LIKE ? ESCAPE '\\'",
            f"S{seed}_I",
        ),
        "lines": ("SELECT note, note FROM account_invoice_line WHERE note LIKE ? ESCAPE '\\'", f"S{seed}_L"),
    }
    told: Counter[str] = Counter({"double": 0, "missing": 0})
    for what, (sql, _) in queries.items():
        keys = Counter(key for key, _ in server.query(sql, [start]))
        told[what] = sum(keys.values())
        told["double"] += sum(n - 1 for n in keys.values() if n > 1) + max(0, told[what] - WANTED[what])
        told["missing"] += max(0, WANTED[what] - len(keys))
    return told
