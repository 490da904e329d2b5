"""Where this installation keeps its files, and the Dagster instance that lives there.

`TIEOUT_HOME` (default `.tieout` beside pyproject.toml) holds the journal, the warehouse, the published snapshot, rate
budgets, dlt's pipeline state, Dagster's storage and, for demos, the sandboxes. The warehouse's own paths are known to
`ingestion.pipelines` alone and are asked for there.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT_DIR = PROJECT_ROOT / "dbt_project"
DBT_EXECUTABLE = Path(sys.executable).parent / "dbt"

# One op at a time per pool: DuckDB has one writing process. Runs queue up two at a time on the reference machine.
DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    default_limit: 1
    granularity: op
  runs:
    max_concurrent_runs: 2
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  free_slots_after_run_end_seconds: 30
run_retries:
  enabled: false
"""


@dataclass(frozen=True, kw_only=True)
class Home:
    """The folder of one installation. Creating it is safe to repeat."""

    root: Path

    @property
    def journal_url(self) -> str:
        """SQLAlchemy URL of the journal: `TIEOUT_JOURNAL_URL`, or SQLite in this home."""
        return os.environ.get("TIEOUT_JOURNAL_URL") or f"sqlite:///{self.root / 'journal.sqlite'}"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME of this installation."""
        return self.root / "dagster"

    @property
    def sandbox(self) -> Path:
        """State of local sandboxes, when this home is a demo's or a developer's."""
        return self.root / "sandbox"

    def prepare(self) -> Home:
        """Create the folders and the Dagster instance's configuration when they are missing; returns self."""
        self.dagster.mkdir(parents=True, exist_ok=True)
        config = self.dagster / "dagster.yaml"
        if not config.exists():
            config.write_text(DAGSTER_YAML)
        return self

    def environment(self) -> dict[str, str]:
        """What child processes (dagster, dbt) need in their environment to use this home."""
        return {"TIEOUT_HOME": str(self.root), "DAGSTER_HOME": str(self.dagster)}


def home() -> Home:
    """The home named by `TIEOUT_HOME`, absolute; default `.tieout` in the project folder; the loads use the same."""
    from ingestion.pipelines import home_of

    return Home(root=home_of().root)
