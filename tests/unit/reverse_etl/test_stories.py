"""What happens to records that cannot simply be written: refused, parked, held, braked, adopted, found double."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from platforms.kit.errors import AskPerson
from reverse_etl.exceptions.desk import NoSuchException
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Journal
from reverse_etl.run import Engine
from reverse_etl.sync import Approval, Brakes, Mode, SyncSettings
from reverse_etl.targets.base import KeyKind, Promise
from tests.unit.reverse_etl.conftest import COLUMNS, INVOICE, Firm, invoice
from tests.unit.reverse_etl.shelf import Shelf, World

# -- refused ----------------------------------------------------------------------------------


def test_one_bad_record_never_stops_the_batch(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(5)])
    firm.world.refuse["INV_2"] = "PO number is required"
    report = firm.run()
    assert (report.created, report.refused, report.open_exceptions) == (4, 1, 1)
    (case,) = firm.engine().desk.find()
    assert (case.key, case.kind, case.owner, case.reason) == ("INV_2", "refused", "finance", "PO number is required")
    assert '"money.total":["' in (case.diff_json or "") or '"money.total":[null,"10.50"]' in (case.diff_json or "")


def test_a_refused_record_is_not_sent_again_while_it_is_unchanged(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.world.refuse["INV_1"] = "closed"
    firm.run()
    calls = firm.world.writes
    for _ in range(3):
        report = firm.run()
    assert (firm.world.writes, report.refused, report.planned) == (calls, 1, 0)
    plan = firm.engine().plan().syncs[0]
    assert plan.actions == {"refused": 1}


def test_a_changed_source_sends_a_refused_record_again_and_closes_its_exception(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.world.refuse["INV_1"] = "name is taken"
    firm.run()
    firm.world.refuse.clear()
    firm.desire([invoice("INV_1", "Acme Ltd")])
    report = firm.run()
    assert (report.created, report.refused, report.open_exceptions) == (1, 0, 0)
    (case,) = firm.engine().desk.find(closed=True)
    assert case.decision == "source changed"


def test_a_person_may_retry_and_success_closes_the_exception(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.world.refuse["INV_1"] = "period is closed"
    firm.run()
    firm.world.refuse.clear()
    desk = firm.engine().desk
    (case,) = desk.find()
    assert desk.retry(case.exception_id, actor="ann") == 1
    assert firm.run().created == 1
    assert [c.decision for c in desk.find(closed=True)] == ["retried"]


def test_ignoring_needs_a_reason_and_is_kept(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.world.refuse["INV_1"] = "no"
    firm.run()
    desk = firm.engine().desk
    (case,) = desk.find()
    with pytest.raises(ValueError, match="needs a reason"):
        desk.ignore(case.exception_id, actor="ann", reason=" ")
    desk.ignore(case.exception_id, actor="ann", reason="billed by hand")
    assert firm.run().open_exceptions == 0
    (closed,) = desk.find(closed=True)
    assert (closed.decision, closed.decided_by, closed.note) == ("ignored", "ann", "billed by hand")
    with pytest.raises(NoSuchException):
        desk.resolve(case.exception_id, actor="ann")


def test_the_same_cause_is_grouped_and_retried_at_once(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(4)])
    for n in range(3):
        firm.world.refuse[f"INV_{n}"] = f"customer 'C{n}' is inactive since 2026-01-0{n + 1}"
    firm.world.refuse["INV_3"] = "no such currency"
    firm.run()
    desk = firm.engine().desk
    first, second = desk.groups()
    assert (first.count, second.count) == (3, 1)
    desk.assign(desk.find()[0].exception_id, "ben", actor="ann")
    assert [c.owner for c in desk.find(owner="ben")] == ["ben"]
    firm.world.refuse.clear()
    assert desk.retry_cause(first.sync, first.cause, actor="ann") == 3
    assert firm.run().created == 3


def test_a_call_refused_as_a_whole_is_halved_until_the_culprit_is_alone(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(8)])
    firm.world.refuse["INV_5"] = "wrong"
    firm.world.fault = lambda step: "refuse" if step == "write" else None
    report = firm.run()
    assert (report.created, report.refused) == (7, 1)
    assert set(firm.world.by_key().values()) == {1}


# -- the connection ----------------------------------------------------------------------------------


def test_wrong_credentials_stop_the_connection_and_lose_nothing(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(25)])
    firm.world.fault = lambda step: "ask" if step == "write" else None
    report = firm.run()
    assert (firm.world.writes, report.pending, report.ok) == (1, 25, False)
    assert "revoked" in report.troubles[0]
    assert [c.kind for c in firm.engine().desk.find()] == ["connection"]
    firm.world.fault = lambda step: None
    report = firm.run()
    assert (report.created, report.open_exceptions, report.ok) == (25, 0, True)


def test_a_connection_that_cannot_be_made_does_not_stop_another(firm: Firm) -> None:
    other = Shelf(World(), connection="other")
    firm.desire([invoice("INV_1"), invoice("INV_2", _connection="other")])

    def targets(connection: str, platform: str) -> Shelf:
        if connection == "shelf":
            raise AskPerson("CONNECTIONS__SHELF__TOKEN is not set")
        return other

    engine = Engine(journal=firm.journal, snapshot=firm.snapshot, targets=targets, syncs=firm.syncs)
    report = engine.apply().syncs[0]
    assert (report.created, report.pending) == (1, 1)
    assert list(other.world.by_key()) == ["INV_2"]


def test_an_unreachable_platform_is_given_up_after_some_patience(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(25)])
    firm.world.fault = lambda step: "not_sent" if step == "write" else None
    report = firm.run()
    assert (firm.world.writes, len(firm.slept), report.pending) == (4, 3, 25)


def test_row_errors_that_may_pass_are_tried_again_within_bounds(firm: Firm) -> None:
    firm.desire([invoice(f"INV_{n}") for n in range(4)])
    firm.world.fault = lambda step: "half" if step == "write" else None
    report = firm.run()
    assert report.created + report.pending == 4
    attempts = [e.attempts for e in firm.journal.entries_by(state=State.pending)]
    assert all(n <= 4 for n in attempts)
    firm.world.fault = lambda step: None
    assert firm.run().pending == 0


# -- parked ----------------------------------------------------------------------------------

LINE_COLUMNS = {**COLUMNS, "invoice_key": "varchar", "parent_key": "varchar"}
LINE = replace(
    INVOICE,
    name="sync_shelf__line",
    object="line",
    table="sync_shelf__line",
    fields={"name": "name", "invoice_key": "invoice", "parent_key": "parent"},
    references={"invoice_key": INVOICE.name, "parent_key": "sync_shelf__line"},
    optional_references=frozenset(),
    amount_column=None,
    currency_column=None,
)


def lines(firm: Firm, rows: list[dict[str, object]]) -> None:
    firm.desire(rows, table=LINE.table, columns=LINE_COLUMNS)


def test_a_record_waits_for_what_it_refers_to_and_is_released_by_itself(firm: Firm) -> None:
    firm.syncs = (LINE, INVOICE)
    firm.desire([])
    lines(firm, [invoice("L1", invoice_key="INV_1")])
    order = [s.name for s in firm.engine().all_syncs]
    assert order == [INVOICE.name, LINE.name]
    second = firm.engine().apply().syncs[1]
    assert (second.parked, second.created, second.ok) == (1, 0, True)
    (entry,) = firm.journal.entries_by(key="L1")
    assert entry.reason == f"waits for invoice: {INVOICE.name} INV_1 is not there yet"
    firm.desire([invoice("INV_1")])
    first, second = firm.engine().apply().syncs
    assert (first.created, second.created, second.parked) == (1, 1, 0)
    target = firm.journal.known(INVOICE.name)["shelf", "INV_1"].target_id
    (record,) = [r for r in firm.world.records.values() if r["@key"] == "L1"]
    assert record["invoice"] == target


def test_a_tree_of_records_is_made_from_the_root_down_in_one_run(firm: Firm) -> None:
    firm.syncs = (replace(LINE, references={"parent_key": LINE.name}),)
    lines(
        firm,
        [invoice("L1", parent_key="L2"), invoice("L2", parent_key="L3"), invoice("L3"), invoice("L4", parent_key="L1")],
    )
    report = firm.run()
    assert (report.created, report.parked) == (4, 0)
    assert [key for _, key, _ in firm.world.log] == ["L3", "L2", "L1", "L4"]
    assert firm.slept == []


def test_an_optional_reference_is_left_out_and_filled_in_later(firm: Firm) -> None:
    firm.syncs = (replace(LINE, optional_references=frozenset({"invoice_key"})), INVOICE)
    firm.desire([])
    lines(firm, [invoice("L1", invoice_key="INV_1")])
    assert firm.engine().apply().syncs[1].created == 1
    (record,) = firm.world.records.values()
    assert "invoice" not in record
    firm.desire([invoice("INV_1")])
    assert firm.engine().apply().syncs[1].updated == 1
    assert record["invoice"].startswith("id")
    assert firm.engine().apply().syncs[1].planned == 0


# -- held ----------------------------------------------------------------------------------


def test_a_row_with_a_hold_reason_is_counted_and_never_sent(firm: Firm) -> None:
    firm.desire([invoice("INV_1", _hold_reason="customer is locked"), invoice("INV_2")])
    report = firm.run()
    assert (report.created, report.held, report.open_exceptions) == (1, 1, 0)
    assert firm.engine().desk.approve(INVOICE.name, actor="ann") == 0, "the model holds it; nobody can approve that"
    firm.desire([invoice("INV_1"), invoice("INV_2")])
    report = firm.run()
    assert (report.created, report.held) == (1, 0)


def test_a_hold_that_appears_stops_an_entry_that_was_waiting(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.world.fault = lambda step: "wait" if step == "write" else None
    assert firm.run().pending == 1
    firm.world.fault = lambda step: None
    firm.desire([invoice("INV_1", _hold_reason="disputed")])
    report = firm.run()
    assert (report.held, report.pending, report.created) == (1, 0, 0)


def test_with_approval_always_nothing_leaves_until_a_person_says_so(firm: Firm) -> None:
    firm.change(approval=Approval.always)
    firm.desire([invoice("INV_1"), invoice("INV_2")])
    assert (firm.run().held, firm.world.writes) == (2, 0)
    held = firm.journal.entries_by(state=State.held)
    assert firm.engine().desk.approve(INVOICE.name, actor="ann", entry_ids=[held[0].entry_id]) == 1
    report = firm.run()
    assert (report.created, report.held) == (1, 1)
    firm.desire([invoice("INV_1"), invoice("INV_2", "other")])
    assert firm.run().held == 1
    assert firm.journal.entries_by(state=State.superseded)[0].key == "INV_2"


@pytest.mark.parametrize(
    ("brakes", "told"),
    [
        (Brakes(max_changes=3), "4 changes are more than max_changes 3"),
        (Brakes(max_creates=3), "4 creates are more than max_creates 3"),
        (Brakes(max_amount=Decimal(42) - Decimal("0.01")), "42 EUR in one plan is more than max_amount 41.99"),
    ],
)
def test_a_brake_holds_the_whole_sync_until_approved(firm: Firm, brakes: Brakes, told: str) -> None:
    firm.change(brakes=brakes)
    firm.desire([invoice(f"INV_{n}") for n in range(4)])
    report = firm.run()
    assert (report.held, firm.world.writes, report.planned) == (4, 0, 0)
    assert told in (report.brake or "")
    assert firm.run().held == 4
    assert firm.engine().desk.approve(INVOICE.name, actor="ann") == 4
    report = firm.run()
    assert (report.created, report.brake) == (4, None)


def test_a_brake_that_is_loosened_lets_go_by_itself(firm: Firm) -> None:
    firm.change(brakes=Brakes(max_changes=3))
    firm.desire([invoice(f"INV_{n}") for n in range(4)])
    firm.run()
    firm.change(brakes=Brakes(max_changes=4))
    assert firm.run().created == 4


def test_the_change_ratio_is_asked_only_of_what_is_known_already(firm: Firm) -> None:
    firm.change(brakes=Brakes(max_change_ratio=Decimal("0.5"), min_known=4))
    firm.desire([invoice(f"INV_{n}") for n in range(4)])
    assert firm.run().created == 4, "a first run knows nothing and changes everything"
    firm.desire([invoice(f"INV_{n}", "new" if n < 3 else "Acme") for n in range(4)])
    assert "3 updates of 4 known records are 75%" in (firm.run().brake or "")
    firm.desire([invoice(f"INV_{n}", "new" if n < 2 else "Acme") for n in range(4)])
    assert firm.run().updated == 2, "exactly the limit passes"


# -- modes, adoption, doubles ----------------------------------------------------------------------------------


def test_create_only_once_and_hold_what_changes_afterwards(firm: Firm) -> None:
    firm.change(mode=Mode.create)
    firm.desire([invoice("INV_1")])
    assert firm.run().created == 1
    firm.desire([invoice("INV_1", total="99.00")])
    report = firm.run()
    assert (report.held, report.updated, len(firm.world.log)) == (1, 0, 1)
    firm.desire([invoice("INV_1")])
    assert firm.run().held == 0


def test_create_mode_never_overwrites_a_record_found_under_its_key(firm: Firm) -> None:
    firm.change(mode=Mode.create)
    firm.world.records["posted"] = {"@key": "INV_1", "@version": 3, "name": "Acme", "money.total": Decimal("8.00")}
    firm.desire([invoice("INV_1")])
    report = firm.run()
    assert firm.world.log == []
    assert (report.drifted, report.settled, report.mismatched, report.open_exceptions) == (1, 1, 0, 1)
    assert firm.journal.known(INVOICE.name)["shelf", "INV_1"].target_id == "posted"


def test_update_mode_uses_the_key_as_the_target_id_and_creates_nothing(firm: Firm) -> None:
    firm.change(mode=Mode.update, key_field="")
    firm.world.records["006A"] = {"@key": "", "@version": 1}
    firm.desire([invoice("006A"), invoice("006B")])
    report = firm.run()
    assert (report.updated, report.refused, report.created) == (1, 1, 0)
    assert firm.world.records["006A"]["money.total"] == Decimal("10.50")
    assert firm.run().planned == 0


def test_an_existing_record_is_adopted_and_gets_our_key(firm: Firm) -> None:
    firm.world.records["old"] = {"@key": "", "@version": 1, "name": "ACME"}
    firm.desire([invoice("INV_1", _target_id="old")])
    report = firm.run()
    assert (report.updated, report.created) == (1, 0)
    assert (firm.world.records["old"]["@key"], firm.world.records["old"]["name"]) == ("INV_1", "Acme")
    assert firm.run().planned == 0
    firm.desire([invoice("INV_1", _target_id="another")])
    firm.run()
    (held,) = firm.journal.entries_by(state=State.held)
    assert held.reason == "linked to old, but the model now says another"


def test_a_lost_journal_does_not_double_what_is_there(firm: Firm) -> None:
    firm.shelf = Shelf(firm.world, key_kind=KeyKind.reference, promise=Promise.in_doubt_resolved_by_read_back)
    firm.world.records["kept"] = {"@key": "INV_1", "@version": 1, "name": "Acme"}
    firm.desire([invoice("INV_1"), invoice("INV_2")])
    report = firm.run()
    assert dict(firm.world.by_key()) == {"INV_1": 1, "INV_2": 1}
    assert (report.created, report.updated) == (1, 1)


def test_two_records_with_one_key_are_a_question_for_a_person(firm: Firm) -> None:
    firm.shelf = Shelf(firm.world, key_kind=KeyKind.reference, promise=Promise.in_doubt_resolved_by_read_back)
    for name in ("a", "b"):
        firm.world.records[name] = {"@key": "INV_1", "@version": 1}
    firm.desire([invoice("INV_1")])
    report = firm.run()
    assert (report.refused, firm.world.log) == (1, [])
    (case,) = firm.engine().desk.find()
    assert (case.kind, case.reason) == ("duplicate", "2 records carry the key INV_1: a, b")


def test_create_only_fields_are_sent_once_and_never_compared(firm: Firm) -> None:
    firm.change(create_only=frozenset({"due_on"}))
    firm.desire([invoice("INV_1")])
    firm.run()
    firm.desire([invoice("INV_1", due_on="2027-01-01")])
    assert firm.run().planned == 0
    firm.desire([invoice("INV_1", "new", due_on="2027-01-01")])
    firm.run()
    (record,) = firm.world.records.values()
    assert str(record["dueDate"]) == "2026-02-01"


def test_a_record_no_longer_desired_is_left_alone_and_counted(firm: Firm) -> None:
    firm.desire([invoice("INV_1"), invoice("INV_2")])
    firm.run()
    firm.desire([invoice("INV_1")])
    report = firm.run()
    assert (report.retired, report.planned, len(firm.world.records)) == (1, 0, 2)


def test_an_entry_whose_record_left_the_model_is_never_sent(firm: Firm) -> None:
    firm.desire([invoice("INV_1"), invoice("INV_2")])
    firm.world.fault = lambda step: "wait" if step == "write" else None
    firm.run()
    firm.world.fault = lambda step: None
    firm.desire([invoice("INV_2")])
    report = firm.run()
    assert (report.created, report.pending) == (1, 0)
    assert list(firm.world.by_key()) == ["INV_2"]


# -- settle ----------------------------------------------------------------------------------


def test_a_read_back_that_differs_is_told_and_closes_when_it_agrees_again(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.run(settle=False)
    (record,) = firm.world.records.values()
    record["money.total"] = Decimal("10.51")
    report = firm.run()
    assert (report.mismatched, report.settled) == (1, 0)
    (case,) = firm.engine().desk.find()
    assert case.reason == "record id1 differs from what was sent: money.total: sent 10.50, there is 10.51"
    record["money.total"] = Decimal("10.5")
    report = firm.run()
    assert (report.settled, report.open_exceptions) == (1, 0)


def test_what_accounting_corrected_after_we_made_it_is_drift_is_shown_and_stays(firm: Firm) -> None:
    firm.change(mode=Mode.create)
    firm.desire([invoice("INV_1")])
    firm.run(settle=False)
    (record,) = firm.world.records.values()
    record.update({"name": "Acme Holding", "@version": 2})
    report = firm.run()
    assert (report.drifted, report.settled, report.mismatched, report.ok) == (1, 1, 0, True)
    assert record["name"] == "Acme Holding"
    (case,) = firm.engine().desk.find()
    assert (case.kind, case.diff_json) == ("drift", '{"name":["Acme","Acme Holding"]}')
    assert case.reason.startswith("record id1 differs from what was sent: name: sent Acme, there is Acme Holding. ")
    assert "It was written 2026-01-05T09:00:" in case.reason
    assert "there it was changed 2, read 2026-01-05T09:00:" in case.reason
    (event,) = firm.engine().explain("INV_1").events
    assert event["kind"] == "drift"
    assert '"sent_and_there":{"name":["Acme","Acme Holding"]}' in event["detail_json"]
    reads = firm.world.reads
    assert (firm.run().drifted, firm.world.reads) == (0, reads), "it is settled and not looked at again"
    firm.engine().desk.resolve(case.exception_id, actor="ann")
    assert firm.run().open_exceptions == 0


def test_a_platform_that_never_kept_what_was_sent_is_no_drift_but_a_mismatch(firm: Firm) -> None:
    firm.change(mode=Mode.create)
    firm.desire([invoice("INV_1")])
    firm.run(settle=False)
    (record,) = firm.world.records.values()
    record["name"] = "ACME"
    for _ in range(2):
        report = firm.run()
        assert (report.mismatched, report.drifted, report.settled) == (1, 0, 0)
    record.update({"name": "Acme, as finance says", "@version": 2})
    report = firm.run()
    assert (report.mismatched, report.drifted, report.settled) == (0, 1, 1)
    assert [c.kind for c in firm.engine().desk.find()] == ["drift"]
    assert [c.decision for c in firm.engine().desk.find(closed=True)] == ["settled"]


@pytest.mark.parametrize("mode", [Mode.create, Mode.upsert])
def test_a_difference_that_a_person_accepted_settles_and_is_not_told_again(firm: Firm, mode: Mode) -> None:
    firm.change(mode=mode)
    firm.desire([invoice("INV_1")])
    firm.run(settle=False)
    (record,) = firm.world.records.values()
    record["name"] = "ACME"
    firm.run()
    (case,) = firm.engine().desk.find()
    firm.engine().desk.ignore(case.exception_id, actor="ann", reason="the ledger writes it so")
    report = firm.run()
    assert (report.mismatched, report.settled, report.open_exceptions) == (0, 1, 0)
    (entry,) = firm.journal.entries_by(key="INV_1")
    assert (entry.reason or "").endswith("accepted (ignored) by ann: the ledger writes it so")


def test_an_accepted_difference_that_becomes_another_is_told_anew(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.run(settle=False)
    (record,) = firm.world.records.values()
    record["name"] = "ACME"
    firm.run()
    (case,) = firm.engine().desk.find()
    firm.engine().desk.ignore(case.exception_id, actor="ann", reason="fine")
    record["name"] = "Apex"
    assert (firm.run().mismatched, [c.kind for c in firm.engine().desk.find()]) == (1, ["mismatch"])


def test_a_confirmed_record_that_cannot_be_found_is_told(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.run(settle=False)
    firm.world.records.clear()
    assert firm.run().mismatched == 1
    assert [c.kind for c in firm.engine().desk.find()] == ["missing"]


def test_a_search_that_lags_is_waited_for(firm: Firm) -> None:
    firm.shelf = Shelf(firm.world, lag=3.0, key_kind=KeyKind.reference, promise=Promise.in_doubt_resolved_by_read_back)
    firm.desire([invoice("INV_1")])
    faults = iter(["reply_lost"])

    def fault(step: str) -> str | None:
        if step == "write" and (told := next(faults, None)):
            firm.world.hidden = 1
            return told
        return None

    firm.world.fault = fault
    report = firm.run()
    assert (dict(firm.world.by_key()), firm.slept, report.confirmed_by_read_back) == ({"INV_1": 1}, [3.0], 1)


# -- jobs, lanes, connections ----------------------------------------------------------------------------------


def test_a_job_left_running_is_asked_again_and_never_uploaded_twice(firm: Firm) -> None:
    firm.shelf = Shelf(firm.world, job_rows=5)
    firm.desire([invoice(f"INV_{n}") for n in range(9)])
    firm.world.fault = lambda step: "running" if step == "reattach" else None
    report = firm.run()
    assert (report.uncertain, report.ok) == (9, False)
    assert "still running" in report.troubles[0]
    writes = firm.world.writes
    firm.world.fault = lambda step: None
    report = firm.run()
    assert (firm.world.writes, report.created, report.ok) == (writes, 9, True)


def test_several_lanes_and_connections_write_each_record_once(firm: Firm) -> None:
    firm.shelf = Shelf(firm.world, lanes=3, batch=2)
    other = World()
    firm.others["other"] = Shelf(other, connection="other", lanes=2, batch=2)
    firm.desire([invoice(f"INV_{n}", _connection="other" if n % 3 else "shelf") for n in range(60)])
    report = firm.run()
    assert (report.created, report.settled, report.calls_used, report.calls_floor) == (60, 60, 30, 30)
    assert set((firm.world.by_key() + other.by_key()).values()) == {1}


def test_a_full_batch_is_kept_full_although_rows_in_between_are_parked(firm: Firm) -> None:
    firm.syncs = (replace(LINE, references={"invoice_key": INVOICE.name}), INVOICE)
    firm.desire([])
    lines(firm, [invoice(f"L{n:02}", invoice_key="nowhere" if n % 2 else None) for n in range(40)])
    report = firm.engine().apply().syncs[1]
    assert (report.created, report.parked, report.calls_used, report.calls_floor) == (20, 20, 2, 2)


# -- explain ----------------------------------------------------------------------------------


def test_explain_leads_from_a_record_to_its_sources_and_attempts(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    faults = iter(["lost"])
    firm.world.fault = lambda step: next(faults, None) if step == "write" else None
    firm.run()
    engine = firm.engine()
    target_id = firm.journal.known(INVOICE.name)["shelf", "INV_1"].target_id
    (entry,) = firm.journal.entries_by(key="INV_1")
    for ref in (target_id, "INV_1", entry.entry_id, "crm:deal:INV_1@7"):
        trail = engine.explain(ref)
        assert trail.source_refs == ("crm:deal:INV_1@7",)
        assert [a["outcome"] for a in trail.attempts] == ["uncertain", "done"]
        assert trail.known_records[0]["target_id"] == target_id
    assert "attempt 2: done" in engine.explain("INV_1").to_text()
    assert '"source_refs":["crm:deal:INV_1@7"]' in engine.explain("INV_1").to_json()
    assert engine.explain("nobody").to_text() == "nothing is known of 'nobody'"


def test_the_report_has_numbers_money_and_a_frame(firm: Firm) -> None:
    firm.desire([invoice("INV_1"), invoice("INV_2", total="0.10", currency="USD")])
    report = firm.run()
    assert report.amounts == {"EUR": Decimal("10.50"), "USD": Decimal("0.10")}
    frame = report.frame()
    assert list(frame["key"]) == ["INV_1", "INV_2"]
    assert frame["link"][0].startswith("https://shelf.example/invoice/id")
    assert '"amounts":{"EUR":"10.5' in report.to_json()


def test_settings_are_values() -> None:
    assert isinstance(INVOICE, SyncSettings)
    assert replace(INVOICE) == INVOICE


def test_a_record_that_carries_our_key_already_is_taken_over_without_a_call(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    firm.run()
    (made,) = firm.world.records
    firm.journal = Journal.in_memory()
    firm.desire([invoice("INV_1", _target_id=made)])
    report = firm.run()
    assert (report.calls_used, report.confirmed_by_read_back, report.created, report.updated) == (0, 1, 0, 0)
    assert firm.run().planned == 0


def test_what_others_made_only_gets_our_key_from_a_sync_that_creates(firm: Firm) -> None:
    firm.change(mode=Mode.create)
    firm.world.records["old"] = {"@key": "", "@version": 1, "name": "ACME, as finance spells it"}
    firm.desire([invoice("INV_1", _target_id="old")])
    firm.run()
    assert firm.world.records["old"]["@key"] == "INV_1"
    assert firm.world.records["old"]["name"] == "ACME, as finance spells it"


def test_taking_over_is_refused_when_another_record_carries_the_key(firm: Firm) -> None:
    firm.world.records["old"] = {"@key": "", "@version": 1, "name": "ACME"}
    firm.world.records["other"] = {"@key": "INV_1", "@version": 1, "name": "Acme"}
    firm.desire([invoice("INV_1", _target_id="old")])
    report = firm.run()
    assert (report.refused, report.calls_used) == (1, 0)
    (case,) = firm.engine().desk.find()
    assert "carried by other" in case.reason
