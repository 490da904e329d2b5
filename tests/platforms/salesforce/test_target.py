"""Salesforce as a target of write-backs: receipts row by row, one effect whatever is lost on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from platforms.kit.errors import AskPerson, PlatformError, Refused, Uncertain, Wait
from platforms.kit.sandbox.server import RunningSandbox
from platforms.salesforce.client import SalesforceClient
from platforms.salesforce.sandbox.service import SalesforceService
from reverse_etl.targets.base import (
    TARGET_ID,
    JobHandle,
    JobTarget,
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


def job(target: Target, rows: Sequence[WriteRow], key_field: str = KEY) -> JobHandle:
    assert isinstance(target, JobTarget)
    return target.open_job("Account", rows[0].verb, key_field=key_field, batch_id="b", rows=len(rows))


def results(target: Target, handle: JobHandle, rows: Sequence[WriteRow]) -> dict[str, Receipt]:
    assert isinstance(target, JobTarget)
    for _ in range(50):
        found = target.reattach(handle, rows)
        if found is not None:
            assert len(found) == len(rows)
            return {one.entry_id: one for one in found}
    raise AssertionError("the job never ended")


def test_a_large_set_goes_as_one_job_in_three_calls(org: RunningSandbox, target: Target) -> None:
    assert isinstance(target, JobTarget)
    org.store.meta["bulk.polls"] = 2
    rows = [create(f"K{n:04d}", Name=f'"{n}",\nü', PO_Required__c=n % 2 == 0) for n in range(2_500)]
    rows.append(create("bad", Name="x", Payment_Terms__c="never"))
    before = target.calls().writes
    handle = job(target, rows)
    target.submit_job(handle, rows)
    answered = results(target, handle, rows)
    assert target.calls().writes - before == target.call_floor("Account", Verb.create, len(rows)) == 3
    assert answered["e-bad"].outcome is Outcome.refused
    assert answered["e-bad"].fields == ("Payment_Terms__c",)
    assert [one.created for one in answered.values() if one.outcome is Outcome.done] == [True] * 2_500
    changes = [
        change(str(answered["e-K0000"].target_id), Name="renamed", BillingCity=None, Tieout_Paid__c=Decimal("1E+3")),
        change(str(answered["e-K0001"].target_id), PO_Required__c=True),
    ]
    handle = job(target, changes, TARGET_ID)
    target.submit_job(handle, changes)
    assert {one.outcome for one in results(target, handle, changes).values()} == {Outcome.done}
    first, second = target.find(
        "Account", KEY, ["K0000", "K0001"], ["Name", "Tieout_Paid__c", "PO_Required__c"]
    ).values()
    assert first[0].fields == {"Name": "renamed", "Tieout_Paid__c": Decimal(1000), "PO_Required__c": True}
    assert second[0].fields == {"Name": '"1",\nü', "Tieout_Paid__c": None, "PO_Required__c": True}


@pytest.mark.parametrize("lost_at", ["open", "upload", "start"])
def test_a_job_whose_answer_is_lost_is_found_again_and_done_once(
    org: RunningSandbox, connect: Connect, lost_at: str
) -> None:
    target = target_for("salesforce")(connect(), "salesforce")
    assert isinstance(target, JobTarget)
    rows = [create(f"K{n}", Name="x") for n in range(5)]
    target.find("Account", KEY, ["warm"], [])
    if lost_at == "open":
        org.faults.once("lose_reply")
    handle = job(target, rows)
    if lost_at == "upload":
        org.faults.once("lose_reply")
        with pytest.raises(Uncertain):
            target.submit_job(handle, rows)
        assert {one.outcome for one in results(target, handle, rows).values()} == {Outcome.retry}
        handle = job(target, rows)
    if lost_at == "start":
        client = connect()
        client.limits()
        target = target_for("salesforce")(client, "salesforce")
        assert isinstance(target, JobTarget)
        client._request(
            "PUT",
            f"/jobs/ingest/{handle.remote}/batches",
            idempotent=False,
            read=False,
            content=b"Ext_Key__c,Name\n" + b"".join(f"K{n},x\n".encode() for n in range(5)),
            headers={"Content-Type": "text/csv"},
        )
        org.faults.once("lose_reply")
        with pytest.raises(Uncertain):
            client._request(
                "PATCH", f"/jobs/ingest/{handle.remote}", idempotent=False, read=False, json={"state": "UploadComplete"}
            )
    else:
        target.submit_job(handle, rows)
    assert {one.outcome for one in results(target, handle, rows).values()} == {Outcome.done}
    assert sorted(row[KEY] for row in org.service.rows("Account")) == [f"K{n}" for n in range(5)]
    gone = JobHandle(
        connection="c", object="Account", verb=Verb.create, key_field=KEY, batch_id="b", remote="750" + "0" * 12
    )
    assert {one.outcome for one in results(target, gone, rows).values()} == {Outcome.retry}
