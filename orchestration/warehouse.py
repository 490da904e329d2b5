"""Read-only questions to the published snapshot. People and reports read here; nobody blocks a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from ingestion import pipelines
from orchestration.home import home


class NotBuiltYet(Exception):
    """There is no published snapshot; the message says how to make one."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not there yet: run `tieout run` (or `tieout ingest`, then `tieout build`) first.")


@contextmanager
def snapshot() -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the published snapshot. Raises NotBuiltYet before the first good build."""
    path = pipelines.home_of(home().root).published
    if not path.exists():
        raise NotBuiltYet(path)
    connection = duckdb.connect(str(path), read_only=True)
    try:
        yield connection
    finally:
        connection.close()


def rows(question: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
    """The answer to one SQL question, as dicts; money as Decimal, times aware UTC."""
    with snapshot() as connection:
        answer = connection.execute(question, parameters or [])
        names = [column[0] for column in answer.description or []]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
