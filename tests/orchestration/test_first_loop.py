"""A new installation under the daemon: the whole loop comes first, slices only when there is something to build on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion import pipelines
from orchestration import execution


def tick(sensor: str) -> Any:
    repository = execution.definitions().get_repository_def()
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, repository_def=repository) as context,
    ):
        return repository.get_sensor_def(sensor)(context)


def test_on_a_new_home_the_loop_is_started_once_and_the_slices_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_HOME", str(tmp_path))
    first = tick("first_loop")
    assert isinstance(first, dg.RunRequest)
    assert first.run_key == "first", "one run key: a failed first loop is the sweep's to repeat"
    waits = tick("kantata_changes")
    assert isinstance(waits, dg.SkipReason)
    assert "the whole loop comes first" in str(waits.skip_message)

    pipelines.home_of(tmp_path).published.touch()
    assert isinstance(tick("first_loop"), dg.SkipReason)
