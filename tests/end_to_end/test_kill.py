"""SIGKILL at any moment loses nothing and does nothing twice: afterwards a normal run ends where an undisturbed one does.

Two ways. Light: a process that applies the plan is killed when the sandboxes have heard a random number of its requests
(and up to 20 ms later, so that it dies before, during and after the answer); all of its life is writing, so all kills
hit it. Whole: `tieout run` itself, killed at random times in whatever it is doing, loads and builds included; a dbt it
started lives on without it, as it would for a person. Both compare the sandboxes' content record by record.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from orchestration.home import PROJECT_ROOT
from tests.end_to_end.books import Books, difference, without_numbers
from tests.end_to_end.harness import UNLIMITED, Firm, quiet_run

# The first test to come may wait for a firm that another worker makes.
pytestmark = pytest.mark.timeout(1200)


def killed_while_applying(firm: Firm, request: int, delay: float) -> bool:
    """Start applying, kill the process `delay` seconds after its `request`-th request; False when it was done before."""
    told = threading.Event()
    already = firm.requests

    def heard(number: int) -> None:
        if number - already >= request:
            told.set()

    firm.on_request = heard
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.end_to_end.applying"], cwd=PROJECT_ROOT, env={**os.environ, **firm.env},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        while process.poll() is None:
            if told.wait(0.02):
                time.sleep(delay)
                break
        else:
            assert process.returncode == 0, process.stderr.read().decode()  # type: ignore[union-attr]  # it was given a pipe
        process.send_signal(signal.SIGKILL)
        return process.wait(timeout=30) == -signal.SIGKILL
    finally:
        firm.on_request = None
        process.kill()
        process.wait()
        process.stderr.close()  # type: ignore[union-attr]  # it was given a pipe


def disturbed(built: Path, undisturbed: Path, root: Path, chance: random.Random, kills: int) -> Counter[str]:
    """Apply and be killed `kills` times in a row, then run normally until quiet; asserts the undisturbed end state."""
    told: Counter[str] = Counter()
    requests = int((undisturbed / "requests").read_text())
    calm = Books(undisturbed / "sandbox")
    with Firm.copy_of(built, root, limits=UNLIMITED) as firm:
        for _ in range(kills):
            # What is left to do shrinks from kill to kill, so the later ones strike earlier.
            died = killed_while_applying(
                firm, chance.randint(1, max(2, requests // (2 * kills))), chance.uniform(0, 0.02)
            )
            told["killed" if died else "done before the kill"] += 1
            told.update(
                f"left {state}"
                for (state,) in firm.journal_rows("SELECT state FROM entries WHERE state IN ('sent', 'uncertain')")
            )
        reports = firm.until_quiet()
        told["confirmed by read-back"] = sum(s.confirmed_by_read_back for report in reports for s in report.syncs)
        assert firm.books.totals() == calm.totals()
        assert [source for source, n in firm.books.lines().items() if n > 1] == []
        assert difference(calm.content(), firm.books.content()) == []
    return told


def test_a_killed_apply_is_taken_up_where_it_died(built: Path, undisturbed: Path, tmp_path: Path) -> None:
    told = disturbed(built, undisturbed, tmp_path, random.Random(7), kills=3)
    print(told)
    assert told["killed"] == 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills_while_applying(built: Path, undisturbed: Path, tmp_path: Path) -> None:
    chance, told = random.Random(50), Counter[str]()
    for number in range(10):
        told += disturbed(built, undisturbed, tmp_path / str(number), chance, kills=5)
    print(f"\n50 kills: {dict(told)}")
    assert told["killed"] >= 45


# -- the whole command -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_tieout_run_killed_at_random_times_ends_where_an_undisturbed_run_does(
    firms: Path, built: Path, tmp_path: Path
) -> None:
    rounds, kills = int(os.environ.get("TIEOUT_KILL_ROUNDS", "5")), 10
    chance, told = random.Random(11), Counter[str]()
    with Firm.copy_of(built, tmp_path / "calm", limits=UNLIMITED) as firm:
        started = time.monotonic()
        quiet_run(firm)
        whole = time.monotonic() - started
        calm = without_numbers(firm.books.content())
    for number in range(rounds):
        with Firm.copy_of(built, tmp_path / str(number), limits=UNLIMITED) as firm:
            for _ in range(kills):
                process = subprocess.Popen(
                    [sys.executable, "-m", "orchestration.cli", "run"], cwd=PROJECT_ROOT,
                    env={**os.environ, **firm.env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                try:
                    process.wait(timeout=chance.uniform(0, whole))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                told["killed" if process.wait() == -signal.SIGKILL else "done before the kill"] += 1
            quiet_run(firm)
            assert difference(calm, without_numbers(firm.books.content())) == [], f"round {number}"
            assert [source for source, n in firm.books.lines().items() if n > 1] == []
    print(f"\n{rounds * kills} kills of `tieout run` ({whole:.0f} s undisturbed): {dict(told)}")


def test_the_comparison_notices_what_it_must(undisturbed: Path, tmp_path: Path) -> None:
    with Firm.copy_of(undisturbed, tmp_path) as firm:
        before = firm.books.content()
        customer = next(iter(firm.running["netsuite"].service.rows("customer")))
        assert difference(before, firm.books.content()) == []
        store = firm.running["netsuite"].store
        store.write("UPDATE customer SET companyname = companyname || ' twice' WHERE id = ?", (customer["id"],))
    assert len(difference(before, firm.books.content())) == 2
