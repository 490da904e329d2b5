"""The loop on one firm, step by step, through Dagster as `tieout run` does it: how long each step takes.

    python -m tests.benchmarks.loop --state DIR       DIR holds a firm (platforms.world.firm.populate); it is copied

The sandboxes run in processes of their own with the vendors' limits on, since writing is bound by them. Prints JSON;
progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any


def timed(what: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """The result of `work` and the seconds it took."""
    started = time.monotonic()
    result = work()
    seconds = time.monotonic() - started
    print(f"{what}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return result, seconds


def succeeded(outcome: Any) -> Any:
    """A run's outcome, or the end of the benchmark with what failed."""
    if not outcome.success:
        raise SystemExit("\n".join(outcome.failures))
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tieout-loop-"))
    try:
        shutil.copytree(given.state, folder / "home" / "sandbox")
        print(json.dumps(measured(folder / "home"), indent=2))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(root: Path) -> dict[str, Any]:
    """Figures by name. Seconds by the wall clock, calls as the clients counted them, memory of this process in MB."""
    from orchestration import sandboxes
    from orchestration.home import Home

    where = Home(root=root).prepare()
    os.environ.update(where.environment())
    with sandboxes.start(where.sandbox, sandboxes.free_port_base()) as fleet:
        os.environ.update(fleet.env)
        from orchestration import execution, progress, write_back

        with progress.listening(lambda message: print(message, file=sys.stderr, flush=True)):
            timed("loading the code location", execution.definitions)

            def layer(name: str) -> Callable[[], Any]:
                return lambda: succeeded(execution.materialize(execution.asset_keys(name), command="benchmark"))

            _, load = timed("load", layer("raw"))
            _, build = timed("dbt build", layer("models"))
            plan, planning = timed("plan", lambda: write_back.engine().plan())
            done, dispatch = timed("write back", layer("write_back"))
            again, quiet = timed("a further pass", layer("all"))
        records: Counter[str] = Counter()
        for report in done.reports.values():
            for name in ("created", "updated", "calls_used", "calls_floor", "desired", "reads"):
                records[name] += int(report[name])
        written = records["created"] + records["updated"]
        return {
            "load_seconds": round(load, 1),
            "dbt_build_seconds": round(build, 1),
            "plan_seconds": round(planning, 2),
            "planned_rows": records["desired"],
            "planned_writes": sum(sync.writes for sync in plan.syncs),
            "dispatch_seconds": round(dispatch, 1),
            "records_written": written,
            "records_per_second": round(written / dispatch, 1),
            "write_calls": records["calls_used"],
            "write_calls_fewest": records["calls_floor"],
            "read_calls": records["reads"],
            "further_pass_seconds": round(quiet, 1),
            "further_pass_write_calls": again.write_calls,
            "peak_rss_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


if __name__ == "__main__":
    main()
