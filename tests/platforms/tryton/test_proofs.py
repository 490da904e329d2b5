"""Lost answers, lost and late requests, and SIGKILL leave exactly one of everything in Tryton's own tables.

The real engine, journal file, target and client, over real HTTP, against a real Tryton behind a line that is cut. One
server serves all seeds; each has its own keys, desired tables and journal.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable
from multiprocessing.context import ForkServerContext as ForkServer
from pathlib import Path

import pytest

from platforms.tryton.server import RunningServer
from tests.platforms.tryton import loop
from tests.platforms.tryton.proxy import LATE, LOST_REPLY, LOST_REQUEST, PASS, Proxy, Weather

pytestmark = pytest.mark.tryton


def weathered(server: RunningServer, folder: Path, seed: int, fates: tuple[str, ...]) -> Counter[str]:
    """One seed on a bad line: run until quiet, let late requests arrive, count."""
    loop.desire(folder, seed)
    with Proxy(server.port, Weather(seed, fates=fates)) as line:
        reports = loop.until_quiet(folder, seed, line.url)
        line.quiet()
        told = Counter({name: n for name, n in line.told.items() if name != PASS})
    counts = loop.counted(server, seed)
    told.update(counts)
    told["runs"] = len(reports)
    told["confirmed by read-back"] = sum(sync.confirmed_by_read_back for report in reports for sync in report.syncs)
    told["refused"] = sum(sync.refused for report in reports for sync in report.syncs)
    assert {what: counts[what] for what in loop.WANTED} == loop.WANTED, f"seed {seed}: {counts}"
    assert (counts["double"], counts["missing"], told["refused"]) == (0, 0, 0), f"seed {seed}: {told}"
    return told


def all_seeds(server: RunningServer, folder: Path, seeds: Iterable[int], fates: tuple[str, ...]) -> Counter[str]:
    started, told = time.monotonic(), Counter[str]()
    for seed in seeds:
        told.update(weathered(server, folder, seed, fates))
        told["seeds"] += 1
    print(f"\n{told['seeds']} seeds in {time.monotonic() - started:.0f} s: {dict(sorted(told.items()))}")
    return told


def test_lost_answers_leave_exactly_one_of_everything(server: RunningServer, tmp_path: Path) -> None:
    told = all_seeds(server, tmp_path, range(1, 4), (LOST_REPLY,))
    assert told[LOST_REPLY] > 3


def test_requests_that_are_lost_or_late_leave_exactly_one_of_everything(server: RunningServer, tmp_path: Path) -> None:
    told = all_seeds(server, tmp_path, range(11, 14), (LOST_REPLY, LOST_REQUEST, LATE))
    assert told[LATE] > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_seeds_of_lost_answers(server: RunningServer, tmp_path: Path) -> None:
    told = all_seeds(server, tmp_path, range(1001, 1051), (LOST_REPLY,))
    assert told[LOST_REPLY] > 50


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_seeds_of_lost_and_late_requests(server: RunningServer, tmp_path: Path) -> None:
    told = all_seeds(server, tmp_path, range(2001, 2051), (LOST_REPLY, LOST_REQUEST, LATE))
    assert told[LATE] > 50


# -- kills -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nursery() -> ForkServer:
    """Where processes come from that have everything imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.platforms.tryton.loop"])
    return context


def killed(nursery: ForkServer, line: Proxy, folder: Path, seed: int, chance: random.Random, requests: int) -> bool:
    """Apply in a process of its own and kill it up to 20 ms after a random one of the requests that it would make."""
    struck, at = threading.Event(), line.requests + chance.randint(1, requests)
    line.on_request = lambda number: struck.set() if number >= at else None
    process = nursery.Process(target=loop.apply, args=(folder, seed, line.url))
    process.start()
    while process.is_alive() and not struck.wait(0.01):
        pass
    time.sleep(chance.uniform(0, 0.02))
    if process.is_alive():
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    line.on_request = lambda number: None
    line.quiet()
    return process.exitcode == -signal.SIGKILL


def all_kills(nursery: ForkServer, server: RunningServer, folder: Path, seeds: Iterable[int]) -> Counter[str]:
    started, told, requests = time.monotonic(), Counter[str](), 0
    with Proxy(server.port) as line:
        for seed in seeds:
            loop.desire(folder, seed)
            if requests:
                told["killed"] += killed(nursery, line, folder, seed, random.Random(seed), requests)
                told["left in doubt"] += loop.in_doubt(folder, seed)
            else:  # the first seed is not disturbed: it tells how many requests there are to strike at
                loop.apply(folder, seed, line.url)
                requests = line.requests
            reports = loop.until_quiet(folder, seed, line.url)
            counts = loop.counted(server, seed)
            assert {what: counts[what] for what in loop.WANTED} == loop.WANTED, f"seed {seed}: {counts}"
            assert (counts["double"], counts["missing"]) == (0, 0), f"seed {seed}: {counts}"
            told.update(counts)
            told["confirmed by read-back"] += sum(s.confirmed_by_read_back for report in reports for s in report.syncs)
            told["seeds"] += 1
    print(f"\n{told['seeds']} seeds in {time.monotonic() - started:.0f} s: {dict(sorted(told.items()))}")
    return told


def test_a_killed_apply_is_taken_up_where_it_died(nursery: ForkServer, server: RunningServer, tmp_path: Path) -> None:
    assert all_kills(nursery, server, tmp_path, range(21, 25))["killed"] == 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_kills_while_applying(nursery: ForkServer, server: RunningServer, tmp_path: Path) -> None:
    told = all_kills(nursery, server, tmp_path, range(3000, 3051))
    assert told["killed"] >= 45
    assert told["left in doubt"] > 0


def test_the_count_notices_what_it_must(server: RunningServer, tmp_path: Path) -> None:
    loop.desire(tmp_path, 31)
    loop.until_quiet(tmp_path, 31, server.url)
    assert {what: n for what, n in loop.counted(server, 31).items() if n} == loop.WANTED
    with server.admin() as admin:
        [project] = admin.search("project.work", [["name", "=", "S31_P1"]])
        admin.call("project.work", "copy", [int(project)], idempotent=False)
    assert loop.counted(server, 31)["double"] >= 1
