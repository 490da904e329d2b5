"""A run whose process was killed keeps nobody waiting: what it held of Dagster's pools is given back by the next one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from orchestration import execution, keys
from orchestration.home import PROJECT_ROOT

# A process that holds the lock of a run, says so, and waits to be killed.
HOLDER = """
import sys, time
from orchestration.execution import _alive
with _alive(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    monkeypatch.setenv("TIEOUT_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return execution.instance()


def holder(run_id: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, run_id], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def takes_the_turn(live: dg.DagsterInstance, run_id: str) -> bool:
    claim = live.event_log_storage.claim_concurrency_slot(keys.WAREHOUSE_POOL, run_id, "step")
    return bool(claim.is_claimed)


def test_the_turn_of_a_killed_run_is_given_back_and_of_a_living_one_is_not(live: dg.DagsterInstance) -> None:
    with live:
        live.event_log_storage.initialize_concurrency_limit_to_default(keys.WAREHOUSE_POOL)
        run = create_run_for_test(live, job_name="loop", status=dg.DagsterRunStatus.STARTED)
        process = holder(run.run_id)
        try:
            assert takes_the_turn(live, run.run_id)
            assert execution.release_dead_runs(live) == []
            assert not takes_the_turn(live, "another"), "the run lives and has the warehouse's turn"
        finally:
            process.kill()
            process.wait()
        assert execution.release_dead_runs(live) == [run.run_id]
        ended = live.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.status is dg.DagsterRunStatus.FAILURE
        assert takes_the_turn(live, "another"), "who waited has it now"
        assert execution.release_dead_runs(live) == []
