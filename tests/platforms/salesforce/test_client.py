"""Tieout's own client against the sandbox, over real HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from decimal import Decimal

import pytest

from platforms.kit.errors import (
    AskPerson,
    BadAnswer,
    Conflict,
    Gone,
    PlatformError,
    Refused,
    Retry,
    Uncertain,
    Wait,
)
from platforms.kit.sandbox.server import RunningSandbox
from platforms.salesforce.client import SalesforceClient, error_for, examine, soql_text
from platforms.salesforce.sandbox.service import SalesforceService

Connect = Callable[..., SalesforceClient]


@pytest.mark.parametrize("flow", ["client_credentials", "jwt_bearer"])
def test_both_flows_log_in(connect: Connect, flow: str) -> None:
    client = connect(auth_flow=flow)
    assert client.count("SELECT COUNT() FROM Account") == 0
    assert client.calls.snapshot()["auth"] == 1


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"client_secret": "wrong-secret"}, "invalid_client"),
        ({"client_id": "nobody-knows-me"}, "invalid_client_id"),
        ({"auth_flow": "jwt_bearer", "username": "nobody@nowhere.example"}, "invalid_grant"),
    ],
)
def test_wrong_credentials_are_a_persons_business_and_say_which(
    connect: Connect, settings: dict[str, str], code: str
) -> None:
    with pytest.raises(AskPerson) as refused:
        connect(**settings).limits()
    assert refused.value.code == code
    assert "CLIENT" in refused.value.next_step or "JWT" in refused.value.next_step
    assert "wrong-secret" not in str(refused.value)


def test_a_missing_setting_or_an_unusable_key_is_told_before_anything_is_sent(connect: Connect) -> None:
    with pytest.raises(AskPerson, match="client_secret"):
        connect(client_secret="")
    with pytest.raises(AskPerson, match="auth_flow"):
        connect(auth_flow="magic")
    with pytest.raises(AskPerson, match="private_key"):
        connect(auth_flow="jwt_bearer", private_key="no key at all").limits()


def test_an_expired_session_is_renewed_without_being_noticed(org: RunningSandbox, client: SalesforceClient) -> None:
    client.limits()
    org.store.write("DELETE FROM _sessions")
    org.app.faults.once("expire_token")
    client.limits()
    client.limits()
    assert client.calls.snapshot()["auth"] == 2


def test_all_pages_are_read_and_money_is_decimal(org: RunningSandbox, client: SalesforceClient) -> None:
    org.service.insert_many("Account", ({"Name": f"A{n}", "Tieout_Paid__c": "0.1"} for n in range(4_100)), actor="")
    pages = list(client.query_pages("SELECT Id, Tieout_Paid__c FROM Account"))
    assert [len(page) for page in pages] == [2000, 2000, 100]
    assert sum(row["Tieout_Paid__c"] for page in pages for row in page) == Decimal("410.0")


def test_deleted_rows_come_only_when_asked_for(org: RunningSandbox, client: SalesforceClient) -> None:
    one, two = org.service.insert_many("Account", [{"Name": "a"}, {"Name": "b"}], actor="")
    org.service.delete("Account", one, actor="")
    assert [row["Id"] for row in client.query("SELECT Id FROM Account")] == [two]
    assert [row["IsDeleted"] for row in client.query("SELECT IsDeleted FROM Account", all_rows=True)] == [True, False]


def test_a_bulk_query_holds_every_row_once(org: RunningSandbox, client: SalesforceClient) -> None:
    ids = org.service.insert_many("Account", ({"Name": f'"{n}",\n'} for n in range(1_001)), actor="")
    org.store.meta["bulk.polls"] = 3
    pages = list(client.bulk_query_csv("SELECT Id, Name FROM Account", page_size=400))
    rows = [row for page in pages for row in csv.DictReader(io.StringIO(page.decode()))]
    assert [row["Id"] for row in rows] == ids
    assert len(pages) == 3
    assert org.store.read("SELECT id FROM _jobs") == []
    assert client.calls.writes == 0


def test_a_bulk_query_that_fails_says_why(client: SalesforceClient) -> None:
    with pytest.raises(Refused, match="compound data"):
        list(client.bulk_query_csv("SELECT BillingAddress FROM Account"))


def test_a_probe_of_several_objects_is_one_call(org: RunningSandbox, client: SalesforceClient) -> None:
    client.limits()
    before = client.calls.snapshot()["total"]
    empty = client.newest_change(["Account", "Contact", "Opportunity"])
    assert (empty["Account"].count, empty["Account"].newest) == (0, None)
    org.service.insert("Account", {"Name": "a"}, actor="")
    first = client.newest_change(["Account"])["Account"]
    org.service.update("Account", next(org.service.rows("Account"))["Id"], {"Name": "b"}, actor="")
    second = client.newest_change(["Account"])["Account"]
    assert first.newest is not None
    assert second.newest is not None
    assert second.newest > first.newest
    assert client.calls.snapshot()["total"] - before == 3
    with pytest.raises(Refused, match="Nope"):
        client.newest_change(["Account", "Nope"])


def test_keys_are_found_in_as_few_calls_as_the_urls_length_allows(
    org: RunningSandbox, client: SalesforceClient
) -> None:
    keys = [f"It's key {n:04d} \\ ü" for n in range(700)]
    org.service.insert_many("Account", ({"Name": "x", "Ext_Key__c": key} for key in keys), actor="")
    client.limits()
    before = client.calls.reads
    found = [row["Ext_Key__c"] for row in client.find("Account", "Ext_Key__c", keys, ["Name"])]
    assert sorted(found) == sorted(keys)
    assert client.calls.reads - before <= 7


def test_a_lost_reply_to_a_create_is_uncertain_and_is_not_sent_again(
    org: RunningSandbox, client: SalesforceClient
) -> None:
    client.limits()
    org.faults.once("lose_reply")
    with pytest.raises(Uncertain):
        client.collections_create("Account", [{"Name": "once"}])
    assert [row["Name"] for row in org.service.rows("Account")] == ["once"]


def test_a_lost_reply_to_an_upsert_or_an_update_is_sent_again_and_done_once(
    org: RunningSandbox, connect: Connect
) -> None:
    naps: list[float] = []
    client = connect(naps=naps)
    client.limits()
    org.faults.once("lose_reply")
    (made,) = client.collections_upsert("Account", [{"Name": "once", "Ext_Key__c": "K"}], "Ext_Key__c")
    assert (made.success, made.created) == (True, False)
    org.faults.once("lose_reply")
    assert client.collections_update("Account", [{"Id": made.id, "Name": "twice"}])[0].success
    assert [row["Name"] for row in org.service.rows("Account")] == ["twice"]
    assert len(naps) == 2


def test_rows_fail_one_by_one_with_errors_that_say_what_to_do(org: RunningSandbox, client: SalesforceClient) -> None:
    account = org.service.insert("Account", {"Name": "a"}, actor="")
    locked = org.service.insert("Account", {"Name": "b"}, actor="")
    org.service.act("record.lock", locked, actor="")
    rows = [
        {"Id": account, "Name": "c"},
        {"Id": locked, "Name": "c"},
        {"Id": account[:14] + "9", "Name": "c"},
        {"Id": "001Tq000000000zAAA", "Payment_Terms__c": "never"},
    ]
    results = client.collections_update("Account", rows[:3])
    assert [type(one.error) for one in results] == [type(None), Conflict, Gone]
    refused = client.collections_update("Account", [{"Id": account, "Payment_Terms__c": "never"}])[0].error
    assert isinstance(refused, Refused)
    assert refused.fields == ("Payment_Terms__c",)
    gone, again = client.delete("Account", [account]), client.delete("Account", [account])
    assert gone[0].success
    assert isinstance(again[0].error, Gone)
    assert client.retrieve("Account", [locked, account], ["Name"])[1] is None


def test_two_limits_under_one_name_ask_for_different_patience() -> None:
    day = error_for("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    now = error_for("REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded")
    assert isinstance(day, Wait)
    assert isinstance(now, Wait)
    assert day.retry_after is not None
    assert day.retry_after >= 3600
    assert now.retry_after is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UNABLE_TO_LOCK_ROW", Retry),
        ("SERVER_UNAVAILABLE", Wait),
        ("STORAGE_LIMIT_EXCEEDED", AskPerson),
        ("DUPLICATE_VALUE", Conflict),
        ("ENTITY_IS_DELETED", Gone),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", Refused),
        ("SOMETHING_NEW", Refused),
    ],
)
def test_a_vendor_code_becomes_the_error_that_says_what_to_do_next(code: str, kind: type[PlatformError]) -> None:
    assert type(error_for(code, "text")) is kind


def test_the_days_allowance_used_up_is_not_waited_out_here(org: RunningSandbox, connect: Connect) -> None:
    naps: list[float] = []
    client = connect(naps=naps)
    org.store.meta["limits"] = {"DailyApiRequests": 0}
    with pytest.raises(Wait, match="TotalRequests"):
        client.limits()
    assert naps == []


def test_a_quote_in_a_key_cannot_leave_its_literal(org: RunningSandbox, client: SalesforceClient) -> None:
    evil = "x' OR Name LIKE '%"
    org.service.insert("Account", {"Name": "safe"}, actor="")
    assert client.query(f"SELECT Id FROM Account WHERE Name = {soql_text(evil)}") == []


def test_a_page_of_html_is_not_believed(org: RunningSandbox, connect: Connect) -> None:
    with pytest.raises((BadAnswer, AskPerson)) as refused:
        connect(base_url=f"{org.url}/_sandbox").limits()
    assert "127.0.0.1" in str(refused.value) or "refused" in str(refused.value)


def test_an_examination_names_what_is_missing_and_where_to_set_it(
    org: RunningSandbox, rules: SalesforceService, connect: Connect
) -> None:
    wanted = {
        "read": {"Opportunity": ["IsWon", "Billing_Type__c"], "Account": ["VAT_Number__c"], "Invoice": ["Id"]},
        "write": {"Opportunity": ["Tieout_Paid__c"]},
        "api_calls": 100,
    }
    client = connect()
    assert [one.what for one in examine(client, wanted) if one.level != "ok"] == [
        "Invoice: the integration user cannot see this object"
    ]
    rules.remove_field("Account", "VAT_Number__c")
    rules.alter_field("Opportunity", "Tieout_Paid__c", updateable=False)
    day = client.limits()["DailyApiRequests"]
    org.store.meta["limits"] = {"DailyApiRequests": day["Max"] - day["Remaining"] + 60}
    (old,) = [one for one in examine(connect(api_version="99.0"), wanted) if one.level == "error"]
    assert "99.0" in old.what
    assert "68.0" in old.fix
    errors = {one.what: one.fix for one in examine(connect(), wanted) if one.level == "error"}
    assert "Fields & Relationships" in errors["Account.VAT_Number__c is missing or hidden from the integration user"]
    assert "Edit" in errors["Opportunity.Tieout_Paid__c cannot be written by the integration user"]
    assert any("daily API requests" in what for what in errors)
    (only,) = examine(connect(client_secret="wrong-secret"), wanted)
    assert (only.level, only.what) == ("error", "the log-in was refused: invalid client credentials")
