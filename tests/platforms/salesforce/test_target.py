"""Salesforce as a target of write-backs: receipts row by row, one effect whatever is lost on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from platforms.kit.errors import AskPerson, PlatformError, Refused, Wait
from platforms.kit.sandbox.server import RunningSandbox
from platforms.salesforce.client import SalesforceClient
from platforms.salesforce.sandbox.service import SalesforceService
from reverse_etl.targets.base import (
    TARGET_ID,
    KeyKind,
    Outcome,
    Promise,
    Receipt,
    Target,
    Value,
    Verb,
    WriteRow,
    target_for,
)

Connect = Callable[..., SalesforceClient]
KEY = "Ext_Key__c"


@pytest.fixture
def target(client: SalesforceClient) -> Target:
    return target_for("salesforce")(client, "salesforce")


def create(key: str, **fields: Value) -> WriteRow:
    return WriteRow(entry_id=f"e-{key}", key=key, verb=Verb.create, fields=fields)


def change(target_id: str, **fields: Value) -> WriteRow:
    return WriteRow(entry_id=f"e-{target_id}", key=target_id, verb=Verb.update, target_id=target_id, fields=fields)


def send(target: Target, rows: Sequence[WriteRow], key_field: str = KEY) -> dict[str, Receipt]:
    receipts = target.write("Account", rows[0].verb, rows, key_field=key_field, batch_id="b")
    assert len(receipts) == len(rows)
    return {one.entry_id: one for one in receipts}


def opportunity(org: RunningSandbox) -> str:
    given = {"Name": "Deal", "StageName": "Closed Won", "CloseDate": "2026-02-01", "NextStep": "hand over"}
    return org.service.insert("Opportunity", given, actor="")


def test_what_the_target_promises(target: Target) -> None:
    promised = target.capability("Opportunity")
    assert (promised.key_kind, promised.promise) == (KeyKind.upsert_key, Promise.exactly_once)
    assert promised.max_batch_create == promised.max_batch_update == 200
    with pytest.raises(Refused, match="no Salesforce object name"):
        target.capability("Robert'); DROP")


def test_values_of_every_type_arrive_and_come_back_as_they_were(org: RunningSandbox, target: Target) -> None:
    deal = opportunity(org)
    wanted: dict[str, Value] = {
        "Tieout_Paid__c": Decimal("1234567.89"),
        "Tieout_Last_Payment_Date__c": date(2026, 2, 28),
        "Tieout_Percent_Complete__c": Decimal("33.5"),
        "Tieout_Sync_Reason__c": "Ünvoiced — 'quoted'",
        "NextStep": None,
    }
    (receipt,) = target.write("Opportunity", Verb.update, [change(deal, **wanted)], key_field=TARGET_ID, batch_id="b")
    assert (receipt.outcome, receipt.target_id) == (Outcome.done, deal)
    (found,) = target.find("Opportunity", TARGET_ID, [deal], list(wanted))[deal]
    assert found.fields == wanted
    assert isinstance(found.fields["Tieout_Paid__c"], Decimal)


def test_a_record_is_found_by_id_by_key_and_with_its_parents_fields(org: RunningSandbox, target: Target) -> None:
    parent = org.service.insert("Account", {"Name": "Group", KEY: "G"}, actor="")
    made = send(target, [create("K1", Name="Acme", **{f"Parent.{KEY}": "G"})])["e-K1"]
    assert made.created is True
    assert made.target_id is not None
    by_key = target.find("Account", KEY, ["K1", "k1", "nothing"], ["Name", "Parent.Name"])
    assert by_key["K1"][0].fields == {"Name": "Acme", "Parent.Name": "Group"}
    assert by_key["k1"][0].target_id == made.target_id
    assert by_key["nothing"] == ()
    by_id = target.find("Account", TARGET_ID, [made.target_id, made.target_id[:15], "junk", parent], ["Parent.Name"])
    assert [len(found) for found in by_id.values()] == [1, 1, 0, 1]
    created = target.find("Account", TARGET_ID, [parent], ["CreatedDate"])[parent][0].fields["CreatedDate"]
    assert isinstance(created, datetime)
    assert created.tzinfo == UTC
    org.service.delete("Account", made.target_id, actor="")
    assert target.find("Account", KEY, ["K1"], []) == target.find("Account", TARGET_ID, ["K1"], []) == {"K1": ()}


def test_a_key_that_is_not_unique_in_the_org_is_not_created_by(
    org: RunningSandbox, rules: SalesforceService, target: Target
) -> None:
    rules.alter_field("Account", KEY, unique=False)
    with pytest.raises(AskPerson, match="External ID and Unique") as refused:
        send(target, [create("K1", Name="Acme")])
    assert "Setup" in refused.value.next_step
    with pytest.raises(AskPerson, match="does not exist"):
        send(target, [create("K1", Name="Acme")], key_field="Nope__c")
    with pytest.raises(Refused, match="cannot be created by an id"):
        send(target, [create("K1", Name="Acme")], key_field=TARGET_ID)
    assert list(org.service.rows("Account")) == []


def test_each_row_is_answered_for_itself(org: RunningSandbox, target: Target) -> None:
    fine, locked, deleted = org.service.insert_many("Account", [{"Name": n} for n in "abc"], actor="")
    org.service.act("record.lock", locked, actor="")
    org.service.delete("Account", deleted, actor="")
    rows = [change(one, Tieout_Paid__c=Decimal("1.00")) for one in (fine, locked, deleted)]
    answered = send(target, rows, TARGET_ID)
    assert [one.outcome for one in answered.values()] == [Outcome.done, Outcome.ask_person, Outcome.refused]
    wrong = send(target, [change(fine, Payment_Terms__c="never")], TARGET_ID)[f"e-{fine}"]
    assert (wrong.outcome, wrong.fields) == (Outcome.refused, ("Payment_Terms__c",))
    org.faults.use({"name": "locks", "partial_batch": 1.0})
    assert send(target, [change(fine, Name="x")], TARGET_ID)[f"e-{fine}"].outcome is Outcome.retry


def test_an_adopted_record_gets_our_key(org: RunningSandbox, target: Target) -> None:
    there = org.service.insert("Account", {"Name": "Acme"}, actor="")
    row = WriteRow(entry_id="e", key="K1", verb=Verb.update, target_id=there, fields={"Name": "Acme BV"}, adopt=True)
    assert send(target, [row])["e"].outcome is Outcome.done
    assert target.find("Account", KEY, ["K1"], ["Name"])["K1"][0].target_id == there
    org.service.insert("Account", {"Name": "Other", KEY: "K2"}, actor="")
    twice = WriteRow(entry_id="e", key="K2", verb=Verb.update, target_id=there, fields={}, adopt=True)
    assert send(target, [twice])["e"].outcome is Outcome.conflict


@pytest.mark.parametrize("profile", ["none", "rough", "chaos"])
@pytest.mark.parametrize("seed", range(4))
def test_every_record_is_made_exactly_once_and_changed_whatever_happens(
    org: RunningSandbox, connect: Connect, profile: str, seed: int
) -> None:
    target = target_for("salesforce")(connect(), "salesforce")
    keys = [f"K{n:04d}" for n in range(450)]
    ids: dict[str, str] = {}
    target.find("Account", KEY, ["warm"], [])
    org.faults.seed = seed
    org.faults.use(profile)

    def until_done(rows: list[WriteRow], key_field: str) -> None:
        for _ in range(60):
            if not rows:
                return
            batch = rows[:200]
            try:
                answered = {
                    one.entry_id: one
                    for one in target.write("Account", batch[0].verb, batch, key_field=key_field, batch_id="b")
                }
            except Refused:
                raise
            except PlatformError:
                continue
            ids.update({e: r.target_id for e, r in answered.items() if r.outcome is Outcome.done and r.target_id})
            assert {r.outcome for r in answered.values()} <= {Outcome.done, Outcome.retry}
            again = [row for row in batch if answered[row.entry_id].outcome is Outcome.retry]
            rows = rows[200:] + again
        raise AssertionError("it never came to an end")

    before = target.calls().writes
    until_done([create(key, Name=f"N {key}") for key in keys], KEY)
    made = dict(ids)
    until_done([change(made[f"e-{key}"], Tieout_Open__c=Decimal("7.25")) for key in keys], TARGET_ID)
    org.faults.use("none")
    stored = list(org.service.rows("Account"))
    assert sorted(row[KEY] for row in stored) == keys
    assert {row["Tieout_Open__c"] for row in stored} == {Decimal("7.25")}
    if profile == "none":
        floor = 2 * target.call_floor("Account", Verb.create, len(keys))
        assert target.calls().writes - before == floor == 2 * math.ceil(450 / 200)


def test_an_exhausted_allowance_is_a_long_wait_for_the_whole_call(org: RunningSandbox, target: Target) -> None:
    target.find("Account", KEY, ["warm"], [])
    deal = org.service.insert("Account", {"Name": "a"}, actor="")
    org.store.meta["limits"] = {"DailyApiRequests": 0}
    with pytest.raises(Wait) as asked:
        send(target, [change(deal, Name="b")], TARGET_ID)
    assert asked.value.retry_after == 3600


def test_doctor_learns_which_fields_exist_and_may_be_written(org: RunningSandbox, target: Target) -> None:
    found = target.fields_exist("Opportunity", ["Tieout_Paid__c", "IsWon", "Nope__c", "Account.Ext_Key__c"])
    assert found == {"Tieout_Paid__c": True, "IsWon": False, "Nope__c": False, "Account.Ext_Key__c": True}
    assert target.fields_exist("Nope", ["Id"]) == {"Id": False}
    assert target.link("Account", "001xx") == f"{org.url}/001xx"
