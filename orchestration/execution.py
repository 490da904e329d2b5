"""One way to run: every command materializes the same assets, on the same Dagster instance, that the UI shows.

Everything executes in this process: starting Dagster's multiprocess executor costs 5 s a step on the reference machine.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock, Timeout

from orchestration import keys, storage
from orchestration.home import Home, home

PASS_TAG = "tieout/command"
LOOP_JOB = "loop"
NIGHTLY_JOB = "nightly"

# The event log keeps everything; the terminal shows progress lines and the final report.
_QUIET_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


# As Dagster writes an error down: module, class, message.
_OWN_ERRORS = ("platforms.", "ingestion.", "orchestration.", "reverse_etl.")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one run ended: its Dagster run id, whether everything asked for happened, and each failure in plain words."""

    run_id: str
    success: bool
    failures: tuple[str, ...] = ()
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Write-back reports of this run by sync name."""

    @property
    def write_calls(self) -> int:
        """Write calls that the run sent to all platforms."""
        return sum(int(report.get("calls_used", 0)) for report in self.reports.values())


@cache
def definitions() -> dg.Definitions:
    """The code location, loaded once a process (about 5 s)."""
    from orchestration.definitions import defs

    loaded = defs()
    assert isinstance(loaded, dg.Definitions)
    return loaded


def instance(where: Home | None = None) -> dg.DagsterInstance:
    """The installation's Dagster instance, its home created when missing."""
    prepared = (where or home()).prepare()
    os.environ["DAGSTER_HOME"] = str(prepared.dagster)
    storage.relax(prepared.dagster)
    return dg.DagsterInstance.get()


def asset_keys(layer: str = "all", names: Sequence[str] = ()) -> list[dg.AssetKey]:
    """Keys of a layer ('raw', 'models', 'write_back', 'all'), optionally only those whose path has one of `names`."""
    graph = definitions().resolve_asset_graph()
    chosen = []
    for key in sorted(graph.materializable_asset_keys, key=lambda key: key.to_user_string()):
        first = key.path[0]
        kind = "write_back" if first == keys.WRITE_BACK_PREFIX else "raw" if _is_raw(key) else "models"
        if layer in ("all", kind) and (not names or any(name in part for name in names for part in key.path)):
            chosen.append(key)
    return chosen


def _is_raw(key: dg.AssetKey) -> bool:
    return key.path[0].startswith(keys.RAW_PREFIX)


@contextlib.contextmanager
def _dbt_told_to_file() -> Iterator[None]:
    """dagster-dbt prints dbt's own log to standard output; it belongs in a file, `logs/dbt.log` of the home."""
    folder = home().root / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "dbt.log").open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        yield


def _life_of(run_id: str) -> FileLock:
    """A lock that its process holds as long as it lives; the system gives it back when the process dies."""
    folder = home().root / "locks" / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{run_id}.lock")


@contextlib.contextmanager
def _alive(run_id: str) -> Iterator[None]:
    lock = _life_of(run_id)
    with lock:
        yield
    Path(lock.lock_file).unlink(missing_ok=True)


def release_dead_runs(live: dg.DagsterInstance) -> list[str]:
    """Give back what runs of killed processes still hold of the pools, and say in their history that they ended.

    Dagster keeps a pool's slots in its storage: a run that was killed while it had the warehouse's turn would keep
    everybody waiting for good. Only runs of the command line are judged here, by their lock; those that the daemon
    started are watched by the daemon. Returns the ids of the runs that were released.
    """
    released = []
    files = {file.stem for file in (home().root / "locks" / "runs").glob("*.lock")}
    for run_id in sorted(files | live.event_log_storage.get_concurrency_run_ids()):
        run = live.get_run_by_id(run_id)
        if run_id not in files and (run is None or PASS_TAG not in run.tags):
            continue  # the daemon's, and the daemon watches it
        lock = _life_of(run_id)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue  # its process lives
        if run is not None and not run.is_finished:
            live.report_run_failed(run, "The process of this run is gone; the next run takes up what it left.")
        live.event_log_storage.free_concurrency_slots_for_run(run_id)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
        released.append(run_id)
    return released


def materialize(
    selection: Sequence[dg.AssetKey], *, command: str, job_name: str = LOOP_JOB, ops: Mapping[str, Any] | None = None
) -> Outcome:
    """Materialize `selection` with one of our jobs, in this process, and wait; `ops` is configuration by op name.

    Never raises for a failed asset: the outcome says what failed.
    """
    from orchestration import write_back

    job = definitions().resolve_job_def(job_name)
    run_id = str(uuid.uuid4())
    with instance() as live, _dbt_told_to_file(), _alive(run_id):
        release_dead_runs(live)
        result = job.execute_in_process(
            run_id=run_id,
            run_config={
                **_QUIET_CONSOLE,
                "ops": {name: {"config": dict(config)} for name, config in (ops or {}).items()},
            },
            instance=live,
            asset_selection=list(selection),
            raise_on_error=False,
            tags={PASS_TAG: command},
        )
        failures = []
        for event in result.all_events:
            if event.is_step_failure:
                error = event.step_failure_data.error
                failures.append(f"{event.step_key}: {_in_plain_words(error)}")
        reports = write_back.reports_of(result.run_id)
        return Outcome(run_id=result.run_id, success=result.success, failures=tuple(failures), reports=reports)


def _in_plain_words(error: Any) -> str:
    """The message of the first of our own errors in the chain, else of the innermost error, without its class.

    dlt and Dagster wrap what happened; ours says what to do next.
    """
    innermost = error
    while innermost is not None:
        if str(innermost.message).startswith(_OWN_ERRORS):
            return str(innermost.message).partition(": ")[2].strip()
        if innermost.cause is None:
            return str(innermost.message).strip()
        innermost = innermost.cause
    return "failed"


def run_until_quiet(most: int) -> list[Outcome]:
    """Passes of ingest, build and write-back until one writes nothing, at most `most`. Stops at a pass that fails.

    What is written in one pass (a project's id) is what the next one has to show elsewhere (on the deal).
    """
    from orchestration.progress import say

    outcomes: list[Outcome] = []
    for number in range(1, most + 1):
        say(f"pass {number}: reading the platforms, building, writing back")
        outcome = materialize(asset_keys(), command="run")
        outcomes.append(outcome)
        say(f"pass {number}: {outcome.write_calls} write calls" + ("" if outcome.success else ", with failures"))
        if outcome.write_calls == 0 or not outcome.success:
            break
    return outcomes
