"""One effect for one intent, whatever is lost and wherever the process dies.

The first part is exhaustive: a clean run is counted step by step (each journal commit, each call, before and after),
then run again once per step with a crash there, and every time an ordinary run must make it whole. The second part lets
hypothesis mix lost requests, lost replies, pauses, row errors and crashes.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from reverse_etl.journal.states import State
from reverse_etl.journal.store import Journal
from reverse_etl.sync import Mode
from reverse_etl.targets.base import KeyKind, Promise
from tests.unit.reverse_etl.conftest import Firm, counting, invoice, ticking
from tests.unit.reverse_etl.shelf import Shelf, World


class Crash(BaseException):
    """The process is gone. Not an Exception, so that nothing can swallow it."""


class Tripwire:
    """Counts steps, and crashes at one of them."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.steps = 0

    def __call__(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise Crash


class CrashingJournal(Journal):
    """A journal that may die before a commit (nothing of it stays) and after one (all of it stays)."""

    wire: Callable[[], None] = staticmethod(lambda: None)

    @contextlib.contextmanager
    def write(self, sync: str) -> Iterator[Connection]:
        with super().write(sync) as tx:
            yield tx
            self.wire()
        self.wire()


class CrashingShelf(Shelf):
    """A platform whose caller may die before a call and after it was done."""

    wire: Callable[[], None] = staticmethod(lambda: None)

    def find(self, *args: Any, **kwargs: Any) -> Any:
        self.wire()
        found = super().find(*args, **kwargs)
        self.wire()
        return found

    def write(self, *args: Any, **kwargs: Any) -> Any:
        self.wire()
        receipts = super().write(*args, **kwargs)
        self.wire()
        return receipts

    def open_job(self, *args: Any, **kwargs: Any) -> Any:
        self.wire()
        handle = super().open_job(*args, **kwargs)
        self.wire()
        return handle

    def submit_job(self, *args: Any, **kwargs: Any) -> None:
        self.wire()
        super().submit_job(*args, **kwargs)
        self.wire()

    def reattach(self, *args: Any, **kwargs: Any) -> Any:
        self.wire()
        receipts = super().reattach(*args, **kwargs)
        self.wire()
        return receipts


class BlindShelf(Shelf):
    """A platform that finds nothing, as if nobody had asked."""

    def find(self, object: str, key_field: str, keys: Any, fields: Any) -> Any:
        return {key: () for key in keys}


KINDS: dict[str, dict[str, Any]] = {
    "enforced key": {},
    "stored reference": {"key_kind": KeyKind.reference, "promise": Promise.in_doubt_resolved_by_read_back},
    "refuses doubles": {"key_kind": KeyKind.upsert_key, "promise": Promise.in_doubt_resolved_by_read_back},
    "job": {"job_rows": 4},
}


@dataclass(frozen=True)
class Before:
    """How things stood before the run under test: made once, copied for each of its many repetitions."""

    folder: Path
    kind: str
    mode: Mode
    journal: bytes
    world: World


@cache
def before(kind: str, mode: Mode) -> Before:
    """One record of ours is there already and will change, one of somebody else's waits to be adopted."""
    folder = Path(tempfile.mkdtemp(prefix="tieout-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    firm = Firm(folder, CrashingJournal.in_memory(clock=ticking(), ids=counting()))
    firm.shelf = CrashingShelf(firm.world, batch=3, max_find=4, **KINDS[kind])
    firm.change(mode=mode)
    firm.desire([invoice("INV_0", "before")])
    firm.run()
    if mode is Mode.upsert:
        firm.world.records["old"] = {"@key": "", "@version": 0}
    rows = [invoice("INV_0", "before" if mode is Mode.create else "after")]
    rows += [invoice(f"INV_{n}") for n in range(1, 8)]
    rows += [invoice("INV_8", _target_id="old")] if mode is Mode.upsert else []
    firm.desire(rows)
    firm.world.log.clear()
    with firm.journal.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        return Before(folder, kind, mode, raw.serialize(), firm.world)


def story(kind: str, *, mode: Mode = Mode.upsert) -> Firm:
    """A firm about to make seven records, change one and adopt one."""
    made = before(kind, mode)
    numbers = itertools.count(1_000)
    journal = CrashingJournal.in_memory(clock=ticking(), ids=lambda: f"{next(numbers):012d}")
    with journal.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.rollback()
        raw.deserialize(made.journal)
    firm = Firm(made.folder, journal, world=replace_fault(made.world))
    firm.shelf = CrashingShelf(firm.world, batch=3, max_find=4, **KINDS[kind])
    firm.change(mode=mode)
    return firm


def replace_fault(world: World) -> World:
    """A deep copy that fails nowhere."""
    return replace(copy.deepcopy(replace(world, fault=no_fault)), fault=no_fault)


def no_fault(_step: str) -> None:
    return None


def wire_up(firm: Firm, wire: Callable[[], None]) -> None:
    assert isinstance(firm.journal, CrashingJournal)
    assert isinstance(firm.shelf, CrashingShelf)
    firm.journal.wire = firm.shelf.wire = wire


def whole(firm: Firm, *, adopted: bool = True) -> None:
    """The independent checker: the platform's own records and log against the model, and the journal against both."""
    keys = firm.world.by_key()
    expected = {f"INV_{n}" for n in range(9 if adopted else 8)}
    assert dict(keys) == dict.fromkeys(expected, 1), f"missing or double: {keys}"
    created = [key for what, key, _ in firm.world.log if what == "created"]
    assert sorted(created) == [f"INV_{n}" for n in range(1, 8)], created
    names = {r["@key"]: r["name"] for r in firm.world.records.values()}
    if adopted:
        assert names["INV_0"] == "after"
    sync = firm.syncs[0].name
    known = {key: record.target_id for (_, key), record in firm.journal.known(sync).items()}
    assert known == {record["@key"]: target_id for target_id, record in firm.world.records.items()}
    states = {state for (_, _, state) in firm.journal.counts(sync)}
    assert states <= {State.settled, State.superseded}, firm.journal.counts(sync)


def quiet(firm: Firm) -> None:
    """Ordinary runs until nothing is left to do; three must be enough once nothing fails any more."""
    firm.world.fault = no_fault
    for _ in range(3):
        report = firm.run()
        if report.ok and not report.planned and not report.mismatched:
            return
    pytest.fail(f"not quiet after three runs: {report}")


def every_crash(kind: str, mode: Mode) -> int:
    clean = story(kind, mode=mode)
    counted = Tripwire()
    wire_up(clean, counted)
    clean.run()
    whole(clean, adopted=mode is Mode.upsert)
    for step in range(1, counted.steps + 1):
        firm = story(kind, mode=mode)
        wire_up(firm, Tripwire(step))
        with pytest.raises(Crash):
            firm.run()
        wire_up(firm, lambda: None)
        quiet(firm)
        whole(firm, adopted=mode is Mode.upsert)
    return counted.steps


def every_fault(kind: str, fault: str) -> int:
    call = struck = 0
    while call == struck:
        call += 1
        firm = story(kind)
        numbers = itertools.count(1)
        hits: list[str] = []

        def once(step: str, call: int = call, numbers: Any = numbers, hits: list[str] = hits) -> str | None:
            if next(numbers) != call:
                return None
            hits.append(step)
            return fault

        firm.world.fault = once
        firm.run()
        struck += len(hits)
        quiet(firm)
        whole(firm)
    return struck


@pytest.mark.parametrize("kind", ["enforced key", "stored reference"])
def test_a_crash_at_any_step_leaves_nothing_double_and_nothing_missing(kind: str) -> None:
    assert every_crash(kind, Mode.upsert) > 20


@pytest.mark.parametrize("fault", ["reply_lost", "silent"])
def test_a_fault_in_any_call_leaves_nothing_double_and_nothing_missing(fault: str) -> None:
    assert every_fault("stored reference", fault) > 5


@pytest.mark.slow
@pytest.mark.parametrize("mode", [Mode.upsert, Mode.create])
@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_at_any_step_with_any_kind_of_target(kind: str, mode: Mode) -> None:
    assert every_crash(kind, mode) > 15


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fault", ["lost", "reply_lost", "wait", "not_sent", "retry", "ask", "html", "half", "silent", "twice"]
)
def test_any_fault_in_any_call_with_any_kind_of_target(kind: str, fault: str) -> None:
    assert every_fault(kind, fault) > 3


FAULTS = st.sampled_from(
    ["", "", "", "lost", "reply_lost", "wait", "not_sent", "retry", "half", "silent", "twice", "html", "crash"]
)


MIX = {
    "kind": st.sampled_from(sorted(KINDS)),
    "faults": st.lists(FAULTS, max_size=25),
    "crashes": st.lists(st.integers(1, 60), max_size=3),
}


def mixed(kind: str, faults: list[str], crashes: list[int]) -> None:
    firm = story(kind)
    script = iter(faults)

    def fault(_step: str) -> str | None:
        told = next(script, "")
        if told == "crash":
            raise Crash
        return told or None

    firm.world.fault = fault
    for at in [*crashes, None]:
        wire_up(firm, Tripwire(at))
        with contextlib.suppress(Crash):
            firm.run()
    wire_up(firm, lambda: None)
    quiet(firm)
    whole(firm)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**MIX)
def test_no_mix_of_faults_and_crashes_doubles_or_loses_a_record(
    kind: str, faults: list[str], crashes: list[int]
) -> None:
    mixed(kind, faults, crashes)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**MIX)
def test_no_mix_out_of_a_thousand_doubles_or_loses_a_record(kind: str, faults: list[str], crashes: list[int]) -> None:
    mixed(kind, faults, crashes)


def test_an_engine_that_trusts_its_own_retry_would_be_found_out() -> None:
    """The harness can fail: with the read-back planted away, a lost reply leaves doubles."""
    firm = story("stored reference")
    firm.shelf = BlindShelf(firm.world, batch=3, max_find=4, **KINDS["stored reference"])
    faults = iter(["reply_lost"])
    firm.world.fault = lambda step: next(faults, None) if step == "write" else None
    firm.run(settle=False)
    with pytest.raises(AssertionError, match="missing or double"):
        whole(firm)
