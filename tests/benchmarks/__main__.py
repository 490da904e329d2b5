"""One command prints every figure: `make benchmark`, or `python -m tests.benchmarks [--scale medium] [--only loop plan]`.

    ingestion   rows/s by platform and overall, ratio to a bare loop over the same requests (goal 1.5), peak memory
    loop        the same firm through Dagster: load, dbt build, plan, dispatch; then a pass with nothing changed
    plan        the comparison of desired and known records, up to a million rows
    latency     a deal won in the sandbox -> a project in the PSA, under Dagster's daemon, by itself (goal: median < 60 s)

Each part runs in a process of its own, so that its peak memory is its own. The firm is made once and kept in --state.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from orchestration.home import PROJECT_ROOT
from platforms.world.firm import populate

PARTS = ("ingestion", "loop", "plan", "latency")


def part(module: str, *arguments: str) -> str:
    """Run one part; its standard output. Its messages go to the terminal as they come."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True, check=False, env=dict(os.environ)
    )
    if done.returncode:
        raise SystemExit(f"{module} ended with status {done.returncode}\n{done.stdout}")
    return done.stdout


def table(rows: list[tuple[str, str]]) -> str:
    """Two columns, for a terminal."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def ingestion_rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of tests/benchmarks/ingestion.py as lines."""
    rows = []
    for name, one in figures.items():
        told = f"{one['rows']:>9,} rows in {one['seconds']:>7.2f} s, {one['rows_per_second']:>7,} rows/s, {one['ratio']:.2f} x bare loop"
        rows.append((name, f"{told}, peak {one['peak_rss_megabytes']:,} MB"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--scale", default="medium", choices=["tiny", "small", "medium", "large"])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--state", type=Path, help="keep the firm here, to measure again without making it anew")
    parser.add_argument("--tries", type=int, default=20, help="deals to win for the latency")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="tieout-benchmark-") as scratch:
        state = (given.state or Path(scratch) / "sandbox").resolve()
        if {"ingestion", "loop"} & {*given.only}:
            started = time.monotonic()
            summary = populate(state, 7, given.scale)
            made = sum(summary["happened"].values())
            print(
                f"the {given.scale} firm: {made:,} things happened, made in {time.monotonic() - started:.0f} s",
                flush=True,
            )
        if "ingestion" in given.only:
            found["ingestion"] = json.loads(part("ingestion", "--scale", given.scale, "--state", str(state)))
            print(f"\nIngestion, {given.scale}\n{table(ingestion_rows(found['ingestion']))}", flush=True)
        if "loop" in given.only:
            found["loop"] = json.loads(part("loop", "--state", str(state)))
            print(
                f"\nThe loop, {given.scale}\n{table([(name, str(value)) for name, value in found['loop'].items()])}",
                flush=True,
            )
        if "plan" in given.only:
            found["plan"] = part("plan", "100000", "1000000").splitlines()
            print("\nPlan\n" + "\n".join(found["plan"]), flush=True)
        if "latency" in given.only:
            found["latency"] = json.loads(part("latency", "--tries", str(given.tries)))
            told = [(name, str(value)) for name, value in found["latency"].items()]
            print(f"\nWon deal to project, under the daemon\n{table(told)}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
