"""Has anything changed on a platform? A probe cheap enough to ask every few seconds.

What it costs: Salesforce one call, NetSuite one call, Kantata and Tryton a small call for each watched list (`WATCHED`
in their rooms).
The answer names raw tables, so that a sensor can read just these (`only=` of `ingestion.sources.source`).

A table has changed when its newest change is newer than what was read last, or when its number of rows (which shows
deletes, and changes of lists that cannot be sorted by change) is not the one that was seen before the last read. The
numbers lie in `<home>/dlt/probes/<connection>.json`: `seen` by the last probe, `read` before the last successful run.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingestion import connections
from ingestion.tables import Table


@dataclass(frozen=True, kw_only=True)
class Changes:
    """`tables` have changed. `state` is what the platform looks like now, as text: equal for equal states. `since` is
    the newest change that was read before (None before the first run). `calls` is what asking cost."""

    tables: list[str]
    state: str
    since: datetime | None
    calls: int

    def __bool__(self) -> bool:
        return bool(self.tables)


def changes(connection: str, home: Path | str | None = None, *, client: Callable[[], Any] | None = None) -> Changes:
    """Which watched tables of `connection` have changed since they were last read.

    Changes within one second of each other may look alike to a platform that tells whole seconds; a scheduled run
    catches them. Opens neither warehouse nor pipeline. Raises ConfigError and the platform's own errors.
    """
    from ingestion import pipelines

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
    read = last_read(connection, platform, place.state)
    numbers = {name: text.partition(" ")[2] for name, text in seen.items()}
    notes = _notes(place.state, connection)
    before = notes.get("read", {})
    changed = [
        table.name
        for table in watched
        if _is_newer(seen.get(table.name, ""), read.get(table.name))
        or before.get(table.name, numbers.get(table.name)) != numbers.get(table.name)
    ]
    _note(place.state, connection, {**notes, "seen": numbers, "at": datetime.now(UTC).isoformat()})
    return Changes(
        tables=changed,
        state=json.dumps(seen, sort_keys=True),
        since=max(read.values(), default=None),
        calls=calls,
    )


def was_read(state: Path, connection: str, tables: Iterable[str], started: datetime) -> None:
    """After a successful run that `started` then: the numbers probed before it are those that have been read."""
    notes = _notes(state, connection)
    if notes and datetime.fromisoformat(notes["at"]) <= started:
        chosen = {name: notes["seen"][name] for name in tables if name in notes["seen"]}
        _note(state, connection, {**notes, "read": {**notes.get("read", {}), **chosen}})


def _notes(state: Path, connection: str) -> dict[str, Any]:
    try:
        found = json.loads((state / "probes" / f"{connection}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none yet, or torn by a kill: the next probe writes it anew
        return {}
    return dict(found)


def _note(state: Path, connection: str, notes: Mapping[str, Any]) -> None:
    folder = state / "probes"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{connection}.{os.getpid()}"
    fresh.write_text(json.dumps(notes), encoding="utf-8")
    os.replace(fresh, folder / f"{connection}.json")


def last_read(connection: str, platform: str, state: Path) -> dict[str, datetime]:
    """The newest change by table that has been read, from dlt's local state; empty before the first run."""
    try:
        found = json.loads((state / f"ingest_{connection}" / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    resources = found.get("sources", {}).get(f"raw_{platform}", {}).get("resources", {})
    cursors = {name: one.get("cursor") for name, one in resources.items()}
    return {name: datetime.fromisoformat(cursor) for name, cursor in cursors.items() if cursor}


def snapshot(newest: datetime | None, count: int | None = None) -> str:
    """What a room tells of a table: its newest change and its number of rows."""
    return f"{newest.astimezone(UTC).isoformat() if newest else ''} {'' if count is None else count}"


def _is_newer(seen: str, read: datetime | None) -> bool:
    newest = seen.partition(" ")[0]
    if not newest:
        return False
    return read is None or datetime.fromisoformat(newest) > read
