"""`tieout run` on a tiny firm, as a person types it: complete passes through Dagster, dlt, dbt and the engine.

The second run with nothing changed writes nothing, which is counted where it counts: at the sandboxes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import harness
from tests.end_to_end.books import Books
from tests.end_to_end.harness import Firm

# The first test to come waits for three complete passes and then one more.
pytestmark = pytest.mark.timeout(1200)

# Calls that change nothing although they are not GET: logins, queries and logouts of query jobs.
READS = re.compile(r"GET |HEAD |\w+ \S*(/token|/revoke|/suiteql|/jobs/query\S*|/metadata-catalog\S*)$")
RATIO_GOAL = Decimal("1.05")


def merged(document: dict[str, Any]) -> dict[str, Counter[str]]:
    """Sync -> its whole-number counts over all passes."""
    found: dict[str, Counter[str]] = {}
    for one in document["passes"]:
        for sync, report in one["syncs"].items():
            found.setdefault(sync, Counter()).update({k: v for k, v in report.items() if type(v) is int})
    return found


def test_the_first_run_makes_everything_that_is_due(looped: Path, built: Path) -> None:
    first = json.loads((looped / "first.json").read_text())
    assert first["success"]
    assert first["passes"][-1]["write_calls"] == 0, "the run stops at a pass that writes nothing"
    firm = Firm(root=looped)
    wanted, there = harness.due(firm), firm.books.all_keys()
    assert {
        place: sorted(keys - set(there[place]))
        for place, keys in wanted.items()
        if place in there and keys - set(there[place])
    } == {}
    made = {place: n - Books(built / "sandbox").totals()[place] for place, n in firm.books.totals().items()}
    print(made)
    for place in (("kantata", "workspace"), ("kantata", "story"), ("netsuite", "job"), ("netsuite", "invoice")):
        assert made[place] > 0


@pytest.mark.parametrize("table", ["stories", "billing_milestones"])
def test_a_project_that_people_planned_keeps_its_plan_when_it_is_taken_over(
    looped: Path, built: Path, table: str
) -> None:
    question = f"SELECT workspace_id, count(*) FROM {table} GROUP BY workspace_id"
    before = dict(Books(built / "sandbox").ask("kantata", question))
    after = dict(Books(looped / "sandbox").ask("kantata", question))
    assert {project: after[project] - n for project, n in before.items() if after[project] != n} == {}


def test_a_second_run_with_nothing_changed_makes_no_write_call(looped: Path) -> None:
    second = json.loads((looped / "second.json").read_text())
    assert (second["success"], second["write_calls"], len(second["passes"])) == (True, 0, 1)
    calls = json.loads((looped / "calls.json").read_text())
    writes = {route: n for route, n in calls.items() if not READS.match(route.partition(" ")[2])}
    print(f"{sum(calls.values())} calls, of these writes: {sum(writes.values())}")
    assert writes == {}
    assert sum(calls.values()) > 0


def test_calls_used_are_near_the_fewest_possible(looped: Path) -> None:
    first = merged(json.loads((looped / "first.json").read_text()))
    ratios = {}
    for sync, n in sorted(first.items()):
        if n["calls_floor"]:
            ratios[sync] = (Decimal(n["calls_used"]) / n["calls_floor"]).quantize(Decimal("0.001"))
            print(f"{sync:36} {n['calls_used']:5} calls, fewest {n['calls_floor']:5}, ratio {ratios[sync]}")
    assert ratios
    assert {sync: str(ratio) for sync, ratio in ratios.items() if ratio > RATIO_GOAL} == {}


def test_the_books_tie_out_and_the_status_says_so(looped: Path) -> None:
    status = json.loads((looped / "status.json").read_text())
    assert status["uncertain"] == 0
    assert [row for row in status["tie_out"] if Decimal(str(row["tie_out_difference"]))] == []
    assert status["tie_out"], "there are projects to tie out"
