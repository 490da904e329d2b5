"""Traps that other tools of this kind have walked into, each as a test that ours does not."""

from __future__ import annotations

import pytest

from reverse_etl.journal.states import State
from tests.unit.reverse_etl.conftest import INVOICE, Firm, invoice
from tests.unit.reverse_etl.test_exactly_one import Crash


def test_nothing_is_remembered_as_written_before_it_is_confirmed(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.world.fault = lambda step: "wait" if step == "write" else None
    report = firm.run()
    assert (firm.journal.known(INVOICE.name), report.ok) == ({}, False)
    firm.world.fault = lambda step: None
    assert firm.run().created == 1


def test_a_run_in_which_every_row_fails_is_not_a_success_without_numbers(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(10)])
    firm.world.refuse = {f"INV_{n}": "no" for n in range(10)}
    report = firm.run()
    assert (report.created, report.refused, report.open_exceptions) == (0, 10, 10)


def test_a_row_the_answer_does_not_mention_is_in_doubt_and_looked_for(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(4)])
    faults = iter(["silent"])
    firm.world.fault = lambda step: next(faults, None) if step == "write" else None
    report = firm.run()
    assert (report.created, report.confirmed_by_read_back, len(firm.world.log)) == (4, 2, 4)


def test_statuses_are_kept_batch_by_batch_so_that_a_crash_repeats_none(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n:02}") for n in range(30)])
    calls = iter(range(10))

    def third(step: str) -> None:
        if step == "write" and next(calls) == 2:
            raise Crash

    firm.world.fault = third
    with pytest.raises(Crash):
        firm.run()
    assert len(firm.journal.known(INVOICE.name)) == 20
    firm.world.fault = lambda step: None
    firm.run()
    assert [what for what, _, _ in firm.world.log] == ["created"] * 30


def test_a_later_value_of_a_delivered_record_is_sent(firm: Firm) -> None:
    for total in ("1.00", "2.00", "1.00"):
        firm.desire([invoice("INV_1", total=total)])
        firm.run()
    assert [what for what, _, _ in firm.world.log] == ["created", "updated", "updated"]


def test_emptying_a_field_is_a_change_and_reaches_the_platform(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.run()
    firm.desire([invoice("INV_1", "")])
    report = firm.run()
    (record,) = firm.world.records.values()
    assert (report.updated, record["name"]) == (1, None)


def test_after_the_last_try_of_a_run_the_next_run_goes_on_without_a_person(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.world.fault = lambda step: "retry" if step == "write" else None
    for _ in range(3):
        assert firm.run().pending == 1
    firm.world.fault = lambda step: None
    assert firm.run().created == 1
    assert firm.journal.entries_by(key="INV_1")[0].state is State.settled
