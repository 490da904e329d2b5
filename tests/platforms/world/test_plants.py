"""Every planted item is found in the platforms as its record claims."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from platforms.kit.sandbox.service import Service
from platforms.world import firm
from platforms.world.plants import PLANTS

Services = dict[str, Service]


@pytest.fixture(scope="module")
def truth(tiny: Path) -> dict[str, Any]:
    return firm.truth(tiny)


@pytest.fixture(scope="module")
def planted(truth: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in truth["planted"]}


def one(service: Service, object: str, where: str, *params: Any) -> dict[str, Any]:
    rows = list(service.rows(object, where, params))
    assert len(rows) == 1, (object, where, params)
    return rows[0]


def entries(services: Services, item: dict[str, Any]) -> list[dict[str, Any]]:
    found = [one(services["psa"], "time_entries", "id = ?", int(id)) for id in item["time_entries"]]
    assert found
    return found


def plain(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def test_even_the_tiny_firm_has_nearly_everything(planted: dict[str, Any], truth: dict[str, Any]) -> None:
    assert len(planted) >= 15
    assert all(item["rule"] and item["expected"] for item in truth["planted"])
    assert all(day <= date(2026, 10, 30) for day in PLANTS.values())


def test_deals_without_what_the_gate_asks(services: Services, planted: dict[str, Any]) -> None:
    for name, fields in {
        "deal without legal entity": ["Legal_Entity__c"],
        "deal without contract dates": ["Contract_Start__c", "Contract_End__c"],
        "deal without purchase order": ["PO_Number__c"],
    }.items():
        row = one(services["crm"], "Opportunity", '"Id" = ?', planted[name]["opportunity"])
        assert row["IsWon"]
        assert all(row[field] is None for field in fields)
        assert not list(
            services["psa"].rows("external_references", "service_model_ref = ?", (planted[name]["opportunity"],))
        )
    account = one(services["crm"], "Account", '"Id" = ?', planted["deal without purchase order"]["account"])
    assert account["PO_Required__c"]


def test_the_deal_that_sales_corrects_is_corrected(living: Path, planted: dict[str, Any]) -> None:
    from platforms.kit.sandbox.registry import sandbox

    item = planted["deal without legal entity"]
    firm.advance(living, 8)
    row = one(sandbox("salesforce").open_service(living), "Opportunity", '"Id" = ?', item["opportunity"])
    assert row["Legal_Entity__c"] in ("US", "UK", "DE")
    assert firm.today(living).isoformat() > item["corrected_on"]


def test_won_deals_that_nobody_set_up(services: Services, truth: dict[str, Any]) -> None:
    assert len(truth["deals_awaiting_project"]) >= 3
    for deal in truth["deals_awaiting_project"]:
        row = one(services["crm"], "Opportunity", '"Id" = ?', deal["opportunity"])
        assert row["IsWon"]
        assert row["Amount"] == Decimal(deal["amount"])
        assert row["Legal_Entity__c"]
        assert not list(services["ledger"].rows("job", "externalid = ?", (f"PRJ_{deal['opportunity']}",)))


def test_customers_that_are_and_are_not_the_same(services: Services, planted: dict[str, Any]) -> None:
    item = planted["customer identifier mismatch"]
    customer = one(services["ledger"], "customer", "id = ?", int(item["customer"]))
    account = one(services["crm"], "Account", '"Id" = ?', item["account"])
    assert item["account"] in customer["externalid"]
    assert customer["vatregnumber"] == item["ledger_vat"] != account["VAT_Number__c"] == item["crm_vat"]

    item = planted["same name, other tax id"]
    real = one(services["ledger"], "customer", "id = ?", int(item["customer"]))
    twin = one(services["ledger"], "customer", "id = ?", int(item["twin"]))
    assert plain(real["vatregnumber"]) != plain(twin["vatregnumber"])
    assert real["companyname"].split()[0].upper() == twin["companyname"].split()[0]
    assert twin["externalid"] is None

    item = planted["account twice in the CRM"]
    rows = [one(services["crm"], "Account", '"Id" = ?', item[which]) for which in ("account", "twin")]
    assert plain(rows[0]["VAT_Number__c"]) == plain(rows[1]["VAT_Number__c"])
    assert rows[0]["Name"] != rows[1]["Name"]


def test_hours_that_must_not_be_billed(services: Services, planted: dict[str, Any]) -> None:
    assert all(not e["approved"] and e["active_submission_id"] for e in entries(services, planted["unapproved hours"]))
    for entry in entries(services, planted["rejected timesheet"]):
        assert not entry["approved"]
        sheet = one(services["psa"], "timesheet_submissions", "id = ?", int(entry["recent_submission_id"]))
        assert sheet["status"] == "rejected"
    assert all(entry["rate_in_cents"] == 0 for entry in entries(services, planted["hours with no rate"]))
    assert all(not entry["billable"] for entry in entries(services, planted["hours that are not billable"]))
    late = planted["work after the contract"]
    assert all(e["date_performed"] > late["contract_end"] and e["approved"] for e in entries(services, late))


def test_hours_of_a_closed_period_wait_for_their_invoice(services: Services, planted: dict[str, Any]) -> None:
    period = one(services["ledger"], "accountingperiod", "periodname = 'Aug 2026'")
    assert period["closed"] == "T"
    for entry in entries(services, planted["approved hours of a closed period"]):
        assert entry["date_performed"].startswith("2026-08")
        assert entry["approved"]
        assert entry["invoice_id"] is None


def test_an_invoice_the_psa_does_not_show_and_a_draft_that_was_rejected(
    services: Services, planted: dict[str, Any]
) -> None:
    for name, statuses in {
        "ledger invoice that the PSA does not show": "AB",
        "draft rejected by finance": "E",
    }.items():
        item = planted[name]
        invoice = one(services["ledger"], "invoice", "id = ?", int(item["invoice"]))
        assert invoice["externalid"] == item["key"]
        assert invoice["status"] in statuses
        assert all(entry["invoice_id"] is None for entry in entries(services, item))
        lines = services["ledger"].rows("transactionline", '"transaction" = ?', (int(item["invoice"]),))
        sources = {line["custcol_tieout_source"] for line in lines}
        assert {f"kantata:time_entry:{id}" for id in item["time_entries"]} <= sources


def test_a_draft_that_finance_deleted_is_gone(services: Services, planted: dict[str, Any]) -> None:
    item = planted["draft deleted by finance"]
    assert not list(services["ledger"].rows("invoice", "id = ?", (int(item["invoice"]),)))
    assert list(services["ledger"].rows("deletedrecord", "recordid = ?", (int(item["invoice"]),)))
    assert all(entry["invoice_id"] is None and entry["approved"] for entry in entries(services, item))


def test_money_that_went_an_unusual_way(services: Services, planted: dict[str, Any]) -> None:
    ledger = services["ledger"]
    item = planted["payment un-applied"]
    invoice = one(ledger, "invoice", "id = ?", int(item["invoice"]))
    assert invoice["status"] == "A"
    assert Decimal(repr(invoice["amountremaining"])) == Decimal(item["amount"])
    payment = one(ledger, "customerPayment", "id = ?", int(item["payment"]))
    assert payment["unapplied"] > 0

    item = planted["overpayment"]
    assert one(ledger, "invoice", "id = ?", int(item["invoice"]))["status"] == "B"
    payment = one(ledger, "customerPayment", "id = ?", int(item["payment"]))
    assert Decimal(repr(payment["unapplied"])) == Decimal(item["surplus"])

    item = planted["credit note"]
    assert one(ledger, "creditMemo", "id = ?", int(item["credit"]))["applied"] > 0


def test_what_is_to_be_billed_is_there_in_every_currency(truth: dict[str, Any]) -> None:
    assert set(truth["to_bill"]) == {"USD", "GBP", "EUR"}
    for row in truth["to_bill"].values():
        assert row["hours"] + row["milestones"] > 0
        assert Decimal(row["hours_amount"]) + Decimal(row["milestones_amount"]) > 1000
