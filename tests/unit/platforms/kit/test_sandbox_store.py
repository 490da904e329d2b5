"""A sandbox's memory and its time: shared by processes, all or nothing, never going back."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platforms.kit.sandbox.clock import SandboxClock
from platforms.kit.sandbox.registry import SandboxSpec, open_ready
from platforms.kit.sandbox.service import chunked
from platforms.kit.sandbox.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "deep" / "a.sqlite")
    opened.script("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);")
    yield opened
    opened.close()


def write_and_fail(store: Store, value: str) -> None:
    with store.transaction():
        store.write("INSERT INTO t (v) VALUES (?)", (value,))
        raise ZeroDivisionError


def values(store: Store) -> list[str]:
    return [row["v"] for row in store.read("SELECT v FROM t ORDER BY id")]


def test_a_failed_transaction_leaves_nothing_and_time_stands_still(store: Store) -> None:
    before = SandboxClock(store).now()
    with pytest.raises(ZeroDivisionError):
        write_and_fail(store, "a")
    assert values(store) == []
    assert SandboxClock(store).now() == before


def test_a_nested_transaction_may_fail_alone(store: Store) -> None:
    with store.transaction():
        store.write("INSERT INTO t (v) VALUES ('kept')")
        with pytest.raises(ZeroDivisionError):
            write_and_fail(store, "dropped")
        with store.transaction():
            store.write("INSERT INTO t (v) VALUES ('kept too')")
    assert values(store) == ["kept", "kept too"]


def test_every_committed_write_moves_time_a_millisecond_and_reading_does_not(store: Store) -> None:
    clock = SandboxClock(store)
    start = clock.now()
    store.write("INSERT INTO t (v) VALUES ('a')")
    store.write_many("INSERT INTO t (v) VALUES (?)", [("b",), ("c",)])
    with store.transaction():
        store.read("SELECT * FROM t")
    assert clock.now() - start == timedelta(milliseconds=2)


def test_time_never_goes_back(store: Store) -> None:
    clock = SandboxClock(store)
    later = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert clock.set_at_least(later) > later - timedelta(seconds=1)
    now = clock.now()
    assert clock.set_at_least(datetime(2026, 1, 1, tzinfo=UTC)) >= now
    assert clock.today().isoformat() == "2026-06-01"
    with pytest.raises(ValueError, match="time zone"):
        clock.set_at_least(datetime(2027, 1, 1))  # noqa: DTZ001 - the point of the test


def test_time_and_numbers_survive_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path / "a.sqlite")
    SandboxClock(first).set_at_least(datetime(2026, 6, 1, tzinfo=UTC))
    assert first.next_number("note", 5, start=100) == 100
    first.meta["who"] = {"org": "00D"}
    moment = SandboxClock(first).now()
    first.close()
    again = Store(tmp_path / "a.sqlite")
    assert SandboxClock(again).now() == moment
    assert again.next_number("note", start=100) == 105
    assert again.meta["who"] == {"org": "00D"}
    again.close()


def test_facts_are_found_or_missed_like_in_a_dict(store: Store) -> None:
    store.meta["a"] = [1, None]
    assert store.meta["a"] == [1, None]
    assert store.meta.get("b", 7) == 7
    assert "b" not in store.meta
    with pytest.raises(KeyError):
        store.meta["b"]


WRITER = """
import sys, pathlib
from platforms.kit.sandbox.store import Store
store = Store(pathlib.Path(sys.argv[1]))
for _ in range(100):
    with store.transaction():
        n = store.one("SELECT count(*) AS n FROM t")["n"]
        store.write("INSERT INTO t (id, v) VALUES (?, ?)", (n + 1, sys.argv[2]))
"""


def test_processes_and_threads_take_turns_writing(store: Store) -> None:
    command = [sys.executable, "-c", WRITER, str(store.path)]
    others = [subprocess.Popen([*command, name]) for name in ("a", "b")]

    def write() -> None:
        for _ in range(50):
            with store.transaction():
                row = store.one("SELECT count(*) AS n FROM t")
                assert row is not None
                store.write("INSERT INTO t (id, v) VALUES (?, 'thread')", (row["n"] + 1,))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [other.wait(30) for other in others] == [0, 0]
    assert len(values(store)) == 300


def test_the_same_rows_give_the_same_digest_and_other_rows_another(tmp_path: Path) -> None:
    digests = []
    for number, texts in enumerate((["a", "b"], ["a", "b"], ["a", "c"])):
        store = Store(tmp_path / f"{number}.sqlite")
        store.script("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);")
        for text in texts:
            store.write("INSERT INTO t (v) VALUES (?)", (text,))
        digests.append(store.digest())
        store.close()
    assert digests[0] == digests[1] != digests[2]


def test_a_fresh_state_is_set_up_once(toy_spec: SandboxSpec, tmp_path: Path) -> None:
    first = open_ready(toy_spec, tmp_path, seed=1)
    again = open_ready(toy_spec, tmp_path, seed=2)
    assert again.store.meta["password"] == "password-of-seed-1"
    first.store.close()
    again.store.close()


def test_chunks_keep_order_and_lose_nothing() -> None:
    assert list(chunked(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunked([], 2)) == []


def test_time_may_begin_earlier_only_before_the_sandbox_is_set_up(toy_spec: SandboxSpec, tmp_path: Path) -> None:
    service = toy_spec.open_service(tmp_path)
    early = datetime(2023, 1, 2, 8, tzinfo=UTC)
    assert service.clock.begin(early) - early < timedelta(seconds=1)
    with pytest.raises(ValueError, match="time zone"):
        service.clock.begin(datetime(2023, 1, 1))  # noqa: DTZ001 - the point of the test
    service.store.close()
    ready = open_ready(toy_spec, tmp_path, seed=1)
    with pytest.raises(RuntimeError, match="set up already"):
        ready.clock.begin(early)
    ready.store.close()
