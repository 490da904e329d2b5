"""dbt inside this process: one parse a process, one build a run.

dagster-dbt starts dbt as a subprocess: 7 s of imports and parsing before the first model, on the reference machine, in
every pass of the loop and every slice of a sensor. dbt's own runner in a warm process starts in under a second. The
assets, checks, keys and groups are dagster-dbt's (`@dbt_assets`); only the running of the command is here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration import stacks
from orchestration.home import DBT_PROJECT_DIR
from platforms.kit.secrets import mask

# dbt keeps global state (flags, logger, adapter): one invocation at a time.
_one_at_a_time = threading.Lock()
_parsed: dict[str, Any] = {}


class BuildFailed(Exception):
    """dbt could not build or a test of severity error failed; each failure is named with dbt's own words."""


@dataclass(frozen=True, kw_only=True)
class NodeResult:
    """What became of one dbt node: `status` is dbt's (success, pass, warn, fail, error, skipped, no-op)."""

    unique_id: str
    status: str
    message: str
    failures: int
    rows: int | None
    seconds: float

    @property
    def is_bad(self) -> bool:
        """True when what depends on this node must not be believed."""
        return self.status in ("error", "fail", "runtime error")


def run(arguments: Sequence[str], *, warehouse: Path, logs: Path, manifest_stamp: str) -> list[NodeResult]:
    """Run `dbt <arguments>` on the warehouse file; results in the order of finishing.

    `manifest_stamp` identifies the state of the project: the parsed manifest is kept between calls while it is the
    same. Raises BuildFailed when dbt could not even start its work. The DuckDB file is closed when this returns.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    logs.mkdir(parents=True, exist_ok=True)
    common = ["--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR)]
    common += ["--target-path", str(stacks.target_path()), *stacks.dbt_arguments()]
    # Global options stand before the command.
    options = ["--quiet", "--log-path", str(logs), "--log-level-file", "warn", "--no-use-colors", "--no-write-json"]
    with _one_at_a_time:
        os.environ["TIEOUT_WAREHOUSE"] = str(warehouse)
        try:
            if _parsed.get("stamp") != manifest_stamp:
                # Not written: another process may be reading the manifest on disk, which says the same.
                parsed = dbtRunner().invoke([*options, "parse", *common])
                if not parsed.success:
                    raise BuildFailed(f"The dbt project does not compile: {parsed.exception}")
                _parsed.update(stamp=manifest_stamp, manifest=parsed.result)
            done = dbtRunner(manifest=_parsed["manifest"]).invoke([*options, *arguments, *common])
        finally:
            DuckDBConnectionManager.close_all_connections()
    if done.exception is not None and done.result is None:
        raise BuildFailed(f"dbt could not run: {mask(str(done.exception))}")
    return [
        NodeResult(
            unique_id=result.node.unique_id,
            status=str(result.status),
            message=mask(str(result.message or "")),
            failures=int(result.failures or 0),
            rows=_rows(result),
            seconds=float(result.execution_time),
        )
        for result in getattr(done.result, "results", [])
    ]


def _rows(result: Any) -> int | None:
    affected = (result.adapter_response or {}).get("rows_affected")
    return affected if isinstance(affected, int) and affected >= 0 else None


def failures(results: Sequence[NodeResult], names: Mapping[str, str]) -> Iterator[str]:
    """One sentence per bad node."""
    for result in results:
        if result.is_bad:
            yield f"{names.get(result.unique_id, result.unique_id)}: {' '.join(result.message.split())}"
