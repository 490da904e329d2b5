"""Rough weather leaves exactly one of everything: 5 % of replies lost after commit, bursts of 429, partial batches.

Counted in the sandboxes' own stores over many seeds of trouble. This is the light path of `harness`: the snapshot is
the real one, made once; each seed gets its own sandboxes, journal file and engine, and runs until quiet. A run that is
right leaves the same content as a run without trouble, record by record.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.end_to_end.books import Books, difference, without_numbers
from tests.end_to_end.harness import UNLIMITED, Firm, due, quiet_run, wanted_lines

# The first test to come may wait for a firm that another worker makes.
pytestmark = pytest.mark.timeout(1200)


def weathered(built: Path, undisturbed: Path, root: Path, seed: int) -> Counter[str]:
    """One seed: run until quiet, then count. Returns what happened, by kind."""
    calm, before = Books(undisturbed / "sandbox"), Books(built / "sandbox")
    with Firm.copy_of(built, root, faults="rough", seed=seed, limits=UNLIMITED) as firm:
        reports = firm.until_quiet(chance=seed)
        books, wanted, lines = firm.books, due(firm), wanted_lines(firm)
        told: Counter[str] = Counter(firm.injected)
        told["writes"] = sum(sync.calls_used for report in reports for sync in report.syncs)
        told["runs"] = len(reports)
        told["confirmed by read-back"] = sum(s.confirmed_by_read_back for report in reports for s in report.syncs)

    keys, totals, start, end = books.all_keys(), books.totals(), before.totals(), calm.totals()
    made = {place: totals[place] - start[place] for place in totals}
    double = {place: [key for key, n in found.items() if n > 1] for place, found in keys.items()}
    missing = {place: sorted(asked - set(keys[place])) for place, asked in wanted.items() if place in keys}
    double_lines = [source for source, n in books.lines().items() if n > 1]
    told["records made"], told["lines made"] = sum(made.values()), len(books.lines()) - len(before.lines())
    told["duplicates"] = sum(map(len, double.values())) + len(double_lines)
    told["duplicates"] += sum(max(0, totals[place] - end[place]) for place in totals)  # also those without our key
    told["missing"] = sum(map(len, missing.values())) + len(lines - set(books.lines()))

    assert not any(double.values()), f"seed {seed}: {double}"
    assert not double_lines, f"seed {seed}: billed twice: {double_lines}"
    assert not any(missing.values()), f"seed {seed}: {missing}"
    assert lines <= set(books.lines()), f"seed {seed}: not billed: {sorted(lines - set(books.lines()))}"
    assert totals == end, f"seed {seed}: {totals} instead of {end}"
    assert difference(calm.content(), books.content()) == [], f"seed {seed}"
    return told


def table(told: Counter[str]) -> str:
    return "\n".join(f"  {name:28} {told[name]:6}" for name in sorted(told))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rough_weather_leaves_exactly_one_of_everything(
    built: Path, undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    told = weathered(built, undisturbed, tmp_path, seed)
    print(table(told))
    assert told["records made"] > 50
    assert told["lose_reply"] + told["throttle"] + told["partial_batch"] > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_seeds_of_rough_weather(built: Path, undisturbed: Path, tmp_path: Path) -> None:
    started, told = time.monotonic(), Counter[str]()
    for seed in range(1, 51):
        told += weathered(built, undisturbed, tmp_path / str(seed), seed)
        told["seeds"] += 1
    told["duplicates"] += 0
    told["missing"] += 0
    print(f"\n50 seeds in {time.monotonic() - started:.0f} s\n{table(told)}")
    assert told["lose_reply of a write"] > 25
    assert (told["duplicates"], told["missing"]) == (0, 0)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_whole_runs_in_rough_weather(built: Path, tmp_path: Path) -> None:
    """The same through the command line: every pass reads, builds and writes, and the weather hits the reading too."""
    rounds, told = int(os.environ.get("TIEOUT_WEATHER_ROUNDS", "5")), Counter[str]()
    with Firm.copy_of(built, tmp_path / "calm", limits=UNLIMITED) as firm:
        quiet_run(firm)
        calm, totals = without_numbers(firm.books.content()), firm.books.totals()
    for seed in range(1, rounds + 1):
        with Firm.copy_of(built, tmp_path / str(seed), faults="rough", seed=seed, limits=UNLIMITED) as firm:
            quiet_run(firm)
            told += Counter(firm.injected)
            assert firm.books.totals() == totals, f"seed {seed}"
            assert [source for source, n in firm.books.lines().items() if n > 1] == [], f"seed {seed}"
            assert difference(calm, without_numbers(firm.books.content())) == [], f"seed {seed}"
    print(f"\n{rounds} seeds of whole runs\n{table(told)}")
    assert told["lose_reply"] > 0
