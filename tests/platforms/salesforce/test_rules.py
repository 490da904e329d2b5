"""What an org does with records by itself, and what it refuses."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from platforms.kit.sandbox.service import Refusal
from platforms.salesforce.sandbox.ids import make_id, normal_id, number_of
from platforms.salesforce.sandbox.schema import custom_prefix, define, describe_object, lookup, text
from platforms.salesforce.sandbox.service import SalesforceService
from platforms.salesforce.sandbox.setup import credentials


def one(service: SalesforceService, name: str, record_id: str) -> dict[str, Any]:
    return next(service.rows(name, '"Id" = ?', (record_id,)))


def deal(service: SalesforceService, **values: Any) -> str:
    given = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-03-31", "CurrencyIsoCode": "EUR", **values}
    return service.insert("Opportunity", given, actor="")


def entry(service: SalesforceService, price: str = "150", currency: str = "EUR") -> str:
    product = service.insert("Product2", {"Name": "Consulting", "ProductCode": "SVC", "IsActive": True}, actor="")
    book = service.store.meta["standard_pricebook_id"]
    given = {"Product2Id": product, "Pricebook2Id": book, "UnitPrice": price, "CurrencyIsoCode": currency}
    return service.insert("PricebookEntry", given, actor="")


def test_an_id_survives_its_short_form_and_a_caseless_system() -> None:
    assert normal_id("006xx0000012QWE") == "006xx0000012QWEAA2"
    assert normal_id("001xx000003DGb2AAG") == "001xx000003DGb2AAG"
    for number in (1, 61, 62, 3_843, 987_654_321):
        made = make_id("001", number)
        assert number_of(made) == number
        assert normal_id(made[:15]) == made == normal_id(made.lower()) == normal_id(made.upper())
    assert normal_id("001xx000003DGb2AAH") is None
    assert normal_id("not an id") is None


def test_the_stage_decides_what_is_won_closed_and_forecast(service: SalesforceService) -> None:
    opportunity = deal(service, Amount="1000")
    fresh = one(service, "Opportunity", opportunity)
    assert (fresh["IsWon"], fresh["IsClosed"], fresh["Probability"]) == (False, False, Decimal(10))
    assert fresh["LastStageChangeDate"] is None
    assert fresh["ExpectedRevenue"] == Decimal("100.00")
    service.update("Opportunity", opportunity, {"StageName": "closed won"}, actor="")
    won = one(service, "Opportunity", opportunity)
    assert (won["IsWon"], won["IsClosed"], won["Probability"]) == (True, True, Decimal(100))
    assert (won["StageName"], won["ForecastCategory"], won["FiscalQuarter"]) == ("Closed Won", "Closed", 1)
    assert won["LastStageChangeDate"] == won["SystemModstamp"] > fresh["SystemModstamp"]
    service.update("Opportunity", opportunity, {"NextStep": "invoice"}, actor="")
    assert one(service, "Opportunity", opportunity)["LastStageChangeDate"] == won["LastStageChangeDate"]


def test_an_amount_is_the_sum_of_its_lines_and_cannot_be_talked_into_another(service: SalesforceService) -> None:
    opportunity = deal(service, Amount="5")
    priced = entry(service, "150.55")
    lines = [{"OpportunityId": opportunity, "PricebookEntryId": priced, "Quantity": n} for n in (1, "2.5")]
    first, second = service.insert_many("OpportunityLineItem", lines, actor="")
    found = one(service, "Opportunity", opportunity)
    assert (found["Amount"], found["HasOpportunityLineItem"]) == (Decimal("526.93"), True)
    assert found["Pricebook2Id"] == service.store.meta["standard_pricebook_id"]
    service.update("Opportunity", opportunity, {"Amount": "1", "NextStep": "x"}, actor="")
    assert one(service, "Opportunity", opportunity)["Amount"] == Decimal("526.93")
    service.update("OpportunityLineItem", second, {"UnitPrice": "100", "Discount": "10"}, actor="")
    assert one(service, "OpportunityLineItem", second)["TotalPrice"] == Decimal("225")
    service.delete("OpportunityLineItem", first, actor="")
    assert one(service, "Opportunity", opportunity)["Amount"] == Decimal("225")
    with pytest.raises(Refusal, match="FIELD_INTEGRITY_EXCEPTION"):
        service.update("Opportunity", opportunity, {"CurrencyIsoCode": "USD"}, actor="")


def test_a_line_keeps_to_the_currency_of_its_deal(service: SalesforceService) -> None:
    opportunity = deal(service, CurrencyIsoCode="GBP")
    with pytest.raises(Refusal, match="currency") as refused:
        service.insert(
            "OpportunityLineItem",
            {"OpportunityId": opportunity, "PricebookEntryId": entry(service), "Quantity": 1},
            actor="",
        )
    assert refused.value.code == "FIELD_INTEGRITY_EXCEPTION"


@pytest.mark.parametrize(
    ("values", "code", "fields"),
    [
        ({}, "REQUIRED_FIELD_MISSING", ("Name",)),
        ({"Name": ""}, "REQUIRED_FIELD_MISSING", ("Name",)),
        ({"Name": "x" * 256}, "STRING_TOO_LONG", ("Name",)),
        ({"Name": 5}, "JSON_PARSER_ERROR", ("Name",)),
        ({"Name": "a", "Nope__c": 1}, "INVALID_FIELD", ()),
        ({"Name": "a", "Payment_Terms__c": "Net 31"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ("Payment_Terms__c",)),
        ({"Name": "a", "Billing_Email__c": "nobody"}, "INVALID_EMAIL_ADDRESS", ("Billing_Email__c",)),
        ({"Name": "a", "BillingCountryCode": "XX"}, "FIELD_INTEGRITY_EXCEPTION", ("BillingCountryCode",)),
        ({"Name": "a", "ParentId": "001"}, "MALFORMED_ID", ("ParentId",)),
        ({"Name": "a", "ParentId": make_id("001", 99)}, "INVALID_CROSS_REFERENCE_KEY", ("ParentId",)),
        ({"Name": "a", "ParentId": make_id("003", 1)}, "FIELD_INTEGRITY_EXCEPTION", ("ParentId",)),
        ({"Name": "a", "IsDeleted": True}, "INVALID_FIELD_FOR_INSERT_UPDATE", ("IsDeleted",)),
        ({"Name": "a", "BillingAddress": {}}, "INVALID_FIELD_FOR_INSERT_UPDATE", ("BillingAddress",)),
        ({"Name": "a", "Id": make_id("001", 5)}, "INVALID_FIELD_FOR_INSERT_UPDATE", ("Id",)),
        ({"Name": "a", "Tieout_Paid__c": "1" + "0" * 17}, "NUMBER_OUTSIDE_VALID_RANGE", ("Tieout_Paid__c",)),
        ({"Name": "a", "Tieout_Paid__c": "much"}, "JSON_PARSER_ERROR", ("Tieout_Paid__c",)),
        ({"Name": "a", "PO_Required__c": None}, "JSON_PARSER_ERROR", ("PO_Required__c",)),
        ({"Name": "a", "CurrencyIsoCode": "JPY"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ("CurrencyIsoCode",)),
    ],
)
def test_what_a_field_cannot_hold_is_refused_with_its_code(
    service: SalesforceService, values: dict[str, Any], code: str, fields: tuple[str, ...]
) -> None:
    with pytest.raises(Refusal) as refused:
        service.insert("Account", values, actor="")
    assert (refused.value.code, refused.value.fields) == (code, fields)
    assert list(service.rows("Account")) == []


def test_a_chunk_with_one_bad_row_leaves_nothing(service: SalesforceService) -> None:
    with pytest.raises(Refusal):
        service.insert_many("Account", [{"Name": "a"}, {"Name": "b"}, {}], actor="")
    assert list(service.rows("Account")) == []


def test_a_unique_key_is_unique_without_regard_to_case_and_within_a_chunk(service: SalesforceService) -> None:
    service.add_field("Account", text("Key__c", 20, external_id=True, unique=True))
    service.insert("Account", {"Name": "a", "Key__c": "K1"}, actor="")
    with pytest.raises(Refusal, match="DUPLICATE_VALUE"):
        service.insert("Account", {"Name": "b", "Key__c": "k1"}, actor="")
    with pytest.raises(Refusal, match="DUPLICATE_VALUE"):
        service.insert_many("Account", [{"Name": "b", "Key__c": "z"}, {"Name": "c", "Key__c": "Z"}], actor="")
    made, created = service.upsert("Account", "Key__c", "k1", {"Name": "again"}, actor="")
    assert (one(service, "Account", made)["Name"], created) == ("again", False)


def test_a_key_that_is_not_unique_matches_several_records(service: SalesforceService) -> None:
    service.add_field("Account", text("Key__c", 20, external_id=True))
    ids = service.insert_many("Account", [{"Name": n, "Key__c": "K"} for n in "ab"], actor="")
    with pytest.raises(Refusal) as refused:
        service.upsert("Account", "Key__c", "K", {"Name": "c"}, actor="")
    assert (refused.value.status, refused.value.details["ids"]) == (300, ids)


def test_a_merge_moves_the_children_and_leaves_a_trace_on_the_loser(service: SalesforceService) -> None:
    winner, loser = service.insert_many("Account", [{"Name": "Acme"}, {"Name": "ACME Ltd"}], actor="")
    contact = service.insert("Contact", {"LastName": "L", "AccountId": loser}, actor="")
    opportunity = deal(service, AccountId=loser)
    before = one(service, "Contact", contact)["SystemModstamp"]
    service.act("account.merge", winner, losers=[loser], actor="")
    assert (
        one(service, "Contact", contact)["AccountId"] == one(service, "Opportunity", opportunity)["AccountId"] == winner
    )
    assert one(service, "Contact", contact)["SystemModstamp"] > before
    gone = one(service, "Account", loser)
    assert (gone["IsDeleted"], gone["MasterRecordId"]) == (True, winner)
    assert [r["Id"] for r in service.query("SELECT Id, MasterRecordId FROM Account", all_rows=True)] == [winner, loser]
    assert [r["Id"] for r in service.query("SELECT Id FROM Account")] == [winner]


def test_a_deleted_record_takes_its_children_along_and_can_come_back(service: SalesforceService) -> None:
    account = service.insert("Account", {"Name": "Acme"}, actor="")
    contact = service.insert("Contact", {"LastName": "L", "AccountId": account}, actor="")
    service.delete("Account", account, actor="")
    assert one(service, "Contact", contact)["IsDeleted"] is True
    with pytest.raises(Refusal, match="ENTITY_IS_DELETED"):
        service.update("Account", account, {"Name": "b"}, actor="")
    with pytest.raises(Refusal, match="ENTITY_IS_DELETED"):
        service.insert("Contact", {"LastName": "M", "AccountId": account}, actor="")
    service.act("record.undelete", account, actor="")
    service.update("Account", account, {"Name": "b"}, actor="")
    service.act("recycle_bin.empty", "", actor="")
    assert list(service.rows("Contact")) == []
    won = service.insert("Account", {"Name": "Winner"}, actor="")
    deal(service, AccountId=won, StageName="Closed Won")
    with pytest.raises(Refusal, match="DELETE_FAILED"):
        service.delete("Account", won, actor="")


def test_a_record_in_approval_is_locked_until_it_is_not(service: SalesforceService) -> None:
    account = service.insert("Account", {"Name": "Acme"}, actor="")
    service.act("record.lock", account, actor="")
    with pytest.raises(Refusal, match="ENTITY_IS_LOCKED"):
        service.update("Account", account, {"Name": "b"}, actor="")
    service.act("record.unlock", account, actor="")
    service.update("Account", account, {"Name": "b"}, actor="")


def test_country_names_and_codes_follow_each_other(service: SalesforceService) -> None:
    account = service.insert("Account", {"Name": "a", "BillingCountry": "germany"}, actor="")
    assert one(service, "Account", account)["BillingCountryCode"] == "DE"
    service.update("Account", account, {"BillingCountryCode": "gb"}, actor="")
    assert one(service, "Account", account)["BillingCountry"] == "United Kingdom"


def test_stamps_have_whole_seconds_and_each_commit_a_second_of_its_own(service: SalesforceService) -> None:
    first = service.insert_many("Account", [{"Name": str(n)} for n in range(3)], actor="")
    second = service.insert("Account", {"Name": "later"}, actor="")
    stamps = [row["SystemModstamp"] for row in service.rows("Account")]
    assert len(set(stamps[: len(first)])) == 1
    assert stamps[3] > stamps[0]
    assert all(stamp.endswith(".000+0000") for stamp in stamps)
    service.clock.set_at_least(dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC))
    service.update("Account", second, {"Name": "now"}, actor="")
    # Not 12:00:00: whoever asked for the time before the change must see it as older than the change.
    assert one(service, "Account", second)["LastModifiedDate"] == "2026-07-01T12:00:01.000+0000"


def test_a_custom_object_is_data_alone(service: SalesforceService) -> None:
    project = define(
        "pse__Proj__c",
        custom_prefix(0),
        "Project",
        "Projects",
        [
            text("Name", 80, name_field=True, required=True),
            text("pse__Project_ID__c", 30, auto_number="PR-{000000}", createable=False, updateable=False),
            lookup("pse__Account__c", "Account", "pse__Projects__r"),
        ],
        owner=True,
        multi_currency=True,
    )
    service.add_object(project)
    account = service.insert("Account", {"Name": "Acme"}, actor="")
    service.insert("pse__Proj__c", {"Name": "P", "pse__Account__c": account}, actor="")
    (found,) = service.query("SELECT pse__Project_ID__c, pse__Account__r.Name FROM pse__Proj__c")
    assert (found["pse__Project_ID__c"], found["pse__Account__r"]["Name"]) == ("PR-000001", "Acme")
    (parent,) = service.query("SELECT Name, (SELECT Name FROM pse__Projects__r) FROM Account")
    assert parent["pse__Projects__r"]["totalSize"] == 1


def test_an_org_may_gain_lose_and_change_fields_while_it_runs(service: SalesforceService) -> None:
    other = SalesforceService(service.store)
    account = service.insert("Account", {"Name": "Acme", "VAT_Number__c": "GB1"}, actor="")
    service.alter_field("Account", "VAT_Number__c", type="double", precision=18)
    described = describe_object(other.object("Account"), other.objects.values(), "")
    assert next(f["type"] for f in described["fields"] if f["name"] == "VAT_Number__c") == "double"
    service.remove_field("Account", "VAT_Number__c")
    assert "VAT_Number__c" not in other.object("Account").by_name
    assert "VAT_Number__c" not in one(service, "Account", account)


def test_the_same_seed_makes_the_same_org_and_another_seed_other_credentials() -> None:
    assert credentials(7) == credentials(7)
    assert not set(credentials(7).values()) & set(credentials(8).values()) - {credentials(7)["username"]}
