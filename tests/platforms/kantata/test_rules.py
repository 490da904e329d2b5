"""The vendor's rules: rates, submissions, invoices, payments, locks, references, custom fields."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platforms.kantata.sandbox.rules.hours import line_amount
from platforms.kantata.sandbox.service import Service, open_service
from platforms.kit.sandbox.service import Refusal
from tests.platforms.kantata.firm import Firm, build_firm


def refused(call: Any, *args: Any, **kwargs: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call(*args, **kwargs)
    return caught.value


# ---- rates ----------------------------------------------------------------------------------------------------------


def test_an_hour_takes_the_rate_of_the_card_version_in_force_on_its_work_date(firm: Firm) -> None:
    old, new = firm.hours(60, date_performed="2025-12-31"), firm.hours(60, date_performed="2026-01-01")
    assert firm.service.get("time_entry", old[0])["rate_in_cents"] == 12_000
    assert firm.service.get("time_entry", new[0])["rate_in_cents"] == 13_100


def test_a_role_without_a_row_takes_the_default_rate_of_the_card(firm: Firm) -> None:
    other = firm.service.insert("role", {"name": "Architect"})
    id = firm.service.insert("time_entry", firm.hour(role_id=other))
    assert firm.service.get("time_entry", id)["rate_in_cents"] == 11_100


def test_the_rate_of_a_person_in_the_project_beats_the_card_and_a_rate_sent_beats_both(firm: Firm) -> None:
    member = next(firm.service.rows("participations", "user_id = ?", (int(firm.worker),)))
    firm.service.update("participation", member["id"], {"rate_in_cents": 20_000})
    mine = firm.service.insert("time_entry", firm.hour())
    sent = firm.service.insert("time_entry", firm.hour(rate_in_cents=5_000))
    assert firm.service.get("time_entry", mine)["rate_in_cents"] == 20_000
    assert firm.service.get("time_entry", sent)["rate_in_cents"] == 5_000


def test_a_version_that_is_not_activated_changes_no_rate(firm: Firm) -> None:
    card_set = next(firm.service.rows("rate_card_sets"))["id"]
    version = firm.service.insert(
        "rate_card_set_version", {"rate_card_set_id": card_set, "effective_date": "2026-01-02"}
    )
    prices = firm.service.insert(
        "rate_card_version", {"rate_card_id": firm.card, "rate_card_set_version_id": version, "default_rate": 1}
    )
    firm.service.insert("rate_card_role", {"rate_card_version_id": prices, "role_id": firm.role, "rate": 1})
    before = firm.service.insert("time_entry", firm.hour())
    firm.service.act("rate_card_set_version.activate", version)
    after = firm.service.insert("time_entry", firm.hour())
    assert firm.service.get("time_entry", before)["rate_in_cents"] == 13_100
    assert firm.service.get("time_entry", after)["rate_in_cents"] == 1


def test_the_currency_of_a_project_is_its_cards_and_another_card_must_have_it(firm: Firm) -> None:
    card_set = next(firm.service.rows("rate_card_sets"))["id"]
    euro = firm.service.insert("rate_card", {"rate_card_set_id": card_set, "currency": "EUR"})
    made = firm.service.insert("workspace", {"title": "Euro", "currency": "USD", "rate_card_id": euro})
    assert firm.service.get("workspace", made)["currency"] == "EUR"
    assert "currency" in refused(firm.service.update, "workspace", firm.workspace, {"rate_card_id": euro}).message


# ---- hours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"workspace_id": 999}, "workspace_id"),
        ({"time_in_minutes": 0}, "time_in_minutes"),
        ({"time_in_minutes": 1441}, "time_in_minutes"),
        ({"date_performed": "2026-13-01"}, "date_performed"),
        ({"user_id": 1, "workspace_id": None}, "workspace_id"),
        ({"story_id": 999}, "story_id"),
    ],
)
def test_an_impossible_hour_is_refused_with_its_field(firm: Firm, change: dict[str, Any], field: str) -> None:
    assert field in refused(firm.service.insert, "time_entry", firm.hour(**change)).fields
    if "workspace_id" not in change:
        assert field in refused(firm.service.insert_many, "time_entries", [firm.hour(**change)]).fields


def test_who_is_no_member_of_the_project_logs_no_time_on_it(firm: Firm) -> None:
    stranger = firm.service.insert("user", {"full_name": "S", "email_address": "s@firm.example"})
    assert refused(firm.service.insert, "time_entry", firm.hour(user_id=stranger)).fields == ("user_id",)


def test_many_hours_at_once_are_the_same_as_one_by_one(firm: Firm) -> None:
    wanted = [firm.hour(time_in_minutes=m, notes=f"n{m}", story_id=firm.story) for m in (15, 30, 45)]
    one_by_one = [firm.service.insert("time_entry", values) for values in wanted]
    at_once = firm.service.insert_many("time_entries", iter(wanted))
    own = {"id", "created_at", "updated_at"}
    for a, b in zip(one_by_one, at_once, strict=True):
        left, right = firm.service.get("time_entry", a), firm.service.get("time_entry", b)
        assert {k: v for k, v in left.items() if k not in own} == {k: v for k, v in right.items() if k not in own}
    created = [e for e in firm.service.rows("subscribed_events") if e["event_type"] == "time_entry:created"]
    assert [str(e["subject_id"]) for e in created] == [*one_by_one, *at_once]


def test_an_hour_that_waits_for_approval_is_frozen_and_free_again_after_a_rejection(firm: Firm) -> None:
    submission, ids = firm.sheet(60)
    assert "pending submission" in refused(firm.service.update, "time_entry", ids[0], {"notes": "x"}).message
    firm.service.act("timesheet.reject", submission, description="what for?")
    firm.service.update("time_entry", ids[0], {"notes": "for Acme"})
    again = firm.service.insert(
        "timesheet_submission", {"workspace_id": firm.workspace, "user_id": firm.worker, "line_item_ids": ids}
    )
    assert again != submission
    assert firm.service.get("time_entry", ids[0])["active_submission_id"] == again


def test_a_submission_has_one_project_one_person_and_only_open_lines(firm: Firm) -> None:
    other = firm.service.insert("workspace", {"title": "Other", "participations": [{"user_id": firm.worker}]})
    ids = [*firm.hours(60), firm.service.insert("time_entry", firm.hour(workspace_id=other))]
    values = {"workspace_id": firm.workspace, "user_id": firm.worker, "line_item_ids": ids}
    assert "one project" in refused(firm.service.insert, "timesheet_submission", values).message
    firm.service.insert("timesheet_submission", {**values, "line_item_ids": ids[:1]})
    taken = refused(firm.service.insert, "timesheet_submission", {**values, "line_item_ids": ids[:1]})
    assert "already part" in taken.message


def test_a_lock_is_a_saturday_later_than_the_last_and_nothing_unapproved_stays_before_it(firm: Firm) -> None:
    firm.hours(60, date_performed="2026-01-06")
    assert "Saturday" in refused(firm.service.act, "lock.create", locked_to="2026-01-09").message
    assert "unapproved" in refused(firm.service.act, "lock.create", locked_to="2026-01-10").message
    firm.service.act("lock.create", locked_to="2026-01-03")
    assert "after the current" in refused(firm.service.act, "lock.create", locked_to="2025-12-27").message
    assert "locked" in refused(firm.service.insert, "time_entry", firm.hour(date_performed="2026-01-02")).message
    firm.service.act("lock.move_back", locked_to="2025-12-27")
    firm.service.insert("time_entry", firm.hour(date_performed="2026-01-02"))


def test_an_expense_is_written_billable_and_converted_at_its_own_rate(firm: Firm) -> None:
    id = firm.service.insert(
        "expense",
        {
            "workspace_id": firm.workspace,
            "user_id": firm.worker,
            "date": "2026-01-06",
            "category": "Travel",
            "expense_category_id": firm.category,
            "billable": False,
            "amount_in_cents": 1,
            "foreign_exchange_amount": {"source_currency": "EUR", "source_value": "10.05", "rate": "1.1"},
        },
    )
    row = firm.service.get("expense", id)
    assert (row["is_billable"], row["amount_in_cents"]) == (False, 1106)  # 11.055, half up


# ---- invoices -------------------------------------------------------------------------------------------------------


def invoice(firm: Firm, **values: Any) -> str:
    return firm.service.insert("invoice", {"workspace_id": firm.workspace, "payment_schedule": 30, **values})


def test_hours_are_invoiced_only_when_approved_billable_and_once(firm: Firm) -> None:
    assert "approved" in refused(invoice, firm, time_entry_ids=firm.hours(60)).message
    assert "billable" in refused(invoice, firm, time_entry_ids=firm.approved(60, billable=False)).message
    ids = firm.approved(60, 30)
    invoice(firm, time_entry_ids=ids)
    assert "already" in refused(invoice, firm, time_entry_ids=ids).message


def test_an_invoice_needs_a_line_and_one_currency(firm: Firm) -> None:
    assert "at least one" in refused(invoice, firm).message
    other = firm.service.insert("workspace", {"title": "Pound", "currency": "GBP"})
    several = refused(
        firm.service.insert,
        "invoice",
        {
            "workspace_ids": [firm.workspace, other],
            "payment_schedule": 0,
            "additional_items": [{"notes": "x", "amount": 1}],
        },
    )
    assert "same currency" in several.message


def test_the_total_is_the_sum_of_rounded_lines_plus_tax_on_the_taxable_ones(firm: Firm) -> None:
    # 8.85 h at 65.50 twice: 579.675 each, so 1,159.36 and not the 1,159.35 of a rounded sum.
    ids = firm.approved(531, 531, rate_in_cents=6550)
    id = invoice(
        firm,
        time_entry_ids=ids,
        additional_items=[{"notes": "Licence", "amount": "10.05", "taxable": True}],
        tax_rate="10.0",
    )
    row = firm.service.get("invoice", id)
    assert row["balance_in_cents"] == 115_936 + 1_005 + 101
    assert (row["title"], row["due_date"]) == ("Invoice #00001", "2026-02-04")


def test_updating_replaces_the_lines_of_a_kind_and_never_leaves_an_invoice_empty(firm: Firm) -> None:
    first, second = firm.approved(60), firm.approved(30)
    id = invoice(firm, time_entry_ids=first)
    firm.service.update("invoice", id, {"time_entry_ids": second})
    assert firm.service.get("time_entry", first[0])["invoice_id"] is None
    assert firm.service.get("invoice", id)["balance_in_cents"] == 6_550
    assert "at least one" in refused(firm.service.update, "invoice", id, {"time_entry_ids": []}).message
    assert firm.service.get("time_entry", second[0])["invoice_id"] == id


def test_cancelling_frees_the_work_and_deleting_is_for_drafts(firm: Firm) -> None:
    ids = firm.approved(60)
    issued = invoice(firm, time_entry_ids=ids)
    assert "draft" in refused(firm.service.delete, "invoice", issued).message
    firm.service.act("invoice.cancel", issued)
    assert firm.service.get("time_entry", ids[0])["invoice_id"] is None
    draft = invoice(firm, time_entry_ids=ids, draft=True)
    assert firm.service.get("invoice", draft)["title"].startswith("Draft Invoice #")
    firm.service.delete("invoice", draft)
    invoice(firm, time_entry_ids=ids)


def test_a_payment_is_the_whole_invoice_once_and_the_total_stays(firm: Firm) -> None:
    id = invoice(firm, time_entry_ids=firm.approved(60))
    payment = {"workspace_id": firm.workspace, "invoice_id": id, "amount_in_cents": 1}
    paid = firm.service.insert("external_payment", payment)
    assert firm.service.get("external_payment", paid)["amount_in_cents"] == 13_100
    row = firm.service.get("invoice", id)
    assert (row["status"], row["balance_in_cents"]) == ("accepted payment", 13_100)
    assert refused(firm.service.insert, "external_payment", payment).fields == ("invoice_id",)
    assert "cannot be cancelled" in refused(firm.service.act, "invoice.cancel", id).message


@given(st.lists(st.tuples(st.integers(1, 1440), st.integers(0, 99_999)), min_size=1, max_size=30))
def test_a_line_is_rounded_half_up_to_the_subunit(lines: list[tuple[int, int]]) -> None:
    for minutes, rate in lines:
        exact = Decimal(minutes) * Decimal(rate) / Decimal(60)
        assert line_amount(rate, minutes) == int(exact.to_integral_value(ROUND_HALF_UP))
        assert line_amount(rate, minutes) == (minutes * rate + 30) // 60  # what the sums in SQL do


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(st.tuples(st.integers(1, 600), st.integers(0, 30_000), st.booleans()), min_size=1, max_size=12),
    tax=st.decimals(0, 25, places=1),
)
def test_an_invoices_total_is_what_its_lines_say(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[int, int, bool]], tax: Decimal
) -> None:
    service = open_service(tmp_path_factory.mktemp("money"))
    service.setup(1)
    firm = build_firm(service)
    ids = [firm.approved(minutes, rate_in_cents=rate, taxable=taxable)[0] for minutes, rate, taxable in entries]
    id = invoice(firm, time_entry_ids=ids, tax_rate=str(tax))
    amounts = [(line_amount(rate, minutes), taxable) for minutes, rate, taxable in entries]
    taxed = (Decimal(sum(a for a, t in amounts if t)) * tax / 100).to_integral_value(ROUND_HALF_UP)
    assert service.get("invoice", id)["balance_in_cents"] == sum(a for a, _ in amounts) + int(taxed)
    service.store.close()


# ---- references and custom fields -----------------------------------------------------------------------------------


def test_one_reference_per_service_and_subject_and_the_second_write_updates_it(firm: Firm) -> None:
    given = {"service_name": "tieout", "service_model": "Opportunity", "service_model_ref": "006A"}
    id = firm.service.insert("workspace", {"title": "Ref", "external_reference": given})
    subject = {"subject_type": "Workspace", "subject_id": id}
    assert "taken" in refused(firm.service.insert, "external_reference", {**given, **subject}).message
    firm.service.update("workspace", id, {"external_reference": {**given, "external_status": "paid"}})
    rows = list(firm.service.rows("external_references", "subject_id = ?", (int(id),)))
    assert [row["external_status"] for row in rows] == ["paid"]


def test_nothing_keeps_two_records_from_carrying_the_same_reference(firm: Firm) -> None:
    given = {"service_name": "tieout", "service_model": "Opportunity", "service_model_ref": "006A"}
    made = [firm.service.insert("workspace", {"title": "Twice", "external_reference": given}) for _ in range(2)]
    assert len(set(made)) == 2


def test_a_custom_value_is_replaced_and_gets_a_new_id(firm: Firm) -> None:
    field = next(firm.service.rows("custom_fields", "name = 'Invoiced'"))["id"]
    values = {"subject_type": "Workspace", "subject_id": firm.workspace, "custom_field_id": field}
    first = firm.service.insert("custom_field_value", {**values, "value": [100, "USD"]})
    second = firm.service.insert("custom_field_value", {**values, "value": [250, "USD"]})
    assert first != second
    assert [row["value"] for row in firm.service.rows("custom_field_values")] == [[250, "USD"]]
    assert "value" in refused(firm.service.insert, "custom_field_value", {**values, "value": 12}).fields


def test_a_unique_custom_field_refuses_the_same_value_on_another_record(firm: Firm) -> None:
    field = firm.service.insert(
        "custom_field",
        {"name": "Deal", "subject_type": "Workspace", "value_type": "string", "unique_constraint": True},
    )
    first, second = {"custom_field_id": field, "value": "006A"}, {"custom_field_id": field, "value": "006A"}
    firm.service.insert("workspace", {"title": "A", "custom_fields": [first]})
    again = refused(firm.service.insert, "workspace", {"title": "B", "custom_fields": [second]})
    assert "has already been entered" in again.message
    assert not list(firm.service.rows("workspaces", "title = 'B'"))


def test_tasks_nest_four_levels_and_no_deeper(firm: Firm) -> None:
    parent = firm.story
    for level in range(4):
        parent = firm.service.insert(
            "story", {"workspace_id": firm.workspace, "title": f"{level}", "parent_id": parent}
        )
    deeper = {"workspace_id": firm.workspace, "title": "too deep", "parent_id": parent}
    assert "nested too deeply" in refused(firm.service.insert, "story", deeper).message


def test_what_hangs_below_a_moved_task_moves_along(firm: Firm) -> None:
    def task(title: str, parent: str | None) -> str:
        return firm.service.insert("story", {"workspace_id": firm.workspace, "title": title, "parent_id": parent})

    phase, step = task("Phase", None), task("Step", None)
    detail = task("Detail", step)
    firm.service.update("story", step, {"parent_id": phase})
    moved = firm.service.get("story", detail)
    assert (moved["ancestor_ids"], moved["root_id"], moved["subtree_depth"]) == ([int(phase), int(step)], phase, 2)


def test_a_reference_moves_no_record_but_a_change_of_groups_does(firm: Firm) -> None:
    before = firm.service.get("workspace", firm.workspace)["updated_at"]
    reference = {"service_name": "tieout", "service_model": "Opportunity", "service_model_ref": "006"}
    firm.service.update("workspace", firm.workspace, {"external_reference": reference})
    assert firm.service.get("workspace", firm.workspace)["updated_at"] == before
    firm.service.update("workspace", firm.workspace, {"workspace_group_ids": [firm.client]})
    assert firm.service.get("workspace", firm.workspace)["updated_at"] > before


def test_who_takes_an_open_slot_becomes_a_member(firm: Firm) -> None:
    slot = firm.service.insert("workspace_resource", {"workspace_id": firm.workspace, "role_id": firm.role})
    person = firm.service.insert("user", {"full_name": "N", "email_address": "n@firm.example"})
    firm.service.update("workspace_resource", slot, {"user_id": person})
    firm.service.insert("time_entry", firm.hour(user_id=person))


# ---- time, events, speed --------------------------------------------------------------------------------------------


def test_events_are_forgotten_after_nine_days(firm: Firm) -> None:
    firm.hours(60)
    firm.service.clock.set_at_least(datetime(2026, 2, 1, tzinfo=UTC))
    firm.hours(60)
    kinds = [event["event_type"] for event in firm.service.rows("subscribed_events")]
    assert kinds == ["time_entry:created"]


def test_the_same_seed_makes_the_same_account(tmp_path: Path) -> None:
    tokens = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        service = open_service(tmp_path / folder)
        service.setup(seed)
        tokens.append(service.store.meta["token"])
    assert tokens[0] == tokens[1] != tokens[2]


def test_hours_stream_in_fast_enough_for_a_large_firm(service: Service) -> None:
    firm = build_firm(service)
    count = 30_000
    rows = (firm.hour(date_performed=f"2026-02-{1 + i % 28:02d}", time_in_minutes=1 + i % 480) for i in range(count))
    started = time.perf_counter()
    service.insert_many("time_entries", rows)
    # A machine shared with other tests gets a wide margin; alone it makes 80,000 rows a second and more.
    assert count / (time.perf_counter() - started) > 10_000
