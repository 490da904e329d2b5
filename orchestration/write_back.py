"""The engine, wired to this installation: journal, snapshot, manifest, one target per connection when first used."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from orchestration import manifest
from orchestration.home import home

if TYPE_CHECKING:
    from reverse_etl.exceptions.desk import Desk
    from reverse_etl.journal.store import Journal
    from reverse_etl.run import Engine

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
def target(connection: str, platform: str) -> Any:
    """The target of a connection, with its client and shared rate budget. Raises ConfigError for a missing setting."""
    from ingestion import connections
    from reverse_etl.targets.base import target_for

    return target_for(platform)(connections.client(connection, home().root), connection)


@cache
def journal(url: str) -> Journal:
    """The journal at `url`, opened once a process."""
    from reverse_etl.journal.store import Journal

    return Journal.open(url)


def engine() -> Engine:
    """An engine on this installation's journal and published snapshot. Raises NotBuiltYet before the first build."""
    from ingestion import pipelines
    from orchestration.warehouse import NotBuiltYet
    from reverse_etl.run import Engine

    where = home()
    where.root.mkdir(parents=True, exist_ok=True)
    snapshot = pipelines.home_of(where.root).published
    if not snapshot.exists():
        raise NotBuiltYet(snapshot)
    return Engine(
        journal=journal(where.journal_url),
        snapshot=snapshot,
        targets=target,
        manifest=manifest.compiled(),
        spill=where.root,
        known_folder=where.root / "known",
    )


def desk() -> Desk:
    """The exceptions desk on this installation's journal."""
    from reverse_etl.exceptions.desk import Desk

    return Desk(journal(home().journal_url))
