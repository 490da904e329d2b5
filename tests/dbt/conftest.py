"""Fixtures for dbt tests: a manifest parsed once, and a runner that builds models on a raw warehouse of its own."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
sys.path.insert(0, str(Path(__file__).parent))  # raw_warehouse is a plain module beside the tests


class Dbt:
    """dbt in this process, its target folder, log and warehouse in a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = PROJECT
        self.warehouse = folder / "warehouse.duckdb"
        self.target = folder / "target"
        self.vars: dict[str, Any] = {}

    def run(self, *arguments: str) -> Any:
        """Invoke dbt and return its result object; the caller asserts on `.success`."""
        from dbt.cli.main import dbtRunner  # takes seconds to import: only tests that need it pay

        places = [
            "--project-dir",
            str(self.project),
            "--profiles-dir",
            str(self.project),
            "--target-path",
            str(self.target),
            "--log-path",
            str(self.folder / "logs"),
        ]
        before = os.environ.get("TIEOUT_WAREHOUSE")
        os.environ["TIEOUT_WAREHOUSE"] = str(self.warehouse)
        try:
            given = ["--vars", json.dumps(self.vars)] if self.vars else []
            return dbtRunner().invoke([*arguments, *places, *given, "--quiet"])
        finally:
            from dbt.adapters.duckdb.connections import DuckDBConnectionManager

            # dbt keeps the file open for its next call in this process; the test wants to read it.
            DuckDBConnectionManager.close_all_connections()
            if before is None:
                del os.environ["TIEOUT_WAREHOUSE"]
            else:
                os.environ["TIEOUT_WAREHOUSE"] = before

    def build(self, *selectors: str, tests: bool = True) -> Any:
        """`dbt build` of `selectors`, with their data tests or none; unit tests need no rows and run by themselves."""
        left_out = ["unit_test"] if tests else ["unit_test", "test"]
        return self.run("build", "--exclude-resource-type", *left_out, "--select", *selectors)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the warehouse as dictionaries."""
        with duckdb.connect(str(self.warehouse), read_only=True) as database:
            database.execute("set TimeZone = 'UTC'")
            cursor = database.execute(sql)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def failures(outcome: Any) -> dict[str, str]:
    """Name -> message of everything in a dbt outcome that did not pass."""
    if outcome.exception is not None:
        return {"dbt": str(outcome.exception)}
    return {
        result.node.name: str(result.message)
        for result in outcome.result.results
        if result.status not in ("pass", "success", "no-op", "skipped")
    }


@pytest.fixture(scope="session")
def failures_of() -> Callable[[Any], dict[str, str]]:
    return failures


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """A Dbt that has parsed the project: the others start from its result instead of parsing again."""
    dbt = Dbt(tmp_path_factory.mktemp("parsed"))
    outcome = dbt.run("parse")
    assert outcome.success, outcome.exception
    return dbt


@pytest.fixture(scope="session")
def new_dbt(parsed: Dbt, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Dbt]:
    """A Dbt in a fresh folder."""

    def make(name: str) -> Dbt:
        dbt = Dbt(tmp_path_factory.mktemp(name))
        dbt.target.mkdir()
        shutil.copy(parsed.target / "partial_parse.msgpack", dbt.target)
        return dbt

    return make


@pytest.fixture(scope="session")
def manifest(parsed: Dbt) -> dict[str, Any]:
    """The manifest that `dbt parse` writes, as JSON."""
    found: dict[str, Any] = json.loads((parsed.target / "manifest.json").read_text())
    return found
