"""An allowance shared by processes: the rate is kept, the slots are kept, and a dead holder's slot is free again."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platforms.kit.budget import Budget, next_turn
from platforms.kit.context import ClientContext
from platforms.kit.errors import Wait
from platforms.kit.http import ApiClient

HOLDER = """
import sys, time, pathlib
from platforms.kit.budget import Budget
budget = Budget(pathlib.Path(sys.argv[1]), "ns", concurrency=int(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    with budget.slot():
        print("in", time.monotonic(), flush=True)
        time.sleep(float(sys.argv[4]))
        print("out", time.monotonic(), flush=True)
"""


def holder(directory: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(directory), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_together_keep_the_concurrency(tmp_path: Path) -> None:
    processes = [holder(tmp_path, 2, 8, 0.01) for _ in range(3)]
    moments: list[tuple[float, int]] = []
    for process in processes:
        out, _ = process.communicate(timeout=30)
        for line in out.splitlines():
            word, moment = line.split()
            moments.append((float(moment), 1 if word == "in" else -1))
    running = most = 0
    for _, step in sorted(moments):
        running += step
        most = max(most, running)
    assert len(moments) == 3 * 8 * 2
    assert most == 2


def test_the_slot_of_a_killed_holder_is_free_again(tmp_path: Path) -> None:
    process = holder(tmp_path, 1, 1, 60)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("in")
    with pytest.raises(Wait), Budget(tmp_path, "ns", concurrency=1, max_wait=0.05).slot():
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with Budget(tmp_path, "ns", concurrency=1, max_wait=5).slot():
        pass


def test_threads_keep_the_concurrency_too(tmp_path: Path) -> None:
    budget = Budget(tmp_path, "ns", concurrency=2)
    lock, running, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal running, most
        for _ in range(5):
            with budget.slot():
                with lock:
                    running += 1
                    most = max(most, running)
                time.sleep(0.001)
                with lock:
                    running -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == 2


class FakeTime:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_burst_goes_at_once_and_then_the_rate_is_kept(tmp_path: Path) -> None:
    clock = FakeTime()
    budget = Budget(tmp_path, "k", requests_per_second=10, burst=5, clock=clock, sleep=clock.sleep)
    moments = []
    for _ in range(15):
        with budget.slot():
            moments.append(clock.now - 1000.0)
    assert moments[:5] == pytest.approx([0.0] * 5)
    assert moments[-1] == pytest.approx(1.0)


def test_the_rate_is_shared_by_all_who_use_the_connection(tmp_path: Path) -> None:
    clock = FakeTime()
    budgets = [Budget(tmp_path, "k", requests_per_second=10, clock=clock, sleep=clock.sleep) for _ in range(2)]
    for number in range(11):
        with budgets[number % 2].slot():
            pass
    assert clock.now - 1000.0 == pytest.approx(1.0)


@given(
    gaps=st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=60),
    rate=st.floats(0.5, 50),
    burst=st.integers(1, 20),
)
def test_in_no_window_do_more_go_than_burst_and_rate_allow(gaps: list[float], rate: float, burst: int) -> None:
    now, arrival, sent = 0.0, 0.0, []
    for gap in gaps:
        now += gap
        delay, arrival = next_turn(arrival, now, interval=1 / rate, burst=burst)
        now += delay
        sent.append(now)
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            assert last - first + 1 <= burst + rate * (sent[last] - sent[first]) + 1e-6


@given(
    gaps=st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=60),
    rate=st.floats(0.5, 50),
    burst=st.integers(1, 20),
)
def test_nobody_waits_longer_than_the_rate_asks(gaps: list[float], rate: float, burst: int) -> None:
    now, arrival = 0.0, 0.0
    for gap in gaps:
        now += gap
        delay, arrival = next_turn(arrival, now, interval=1 / rate, burst=burst)
        assert delay <= 1 / rate + 1e-6
        now += delay


def test_a_clock_that_was_set_back_does_not_block_for_hours() -> None:
    assert next_turn(1_000_000.0, 10.0, interval=0.1, burst=1)[0] == 0.0


def test_no_limits_touch_no_files(tmp_path: Path) -> None:
    with Budget(tmp_path / "budgets", "k").slot():
        pass
    assert not (tmp_path / "budgets").exists()


def test_a_wait_longer_than_allowed_is_told_instead_of_slept(tmp_path: Path) -> None:
    clock = FakeTime()
    budget = Budget(tmp_path, "k", requests_per_second=0.1, max_wait=1, clock=clock, sleep=clock.sleep)
    with budget.slot():
        pass
    with pytest.raises(Wait) as caught, budget.slot():
        pass
    assert caught.value.retry_after == pytest.approx(10)


def test_a_client_hears_of_a_budget_that_is_used_up_at_once(tmp_path: Path) -> None:
    naps: list[float] = []
    budget = Budget(tmp_path, "k", requests_per_second=0.1, max_wait=1)
    context = ClientContext(
        connection="k", budget=budget, sleep=naps.append, transport=httpx.MockTransport(lambda _: httpx.Response(204))
    )
    client = ApiClient("toy", "https://toy.example", None, lambda response: None, context)
    client.request("GET", "x", idempotent=True)
    with pytest.raises(Wait, match="budget is used up"):
        client.request("GET", "x", idempotent=True)
    assert naps == []


def test_impossible_limits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="None means no limit"):
        Budget(tmp_path, "k", requests_per_second=0)
    with pytest.raises(ValueError, match="None means no limit"):
        Budget(tmp_path, "k", concurrency=0)


def test_a_slot_costs_less_than_200_microseconds(tmp_path: Path) -> None:
    budget = Budget(tmp_path, "k", requests_per_second=1e9, burst=10, concurrency=5)
    started = time.perf_counter()
    for _ in range(500):
        with budget.slot():
            pass
    assert (time.perf_counter() - started) / 500 < 200e-6
