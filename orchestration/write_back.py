"""The engine, wired to this installation: journal, snapshot, manifest, and one target per connection, made when first used."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

from orchestration import manifest
from orchestration.home import home

_reports: dict[str, dict[str, dict[str, Any]]] = {}
_lock = threading.Lock()


def remember(run_id: str, sync: str, report: Mapping[str, Any]) -> None:
    """Keep a sync's report for whoever started the run in this process."""
    with _lock:
        _reports.setdefault(run_id, {})[sync] = dict(report)


def reports_of(run_id: str) -> dict[str, dict[str, Any]]:
    """Reports that the write-back assets of a run in this process left, by sync name."""
    with _lock:
        return dict(_reports.get(run_id, {}))


@cache
def target(connection: str) -> Any:
    """The target of a connection, with its client and shared rate budget. Raises ConfigError for a missing setting."""
    from ingestion import connections
    from reverse_etl.targets.base import target_for

    resolved = connections.resolve(connection)
    return target_for(resolved.platform)(connections.client(connection, home().root), connection)


def engine() -> Any:
    """An engine on this installation's journal and the published snapshot."""
    from ingestion import pipelines
    from reverse_etl.engine import Engine

    where = home()
    where.root.mkdir(parents=True, exist_ok=True)
    return Engine(
        journal_url=where.journal_url,
        warehouse=pipelines.published_path(where.root),
        manifest=manifest.manifest_path(),
        targets=target,
        lock_folder=where.root / "locks",
    )


def exceptions_desk() -> Any:
    """The exceptions desk on this installation's journal."""
    return engine().exceptions
