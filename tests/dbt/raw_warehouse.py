"""A small raw warehouse for tests: every raw table as ingestion declares it, empty, and rows put in by the test.

The tables come from `ingestion.sources.*.TABLES`, so a column that ingestion renames or retypes breaks the dbt tests
at once instead of the next real load. Run alone: `python tests/dbt/raw_warehouse.py FILE` writes an empty one.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

import ingestion.sources
from ingestion.tables import CONNECTION, LOADED_AT, OBSERVED, QUARANTINE, Table, duckdb_type

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)


def platforms() -> list[str]:
    """Every platform that has a room in ingestion, Tieout's own journal included."""
    return sorted(module.name for module in pkgutil.iter_modules(ingestion.sources.__path__))


def tables(platform: str) -> list[Table]:
    """The declared tables of one platform, with the two that every dataset has."""
    declared: tuple[Table, ...] = importlib.import_module(f"ingestion.sources.{platform}").TABLES
    return [*declared, OBSERVED, QUARANTINE]


class RawWarehouse:
    """One DuckDB file with the raw schemas; `add` puts rows in, columns left out are null.

    `path` is created when missing. Used as a context manager it closes the file, which dbt needs: DuckDB admits one
    writing process.
    """

    def __init__(self, path: Path, *, connections: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.database = duckdb.connect(str(path))
        self.database.execute("set TimeZone = 'UTC'")
        for platform in platforms():
            self.database.execute(f"create schema if not exists raw_{platform}")
            for table in tables(platform):
                columns = ", ".join(f'"{field.name}" {duckdb_type(field.type)}' for field in table.schema)
                self.database.execute(f'create table if not exists raw_{platform}."{table.name}" ({columns})')
        for connection, platform in (connections or {}).items():
            self.observe(connection, platform)

    def __enter__(self) -> RawWarehouse:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def observe(self, connection: str, platform: str, at: datetime = NOW) -> None:
        """Record that `connection` was loaded, its platform's clock standing at `at`."""
        self.add(platform, "_observed", [{"observed_at": at, "run_id": "test"}], connection=connection)

    def add(
        self, platform: str, table: str, rows: Iterable[Mapping[str, Any]], *, connection: str | None = None
    ) -> None:
        """Insert `rows` (column -> value). The connection is the platform by default; an unknown column raises."""
        for row in rows:
            values = {CONNECTION: connection or platform, LOADED_AT: NOW, **row}
            names = ", ".join(f'"{name}"' for name in values)
            marks = ", ".join("?" for _ in values)
            self.database.execute(
                f'insert into raw_{platform}."{table}" ({names}) values ({marks})', list(values.values())
            )


if __name__ == "__main__":
    with RawWarehouse(Path(sys.argv[1])):
        sys.stdout.write(f"wrote {sys.argv[1]}\n")
