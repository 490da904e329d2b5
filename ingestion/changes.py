"""Has anything changed on a platform? A probe cheap enough to ask every few seconds.

What it costs: Salesforce one call, NetSuite one call, Kantata one call for each watched list (`WATCHED` in its room).
The answer names raw tables, so that a sensor can read just these (`only=` of `ingestion.sources.source`).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingestion import connections, pipelines
from ingestion.errors import ConfigError
from ingestion.tables import Table


@dataclass(frozen=True, kw_only=True)
class Changes:
    """`tables` have changed; `cursor` is to be handed in next time; `calls` is what asking cost."""

    tables: tuple[str, ...]
    cursor: str
    calls: int

    def __bool__(self) -> bool:
        return bool(self.tables)


def changes(
    connection: str,
    home: Path | str | None = None,
    *,
    cursor: str | None = None,
    client: Callable[[], Any] | None = None,
) -> Changes:
    """Which watched tables of `connection` changed: since `cursor` (of an earlier answer), else since the last read.

    A table counts as changed when its newest change or its number of rows (which shows deletes) is another. Changes
    within one second of each other may look alike to a platform that tells whole seconds; a scheduled run catches them.
    Opens neither warehouse nor pipeline. Raises ConfigError and the platform's own errors.
    """
    platform = connections.platform_of(connection)
    module = importlib.import_module(f"ingestion.sources.{platform}")
    watched: tuple[Table, ...] = tuple(table for table in module.TABLES if table.name in module.WATCHED)
    place = pipelines.home_of(home)
    spoken = client() if client else connections.client(connection, place.root)
    try:
        seen: Mapping[str, str] = module.newest(spoken, watched)
        counter = getattr(getattr(spoken, "api", spoken), "calls", None)
        calls = int(counter.snapshot()["total"]) if counter is not None else 0
    finally:
        spoken.close()
    before = _read(cursor, connection) if cursor else None
    if before is None:
        read = last_read(connection, platform, place)
        changed = tuple(t.name for t in watched if _is_newer(seen.get(t.name, ""), read.get(t.name)))
    else:
        changed = tuple(t.name for t in watched if seen.get(t.name, "") != before.get(t.name, ""))
    return Changes(tables=changed, cursor=json.dumps(seen, sort_keys=True), calls=calls)


def last_read(connection: str, platform: str, place: pipelines.Home) -> dict[str, datetime]:
    """The newest change by table that has been read, from dlt's local state; empty before the first run."""
    file = place.state / f"ingest_{connection}" / "state.json"
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    resources = state.get("sources", {}).get(pipelines.dataset_name(platform), {}).get("resources", {})
    cursors = {name: found.get("cursor") for name, found in resources.items()}
    return {name: datetime.fromisoformat(cursor) for name, cursor in cursors.items() if cursor}


def snapshot(newest: datetime | None, count: int | None = None) -> str:
    """What is remembered of a table: its newest change and its number of rows."""
    return f"{newest.astimezone(UTC).isoformat() if newest else ''} {'' if count is None else count}"


def _is_newer(seen: str, read: datetime | None) -> bool:
    newest = seen.partition(" ")[0]
    if not newest:
        return False
    return read is None or datetime.fromisoformat(newest) > read


def _read(cursor: str, connection: str) -> Mapping[str, str]:
    try:
        found = json.loads(cursor)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            f"{cursor[:40]!r} is not a cursor of this probe.", connection=connection, next_step="Ask without a cursor."
        )
    return found
