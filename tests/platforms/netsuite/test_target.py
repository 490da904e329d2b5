"""Writing back: one effect per key whatever gets lost, 100 records a call, each record's refusal in plain words."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest

from platforms.kit.errors import AskPerson, Refused, Uncertain
from reverse_etl.targets.base import TARGET_ID, Outcome, Verb, WriteRow
from reverse_etl.targets.netsuite import build

KEY = "externalId"


@pytest.fixture
def target(connect):
    client = connect()
    client.ping()
    return build(client, "books")


def row(key: str, verb: Verb = Verb.create, **kwargs) -> WriteRow:
    fields = kwargs.pop("fields", {"companyName": f"Firm {key}", "subsidiary.id": "1", "isPerson": False})
    return WriteRow(entry_id=f"e-{key}", key=key, verb=verb, fields=fields, **kwargs)


def send(target, object: str, rows: list[WriteRow], batch_id: str = "b1", verb: Verb = Verb.create):
    handle = target.open_job(object, verb, key_field=KEY, batch_id=batch_id, rows=len(rows))
    target.submit_job(handle, rows)
    while (receipts := target.reattach(handle, rows)) is None:
        pass
    return {receipt.entry_id: receipt for receipt in receipts}


def test_a_hundred_records_are_one_write(target, firm) -> None:
    rows = [row(f"C{n}") for n in range(100)]
    before = target.calls()
    receipts = send(target, "customer", rows)
    assert {r.outcome for r in receipts.values()} == {Outcome.done}
    spent = target.calls().since(before)
    assert spent.writes == target.call_floor("customer", Verb.create, 100) == 1
    # Two polls, the list of tasks, one look for all ids.
    assert spent.reads == 4
    by_key = {r["externalid"]: str(r["id"]) for r in firm.service.rows("customer")}
    assert {r.entry_id: r.target_id for r in receipts.values()} == {f"e-{key}": id for key, id in by_key.items()}


def test_only_refused_records_are_asked_for_one_by_one(target, firm) -> None:
    closed = firm.customer("US")
    firm.service.act("customer.deactivate", closed, actor="finance")
    lines = [{"item": {"externalId": "SVC-TIME"}, "quantity": D("2"), "rate": D("10.50"), "amount": D("21.00")}]
    fields = {"subsidiary.id": "1", "tranDate": date(2026, 1, 5), "item.items": lines}
    rows = [
        row("I1", fields=fields | {"entity.id": firm.customer("US")}),
        row("I2", fields=fields | {"entity.id": closed}),
        row("I3", fields=fields | {"entity.id": firm.customer("US"), "item.items": [{"item": {"externalId": "GONE"}}]}),
    ]
    before = target.calls()
    receipts = send(target, "invoice", rows)
    assert [receipts[f"e-I{n}"].outcome for n in (1, 2, 3)] == [Outcome.done, Outcome.ask_person, Outcome.refused]
    assert "Finance decides" in receipts["e-I2"].message
    assert receipts["e-I3"].fields == ("item.items[0].item",)
    assert target.calls().since(before).reads == 6


def test_a_closed_period_asks_finance(target, firm) -> None:
    firm.service.act("period.close", "2026-01", actor="finance")
    fields = {"entity.id": firm.customer("US"), "item.items": [{"item": {"externalId": "SVC-TIME"}, "rate": D(1)}]}
    (receipt,) = target.write("invoice", Verb.create, [row("I1", fields=fields)], key_field=KEY, batch_id="b")
    assert receipt.outcome is Outcome.ask_person
    assert "Jan 2026" in receipt.message
    assert "Finance decides" in receipt.message


def test_a_key_that_is_there_already_is_a_conflict_and_nothing_is_changed(target, firm) -> None:
    invoice = firm.invoice(firm.customer("US"), 10, externalId="I1", memo="finance wrote this")
    fields = {"entity.id": "1", "memo": "ours", "item.items": [{"item": {"externalId": "SVC-TIME"}, "rate": D(99)}]}
    (one,) = target.write("invoice", Verb.create, [row("I1", fields=fields)], key_field=KEY, batch_id="b")
    many = send(target, "invoice", [row("I1", fields=fields), row("I2", fields=fields)])
    assert one.outcome is many["e-I1"].outcome is Outcome.conflict
    assert many["e-I2"].outcome is Outcome.done
    assert (firm.document(invoice)["memo"], firm.document(invoice)["total"]) == ("finance wrote this", 10)
    (found,) = target.find("invoice", KEY, ["I1"], ["memo"])["I1"]
    assert (found.target_id, found.fields) == (invoice, {"memo": "finance wrote this"})


def test_a_lost_answer_to_a_batch_makes_nothing_twice(target, running, firm) -> None:
    running.faults.once("lose_reply")
    receipts = send(target, "customer", [row("C1"), row("C2")])
    assert [r.outcome for r in receipts.values()] == [Outcome.done] * 2
    assert len(list(firm.service.rows("customer"))) == 2


def test_a_lost_answer_to_a_single_create_is_uncertain_until_it_is_read_back(target, running, firm) -> None:
    running.faults.once("lose_reply")
    with pytest.raises(Uncertain):
        target.write("customer", Verb.create, [row("C1")], key_field=KEY, batch_id="b")
    found = target.read_back("customer", [row("C1"), row("C2")], key_field=KEY, fields=["companyName"])
    assert found["e-C1"][0].fields == {"companyName": "Firm C1"}
    assert found["e-C2"] == ()


def test_a_batch_of_a_run_that_died_is_taken_up_without_sending_twice(connect, firm) -> None:
    first = build(connect(), "books")
    rows = [row("C1"), row("C2")]
    handle = first.open_job("customer", Verb.create, key_field=KEY, batch_id="b1", rows=2)
    first.submit_job(handle, rows)
    second = build(connect(), "books")
    receipts = second.reattach(handle, [*rows, row("C3")])
    assert [r.outcome for r in receipts] == [Outcome.done, Outcome.done, Outcome.retry]
    assert second.calls().writes == 0
    again = send(second, "customer", rows, batch_id="b2")
    assert {r.outcome for r in again.values()} == {Outcome.conflict}
    assert len(list(firm.service.rows("customer"))) == 2


def test_a_part_of_a_batch_that_stumbles_is_sent_again_alone(target, running, firm) -> None:
    running.faults.use({"partial_batch": 0.5})
    pending = {f"C{n}": row(f"C{n}") for n in range(20)}
    for attempt in range(20):
        if not pending:
            break
        receipts = send(target, "customer", list(pending.values()), batch_id=f"b{attempt}")
        assert {r.outcome for r in receipts.values()} <= {Outcome.done, Outcome.wait}
        pending = {key: r for key, r in pending.items() if receipts[r.entry_id].outcome is not Outcome.done}
    assert not pending
    assert len(list(firm.service.rows("customer"))) == 20


def test_what_was_sent_is_found_again_field_by_field(target, firm) -> None:
    from reverse_etl.values import same

    customer = firm.customer("US")
    job = firm.job(customer)
    lines = [
        {"item": {"externalId": "SVC-TIME"}, "quantity": D("8.85"), "rate": D("65.50"), "amount": D("579.68"),
         "description": "day one", "custcol_tieout_source": "kantata:time_entry:1"},
        {"item": {"externalId": "SVC-EXPENSE"}, "quantity": D("1"), "rate": D("-5"), "amount": D("-5.00"),
         "custcol_tieout_source": "kantata:expense:2"},
    ]  # fmt: skip
    fields = {
        "entity.id": customer, "job.id": job, "subsidiary.id": "1", "currency.id": "1", "approvalStatus.id": "1",
        "otherRefNum": "PO-1", "memo": "January", "custbody_tieout_project": "77", "custbody_tieout_period": "2026-01",
        "item.items": lines, "tranDate": date(2026, 1, 5), "startDate": date(2026, 1, 1), "endDate": date(2026, 1, 31),
    }  # fmt: skip
    (receipt,) = target.write("invoice", Verb.create, [row("I1", fields=fields)], key_field=KEY, batch_id="b")
    (found,) = target.find("invoice", TARGET_ID, [receipt.target_id], list(fields))[receipt.target_id]
    assert set(fields) - set(found.fields) == {"job.id"}
    for name, value in found.fields.items():
        assert same(fields[name], value), (name, fields[name], value)
    customers = {"companyName": "A", "subsidiary.id": "1", "currency.id": "1", "terms.id": "2", "isPerson": False,
                 "vatRegNumber": "US1", "custentity_tieout_account": "001"}  # fmt: skip
    (receipt,) = target.write("customer", Verb.create, [row("C1", fields=customers)], key_field=KEY, batch_id="b")
    (found,) = target.find("customer", KEY, ["C1"], list(customers))["C1"]
    assert dict(found.fields) == customers


def test_updates_go_by_id_and_replace_lines_instead_of_adding_to_them(target, firm) -> None:
    invoice = firm.invoice(firm.customer("US"), 10, 20, approve=False)
    line = [{"item": {"externalId": "SVC-TIME"}, "quantity": D(1), "rate": D(7)}]
    update = row("I1", Verb.update, target_id=invoice, adopt=True, fields={"item.items": line, "memo": None})
    target.write("invoice", Verb.update, [update], key_field=KEY, batch_id="b")
    found = firm.document(invoice)
    assert (found["total"], found["externalid"]) == (7, "I1")
    other = firm.invoice("1", 5, approve=False)
    rows = [update, row("I2", Verb.update, target_id=other, fields={"item.items": line})]
    receipts = send(target, "invoice", rows, verb=Verb.update)
    assert {r.outcome for r in receipts.values()} == {Outcome.done}
    assert firm.document(other)["total"] == 7


def test_what_the_role_may_not_do_stops_the_connection(target) -> None:
    with pytest.raises(AskPerson):
        target.write("employee", Verb.create, [row("E1", fields={"lastName": "X"})], key_field=KEY, batch_id="b")


def test_fields_are_looked_up_and_records_linked(target) -> None:
    names = ["companyName", "subsidiary.id", "custentity_tieout_account", "custentity_none", "dateCreated"]
    assert list(target.fields_exist("customer", names).values()) == [True, True, True, False, False]
    assert target.fields_exist("invoice", ["item.items", "item.custcol_tieout_source"]) == {
        "item.items": True, "item.custcol_tieout_source": True,
    }  # fmt: skip
    assert set(target.fields_exist("nothing", ["x"]).values()) == {False}
    assert "custinvc.nl?id=5" in target.link("invoice", "5")
    with pytest.raises(Refused):
        target.capability("no such thing")


def test_a_key_other_than_the_external_id_is_refused(target) -> None:
    (receipt,) = [target.capability("customer")]
    assert receipt.promise == "exactly_once"
    with pytest.raises(Refused, match="externalId"):
        target.write("customer", Verb.create, [row("C1")], key_field="entityId", batch_id="b")
