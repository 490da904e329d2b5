"""How long a won deal waits for its project, with nobody's hand: sandbox -> sensor -> slice -> project in the PSA.

    python -m tests.benchmarks.latency --tries 20

A firm is made and brought to rest; then `dagster dev` runs as in production (daemon, sensors, code server). For each
try a deal is won through the CRM sandbox's own rules, at a random moment (the sensor's phase is part of the wait), and
the PSA sandbox's store is watched until the project with the deal's reference is there. The next deal is won 5 to 20 s
later, whether or not the slice before has ended: it usually still writes figures and books. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from orchestration import sandboxes
from orchestration.home import PROJECT_ROOT, Home
from platforms.kit.sandbox.registry import sandbox

PATIENCE = 240.0
"""Seconds after which a try counts as failed."""


@contextmanager
def daemon(where: Home) -> Iterator[None]:
    """Dagster's web server and daemon on this home, until the block ends; waits until the sensors have ticked."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (where.root / "dagster.log").open("w") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "dagster"), "dev", "-w", str(PROJECT_ROOT / "workspace.yaml"),
             "-h", "127.0.0.1", "-p", str(port)],
            cwd=PROJECT_ROOT, env=dict(os.environ), stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            wait_until(lambda: ticked(port), 180, f"the daemon did not start; see {log.name}")
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def ticked(port: int) -> bool:
    """Whether every sensor has ticked once."""
    question = (
        '{sensorsOrError(repositorySelector: {repositoryLocationName: "tieout", repositoryName: "__repository__"})'
        " {... on Sensors {results {name sensorState {ticks(limit: 1) {status}}}}}}"
    )
    try:
        answer = httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": question}, timeout=10, trust_env=False)
        sensors = answer.json()["data"]["sensorsOrError"].get("results", [])
    except (httpx.TransportError, ValueError, KeyError, TypeError):
        return False
    return bool(sensors) and all(sensor["sensorState"]["ticks"] for sensor in sensors)


def wait_until(condition: Any, seconds: float, otherwise: str) -> float:
    """Seconds until `condition()` was true, looked at ten times a second. SystemExit with `otherwise` when it never was."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise SystemExit(otherwise)
        time.sleep(0.1)
    return time.monotonic() - started


def winnable(state: Path) -> list[str]:
    """Open deals that nothing but their stage keeps from becoming a project, of accounts that have one already."""
    service = sandbox("salesforce").open_service(state)
    needed = ("Amount", "Contract_Start__c", "Contract_End__c", "Billing_Type__c", "Legal_Entity__c", "AccountId")
    handed_over = '"Tieout_Project_Id__c" IS NOT NULL AND "IsDeleted" = 0'
    proven = {
        (row["AccountId"], row["Legal_Entity__c"], row["CurrencyIsoCode"])
        for row in service.rows("Opportunity", handed_over)
    }
    lines: dict[str, Any] = defaultdict(int)
    for line in service.rows("OpportunityLineItem", '"IsDeleted" = 0'):
        lines[line["OpportunityId"]] += line["TotalPrice"]
    found = [
        str(row["Id"])
        for row in service.rows("Opportunity", '"IsClosed" = 0 AND "IsDeleted" = 0')
        if all(row[name] for name in needed)
        and row["Contract_Start__c"] <= row["Contract_End__c"]
        and row["Amount"] == lines[row["Id"]]
        and (row["AccountId"], row["Legal_Entity__c"], row["CurrencyIsoCode"]) in proven
    ]
    service.store.close()
    return found


def measured(where: Home, tries: int, seed: int) -> dict[str, Any]:
    """Win `tries` deals one after the other; seconds to their projects. A deal without one is told by its id."""
    chance = random.Random(seed)
    crm, psa = (sandbox(name).open_service(where.sandbox) for name in ("salesforce", "kantata"))
    deals = winnable(where.sandbox)[:tries]
    if len(deals) < tries:
        print(f"the firm has only {len(deals)} deals that can be won", file=sys.stderr)
    waits: list[float] = []
    without: list[str] = []
    with daemon(where):
        for number, deal in enumerate(deals, 1):
            time.sleep(chance.uniform(5, 20))
            day = crm.clock.today().isoformat()
            won = {"StageName": "Closed Won", "CloseDate": day, "PO_Number__c": f"PO-{number:05}"}
            crm.update("Opportunity", deal, won, actor="")

            def there(deal: str = deal) -> bool:
                return bool(
                    psa.store.read(
                        "SELECT 1 FROM external_references WHERE subject_type = 'Workspace' AND service_model_ref = ?",
                        (deal,),
                    )
                )

            started = time.monotonic()
            while not there() and time.monotonic() - started < PATIENCE:
                time.sleep(0.1)
            if there():
                waits.append(time.monotonic() - started)
            else:
                without.append(deal)
            told = f"{waits[-1]:.1f} s" if there() else f"no project after {PATIENCE:.0f} s"
            print(f"deal {number} of {len(deals)}, {deal}: {told}", file=sys.stderr, flush=True)
    return {
        "tries": len(deals),
        "without_a_project": without,
        "median_seconds": round(statistics.median(waits), 1) if waits else None,
        "worst_seconds": round(max(waits), 1) if waits else None,
        "best_seconds": round(min(waits), 1) if waits else None,
        "all_seconds": [round(wait, 1) for wait in waits],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--scale", default="small")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="tieout-latency-"))
    try:
        where = Home(root=root).prepare()
        os.environ.update(where.environment())
        where.sandbox.mkdir()
        sandboxes.populate(where.sandbox, given.seed, given.scale)
        with sandboxes.start(where.sandbox, sandboxes.free_port_base(), seed=given.seed) as fleet:
            os.environ.update(fleet.env)
            subprocess.run(
                [sys.executable, "-m", "orchestration.cli", "run"], cwd=PROJECT_ROOT, check=True, stdout=sys.stderr
            )
            print(json.dumps(measured(where, given.tries, given.seed), indent=2))
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
