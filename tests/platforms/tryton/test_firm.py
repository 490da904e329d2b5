"""The firm that lives in Tryton: the same for the same seed, and its books balance whatever it did."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from platforms.kit.errors import Refused
from platforms.tryton.client import TrytonClient
from platforms.tryton.server import RunningServer, firm, template

pytestmark = pytest.mark.tryton

START = date(2026, 9, 1)
SEED = 7


def deals(client: TrytonClient) -> list[tuple[Any, ...]]:
    """What the deals say, without ids and the day they were made on."""
    fields = ["description", "state", "amount", "reference", "start_date", "party.name", "lines.note", "lines.quantity"]
    rows = client.search_read("sale.opportunity", [], fields)
    return sorted(
        (r["description"], r["state"], r["amount"], r["reference"] or "", r["start_date"], r["party."]["name"],
         [(line["note"], line["quantity"]) for line in sorted(r["lines."], key=lambda line: int(line["id"]))])
        for r in rows
    )  # fmt: skip


def work(client: TrytonClient) -> Counter[tuple[Any, ...]]:
    rows = client.search_read("timesheet.line", [], ["date", "duration", "employee.party.name", "description"])
    return Counter((r["date"], r["duration"], r["description"], r["employee."]["party."]["name"]) for r in rows)


def live(client: TrytonClient) -> None:
    firm.populate(client, SEED, start=START, deals=10)
    for row in client.search_read("sale.opportunity", [["state", "=", "won"]], ["description", "party"]):
        firm.start_project(client, row["description"], row["party"])
    firm.advance(client, SEED, since=date(2026, 9, 7), days=7)


def draft(client: TrytonClient, reference: str, dated: date, hours: int) -> None:
    """An invoice as Tieout drafts it."""
    party = client.search_read(
        "party.party", [["name", "=", "Brouwerij Dommel"]], ["addresses", "customer_payment_term"]
    )[0]
    [time] = client.search("product.product", [["code", "=", "SVC-TIME"]])
    [account] = client.search("account.account", [["type.revenue", "=", True], ["name", "=", "Services"]], limit=1)
    line = {
        "type": "line", "product": time, "account": account, "unit": client.search("product.uom", [["name", "=", "Hour"]])[0],
        "quantity": Decimal(hours), "unit_price": Decimal("135.00"), "taxes": [["add", client.search("account.tax", [])]],
        "description": "Work",
    }  # fmt: skip
    client.create(
        "account.invoice",
        [{
            "type": "out", "party": party["id"], "invoice_address": party["addresses"][0], "reference": reference,
            "payment_term": party["customer_payment_term"], "invoice_date": dated,
            "journal": client.search("account.journal", [["type", "=", "revenue"]])[0],
            "currency": client.search("currency.currency", [["code", "=", "EUR"]])[0],
            "account": client.read("account.configuration", ["1"], ["default_account_receivable"])[0]["default_account_receivable"],
            "lines": [["create", [line]]],
        }],
    )  # fmt: skip


def test_the_same_seed_makes_the_same_firm_and_living_a_day_twice_adds_nothing(
    tmp_path_factory: pytest.TempPathFactory, server: RunningServer, admin: TrytonClient
) -> None:
    live(admin)
    first_deals, first_work = deals(admin), work(admin)
    again = firm.advance(admin, SEED, since=date(2026, 9, 7), days=7)
    assert (again.lines, again.won) == (0, [])
    assert firm.populate(admin, SEED, start=START, deals=10).deals == {}
    folder: Path = tmp_path_factory.mktemp("twin")
    with RunningServer(folder, template()) as twin, twin.admin() as other:
        live(other)
        assert deals(other) == first_deals
        assert work(other) == first_work
    assert {state for _, state, *_ in first_deals} >= {"won", "opportunity", "lead", "lost", "cancelled"}
    assert sum(first_work.values()) > 20

    # Each model is won once at least, and a deal's amount is what its lines come to.
    codes = admin.search_read("sale.opportunity.line", [["opportunity.state", "=", "won"]], ["product.code", "note"])
    kinds = {(line["product."]["code"].split("-")[0], line["product."]["code"], bool(line["note"])) for line in codes}
    assert {("SVC", "SVC-FIXED", False), ("SVC", "SVC-FIXED", True), ("SVC", "SVC-RETAINER", True)} <= kinds
    assert any(kind == "ROLE" for kind, _, _ in kinds)


def test_finance_posts_in_order_is_paid_and_the_books_balance(server: RunningServer, admin: TrytonClient) -> None:
    firm.populate(admin, SEED, start=START, deals=0)
    for number in (0, 3, 6, 7, 8):  # with this seed: two never pay, one pays in parts, two pay
        draft(admin, f"INV_{number}_202610_1", date(2026, 10, 30 - number), number + 1)
    draft(admin, "made by hand", date(2026, 10, 1), 1)
    report = firm.finance(admin, SEED, on=date(2026, 11, 20), credit=1.0)
    assert len(report.posted) == 5 and report.refused == []
    assert report.posted[0] == "INV_8_202610_1"
    assert report.paid and report.partly_paid and report.credited
    assert firm.finance(admin, SEED, on=date(2026, 11, 20), credit=1.0).posted == []

    balance = firm.trial_balance(admin)
    assert sum(debit for debit, _ in balance.values()) == sum(credit for _, credit in balance.values()) > 0
    posted = admin.search_read("account.invoice", [["state", "=", "posted"]], ["amount_to_pay"])
    assert firm.receivable(admin) == sum(row["amount_to_pay"] for row in posted) > 0
    [byhand] = admin.search_read("account.invoice", [["reference", "=", "made by hand"]], ["state"])
    assert byhand["state"] == "draft"


def test_what_tryton_refuses_stays_a_draft_and_is_reported(server: RunningServer, admin: TrytonClient) -> None:
    firm.populate(admin, SEED, start=START, deals=0)
    draft(admin, "INV_closed_202712_1", date(2027, 12, 31), 1)
    assert firm.close_period(admin, date(2027, 12, 31)) == "2027-12"
    report = firm.finance(admin, SEED, on=date(2027, 12, 31), pay=False)
    assert [reference for reference, _ in report.refused] == ["INV_closed_202712_1"]
    firm.reopen_period(admin, date(2027, 12, 31))
    firm.post_invoice(admin, "INV_closed_202712_1")

    before = firm.remove_receivable_account(admin)
    with pytest.raises(Refused):
        draft(admin, "INV_without_account", date(2027, 12, 31), 1)
    firm.restore_receivable_account(admin, before)
    [party] = admin.search("party.party", [["name", "=", "Halland Skogs AB"]])
    firm.deactivate_party(admin, party)
    with pytest.raises(Refused):
        admin.write("party.party", [([party], {"name": "Halland Skogs"})])
    firm.activate_party(admin, party)
    admin.write("party.party", [([party], {"name": "Halland Skogs AB"})])
