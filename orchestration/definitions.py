"""The code location: everything under `defs/`, and nothing else. `make dev` loads it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from orchestration import observability, storage
from orchestration.home import home

observability.mask_logs()
storage.relax(home().dagster)  # run workers of `dagster dev` write the same history


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors of Tieout."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
