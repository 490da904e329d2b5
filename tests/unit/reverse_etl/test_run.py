"""From a model to the platform and back: what a run writes, and what it does not write twice."""

from __future__ import annotations

from tests.unit.reverse_etl.conftest import Firm, invoice


def test_a_first_run_creates_and_settles_every_record(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(23)])
    report = firm.run()
    assert (report.created, report.settled, report.pending, report.uncertain) == (23, 23, 0, 0)
    assert (report.calls_used, report.calls_floor, report.calls_ratio) == (3, 3, 1)
    assert str(report.amounts["EUR"]) == "241.5000000000" or report.amounts["EUR"] == 241.5
    assert set(firm.world.by_key().values()) == {1}
    assert report.ok, report


def test_a_second_run_with_nothing_changed_makes_no_call_at_all(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(23)])
    firm.run()
    before = (firm.world.reads, firm.world.writes, firm.journal.revision("sync_shelf__invoice"))
    report = firm.run()
    assert (firm.world.reads, firm.world.writes, firm.journal.revision("sync_shelf__invoice")) == before
    assert (report.planned, report.unchanged, report.created) == (0, 23, 0)


def test_an_update_sends_only_the_fields_that_changed(firm: Firm) -> None:
    firm.desire([invoice("INV_1"), invoice("INV_2")])
    firm.run()
    firm.desire([invoice("INV_1", total="10.51"), invoice("INV_2")])
    report = firm.run()
    assert (report.updated, report.unchanged) == (1, 1)
    (entry,) = [e for e in firm.journal.entries_by(key="INV_1") if e.verb == "update"]
    assert (entry.fields_json, entry.before_json) == ('{"money.total":"10.51"}', '{"money.total":"10.50"}')


def test_a_lost_answer_is_read_back_before_it_is_sent_again(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(10)])
    faults = iter(["reply_lost"])
    firm.world.fault = lambda step: next(faults, None) if step == "write" else None
    report = firm.run()
    assert (firm.world.writes, report.created, report.confirmed_by_read_back) == (1, 10, 10)
    assert [what for what, _, _ in firm.world.log] == ["created"] * 10
