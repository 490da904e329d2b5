"""The code location: everything under `defs/`, and nothing else. `dagster dev -w workspace.yaml` or `make dev` loads it."""

from __future__ import annotations

import dagster as dg

import orchestration.defs
from orchestration import observability

observability.mask_logs()


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors of Tieout."""
    return dg.load_from_defs_folder(path_within_project=__import__("pathlib").Path(orchestration.defs.__file__ or ""))
