"""A journal in SQLite as the smallest real source there is, and a home of its own for every test."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion import pipelines, sources
from ingestion.pipelines import LoadReport
from ingestion.reading import Options

START = datetime(2026, 1, 1, tzinfo=UTC)


class Journal:
    """Entries of a journal: written as the engine writes them, read back from the warehouse."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "journal.sqlite"
        home.mkdir(parents=True, exist_ok=True)
        self._run("CREATE TABLE entries (entry_id TEXT PRIMARY KEY, state TEXT, amount TEXT, updated_at TEXT)")
        self.clock = START

    def _run(self, sql: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        with sqlite3.connect(self.file) as db:
            db.executemany(sql, rows) if rows is not None else db.execute(sql)
        db.close()

    def write(self, ids: list[str], state: str, amount: str = "10.25", *, step: float = 1.0) -> None:
        """Insert or change entries, each a `step` of seconds after the one before."""
        rows = []
        for entry in ids:
            self.clock += timedelta(seconds=step)
            rows.append((entry, state, amount, self.clock.isoformat(timespec="microseconds")))
        self._run("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", rows)

    def load(self, *, overlap: float = 60.0, **more: Any) -> LoadReport:
        """Read it into the warehouse."""
        options = Options(overlap=timedelta(seconds=overlap))
        source = sources.source("tieout", home=self.home, options=options, **more)
        return pipelines.run(source, self.home, timeout=20)

    def wanted(self) -> list[tuple[str, str, str]]:
        """What the warehouse must hold."""
        with sqlite3.connect(self.file) as db:
            found = db.execute("SELECT entry_id, state, amount FROM entries ORDER BY entry_id").fetchall()
        db.close()
        return found

    def loaded(self) -> list[tuple[str, str, str]]:
        """What the warehouse holds."""
        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as db:
            rows = db.execute("SELECT entry_id, state, amount FROM raw_tieout.entries ORDER BY entry_id").fetchall()
        return [(entry, state, f"{amount:.2f}") for entry, state, amount in rows]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Look into the warehouse."""
        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as db:
            return db.execute(sql).fetchall()


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.delenv("TIEOUT_JOURNAL_URL", raising=False)
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))
    return Journal(tmp_path / "home")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Write a file of the `.dlt` folder that holds for this test."""
    folder = tmp_path / ".dlt"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))

    def write(name: str, text: str) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return write
