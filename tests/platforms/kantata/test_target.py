"""Write-back to Kantata: bodies, receipts, read-back, and the fewest calls."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from platforms.kantata.client import KantataClient
from platforms.kit.errors import Refused, Uncertain
from platforms.kit.sandbox.server import RunningSandbox
from reverse_etl.targets.base import TARGET_ID, Outcome, Target, Verb, WriteRow, target_for
from reverse_etl.values import same
from tests.platforms.kantata.firm import Firm

OPPORTUNITY = "external_reference.Opportunity"


@pytest.fixture
def target(client: KantataClient) -> Target:
    return target_for("kantata")(client, "kantata")


def row(number: int, verb: Verb = Verb.create, **fields: Any) -> WriteRow:
    target_id = fields.pop("target_id", None)
    adopt = fields.pop("adopt", False)
    named = fields.pop("named", {})
    return WriteRow(
        entry_id=f"e{number}",
        key=f"006{number:03d}",
        verb=verb,
        fields={**fields, **named},
        target_id=target_id,
        adopt=adopt,
    )


def write(target: Target, object: str, rows: list[WriteRow], key_field: str = OPPORTUNITY) -> dict[str, Any]:
    receipts = target.write(object, rows[0].verb, rows, key_field=key_field, batch_id="b")
    assert sorted(r.entry_id for r in receipts) == sorted(r.entry_id for r in rows)
    return {receipt.entry_id: receipt for receipt in receipts}


def project(served: Firm, number: int) -> WriteRow:
    return row(
        number,
        title=f"Deal {number}",
        budgeted=True,
        price=Decimal("25000.5000"),
        primary_workspace_group_id=served.client,
        primary_maven_id=served.lead,
        rate_card_id=served.card,
        start_date=date(2026, 1, 5),
        due_date=date(2026, 6, 30),
        stage="project",
        creator_role="maven",
        require_time_approvals=True,
        named={
            "custom_fields.Billing Type": "Time and Materials",
            "invoice_preference.purchase_order": "PO-7",
            "external_reference.external_status": "handed over",
        },
    )


def test_a_hundred_projects_go_in_one_call_and_read_back_as_sent(target: Target, served: Firm) -> None:
    rows = [project(served, n) for n in range(100)]
    before = target.calls()
    receipts = write(target, "workspace", rows)
    assert target.calls().since(before).writes == target.call_floor("workspace", Verb.create, 100) == 1
    assert {r.outcome for r in receipts.values()} == {Outcome.done}
    names = sorted(rows[0].fields)
    found = target.find("workspace", OPPORTUNITY, [r.key for r in rows], names)
    by_id = target.find("workspace", TARGET_ID, [receipts["e3"].target_id], names)
    for sent in rows:
        (there,) = found[sent.key]
        assert there.target_id == receipts[sent.entry_id].target_id
        for name, value in there.fields.items():
            assert same(value, sent.fields[name]), name
    assert set(names) - set(by_id[receipts["e3"].target_id][0].fields) == {"creator_role"}  # never shown again


def test_what_is_not_there_is_said_and_duplicates_are_all_shown(target: Target, served: Firm) -> None:
    write(target, "workspace", [project(served, 1)])
    write(target, "workspace", [project(served, 1)])
    found = target.find("workspace", OPPORTUNITY, ["006001", "006002"], [])
    assert (len(found["006001"]), found["006002"]) == (2, ())
    assert target.find("workspace", "external_reference.Other", ["006001"], [])["006001"] == ()
    assert target.find("workspace", TARGET_ID, ["4711"], [])["4711"] == ()


def test_a_lost_bulk_answer_is_found_by_read_back(target: Target, running: RunningSandbox, served: Firm) -> None:
    rows = [project(served, n) for n in range(20)]
    target.fields_exist("workspace", ["custom_fields.Paid"])  # the custom fields are known from here on
    running.faults.once("lose_reply")
    with pytest.raises(Uncertain):
        target.write("workspace", Verb.create, rows, key_field=OPPORTUNITY, batch_id="b")
    back = target.read_back("workspace", rows, key_field=OPPORTUNITY, fields=["title"])
    assert {entry: [f.fields["title"] for f in found] for entry, found in back.items()} == {
        f"e{n}": [f"Deal {n}"] for n in range(20)
    }


def test_a_refused_row_is_named_and_the_others_of_its_call_are_in_doubt(target: Target, served: Firm) -> None:
    rows = [project(served, 0), row(1, description="no title"), project(served, 2)]
    receipts = write(target, "workspace", rows)
    assert receipts["e1"].outcome is Outcome.refused
    assert receipts["e1"].fields == ("title",)
    assert {receipts["e0"].outcome, receipts["e2"].outcome} == {Outcome.uncertain}
    back = target.read_back("workspace", rows, key_field=OPPORTUNITY, fields=[])
    assert all(found == () for found in back.values())


def test_stumbling_rows_are_retried_and_the_rest_is_found(
    target: Target, running: RunningSandbox, served: Firm
) -> None:
    rows = [project(served, n) for n in range(100)]
    running.faults.use({"partial_batch": 0.05})
    receipts = write(target, "workspace", rows)
    outcomes = {outcome: [e for e, r in receipts.items() if r.outcome is outcome] for outcome in Outcome}
    assert outcomes[Outcome.retry]
    back = target.read_back("workspace", rows, key_field=OPPORTUNITY, fields=[])
    assert {e for e, found in back.items() if found} == set(outcomes[Outcome.uncertain])


def test_billing_figures_of_twenty_projects_go_in_one_call(target: Target, served: Firm) -> None:
    made = write(target, "workspace", [project(served, n) for n in range(20)])
    figures = {
        "custom_fields.Billing Status": "Partly paid",
        "custom_fields.Invoiced": [Decimal("120050"), "USD"],
        "custom_fields.Paid": [100, "USD"],
        "custom_fields.Open": [119950, "USD"],
        "custom_fields.Overdue": [0, "USD"],
    }
    rows = [row(n, Verb.update, target_id=made[f"e{n}"].target_id, named=figures) for n in range(20)]
    before = target.calls()
    receipts = write(target, "workspace", rows, "id")
    assert target.calls().since(before).writes == target.call_floor("workspace", Verb.update, 20) == 1
    assert {r.outcome for r in receipts.values()} == {Outcome.done}
    ids = [str(r.target_id) for r in rows]
    found = target.find("workspace", TARGET_ID, ids, sorted(figures))
    assert all(same(figures[name], value) for id in ids for name, value in found[id][0].fields.items())


def test_an_unknown_custom_field_is_refused_with_what_to_do(target: Target, served: Firm) -> None:
    receipts = write(
        target,
        "workspace",
        [
            row(1, Verb.update, target_id=served.workspace, named={"custom_fields.Nonsense": "x"}),
            row(2, Verb.update, target_id=served.workspace, named={"custom_fields.Billing Status": None}),
        ],
        "id",
    )
    assert receipts["e1"].outcome is Outcome.refused
    assert receipts["e2"].outcome is Outcome.done


def test_a_mirror_invoice_carries_its_lines_and_is_paid_once(target: Target, served: Firm) -> None:
    hours = served.approved(60, 30)
    sent = row(
        1,
        workspace_id=served.workspace,
        time_entry_ids=sorted(hours),
        payment_schedule=30,
        draft=False,
        suppress_emails=True,
        invoice_date=date(2026, 1, 31),
        message="Ledger invoice INV-1",
        named={"external_reference.external_status": "issued"},
    )
    made = write(target, "invoice", [sent], "external_reference.Invoice")["e1"]
    found = target.find("invoice", TARGET_ID, [made.target_id], sorted(sent.fields))[made.target_id][0]
    assert all(same(sent.fields[name], value) for name, value in found.fields.items())
    assert set(sent.fields) - set(found.fields) == {"suppress_emails"}

    payment = WriteRow(
        entry_id="p", key=made.target_id, verb=Verb.create, fields={"workspace_id": served.workspace, "message": "paid"}
    )
    assert target.find("external_payment", "invoice_id", [made.target_id], [])[made.target_id] == ()
    paid = write(target, "external_payment", [payment], "invoice_id")["p"]
    again = write(target, "external_payment", [payment], "invoice_id")["p"]
    assert (paid.outcome, again.outcome, again.created) == (Outcome.done, Outcome.done, False)
    assert paid.target_id == again.target_id
    assert len(list(served.service.rows("external_payments"))) == 1

    status = row(2, Verb.update, target_id=made.target_id, named={"external_reference.external_status": "paid"})
    assert write(target, "invoice", [status], "external_reference.Invoice")["e2"].outcome is Outcome.done
    shown = target.find("invoice", TARGET_ID, [made.target_id], ["external_reference.external_status"])
    assert shown[made.target_id][0].fields == {"external_reference.external_status": "paid"}


def test_an_invoice_paid_on_the_screen_counts_as_paid(target: Target, served: Firm) -> None:
    made = write(
        target,
        "invoice",
        [row(1, workspace_id=served.workspace, time_entry_ids=served.approved(60), payment_schedule=0)],
        "external_reference.Invoice",
    )["e1"].target_id
    served.service.store.write("UPDATE invoices SET status = 'accepted payment'")
    (found,) = target.find("external_payment", "invoice_id", [made], ["message"])[made]
    assert target.find("external_payment", TARGET_ID, [found.target_id], [])[found.target_id][0].key == found.target_id


def test_an_existing_record_is_adopted_with_our_reference(target: Target, served: Firm) -> None:
    adopted = row(5, Verb.update, target_id=served.workspace, adopt=True, title="Ours now")
    assert write(target, "workspace", [adopted])["e5"].outcome is Outcome.done
    (found,) = target.find("workspace", OPPORTUNITY, ["006005"], ["title"])["006005"]
    assert (found.target_id, found.fields) == (served.workspace, {"title": "Ours now"})


def test_groups_tasks_and_milestones_are_written_and_found(target: Target, served: Firm) -> None:
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("workspace_group", "Account", {"name": "Beta GmbH", "company": True, "email": "a@b.example"}),
        (
            "story",
            "OpportunityLineItem",
            {
                "workspace_id": served.workspace,
                "title": "Design",
                "story_type": "task",
                "time_estimate_in_minutes": 600,
                "billable": True,
                "due_date": date(2026, 3, 1),
            },
        ),
        (
            "billing_milestone",
            "BillingMilestone",
            {
                "workspace_id": served.workspace,
                "title": "Half",
                "amount_in_cents": 855_150,
                "billing_type": "fixed_date",
                "date_to_invoice": date(2026, 2, 1),
            },
        ),
    ]
    for object, model, fields in cases:
        sent = row(1, **fields)
        receipt = write(target, object, [sent], f"external_reference.{model}")["e1"]
        (found,) = target.find(object, f"external_reference.{model}", [sent.key], sorted(fields))[sent.key]
        assert found.target_id == receipt.target_id
        assert {name for name, value in fields.items() if not same(value, found.fields[name])} == set()


def test_a_deleted_task_counts_as_not_there(target: Target, served: Firm) -> None:
    sent = row(1, workspace_id=served.workspace, title="Gone")
    made = write(target, "story", [sent], "external_reference.Line")["e1"].target_id
    served.service.delete("story", made)
    assert target.find("story", "external_reference.Line", [sent.key], [])[sent.key] == ()
    assert target.find("story", TARGET_ID, [made], [])[made] == ()


def test_what_kantata_cannot_do_is_said_before_anything_is_sent(target: Target, served: Firm) -> None:
    with pytest.raises(Refused, match="cannot write 'spaceship'"):
        target.capability("spaceship")
    assert not target.capability("participation").can_create
    assert target.capability("workspace_group").max_batch_create == 1
    assert target.capability("story").max_batch_create == 300
    exist = target.fields_exist("workspace", ["title", "custom_fields.Paid", "custom_fields.Nope", "nope", OPPORTUNITY])
    assert list(exist.values()) == [True, True, False, False, True]
    made = write(target, "story", [row(1, workspace_id=served.workspace, title="t")], "external_reference.Line")
    assert target.link("story", made["e1"].target_id).endswith(f"/stories/{made['e1'].target_id}")


@pytest.mark.parametrize("seed", range(5))
def test_in_rough_weather_every_record_is_made_exactly_once(
    target: Target, running: RunningSandbox, served: Firm, seed: int
) -> None:
    running.faults.seed = seed
    running.faults.use("rough")
    groups = [row(n, name=f"Client {n}", company=True) for n in range(30)]
    for object, model, wanted in (
        ("workspace", "Opportunity", [project(served, n) for n in range(150)]),
        ("workspace_group", "Account", groups),
    ):
        key_field = f"external_reference.{model}"
        size = target.capability(object).max_batch(Verb.create)
        pending, doubt = list(wanted), list[WriteRow]()
        for _ in range(60):
            for found in [target.read_back(object, doubt, key_field=key_field, fields=[])] if doubt else []:
                pending += [r for r in doubt if not found[r.entry_id]]
                doubt = []
            batch, pending = pending[:size], pending[size:]
            if not batch:
                break
            try:
                receipts = write(target, object, batch, key_field)
            except Uncertain:
                doubt = batch
                continue
            doubt = [r for r in batch if receipts[r.entry_id].outcome is Outcome.uncertain]
            pending += [r for r in batch if receipts[r.entry_id].outcome is Outcome.retry]
        made = served.service.store.read(
            "SELECT service_model_ref AS ref, count(*) AS n FROM external_references"
            " WHERE service_model = ? GROUP BY 1",
            (model,),
        )
        assert {m["ref"]: m["n"] for m in made} == {r.key: 1 for r in wanted}
