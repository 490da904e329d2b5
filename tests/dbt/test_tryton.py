"""Tryton in the canonical models, in every role: a boutique that keeps everything in one Tryton, and a firm that sells in
Salesforce, works in Kantata and keeps its books in Tryton.

Figures are worked out on paper; the day is 31 March 2026, so that February is the last month whose hours are billed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import test_manifest_rules
from raw_warehouse import RawWarehouse
from test_marts import account
from test_marts import deal as salesforce_deal
from test_marts import entry as time_entry

# Nothing here needs a server; it runs with the others that concern Tryton, which the common suite leaves out.
pytestmark = pytest.mark.tryton

OWNERS = {
    "relationship": "crm",
    "deal": "crm",
    "project": "psa",
    "work": "psa",
    "legal_customer": "accounting",
    "billing": "accounting",
}
BOUTIQUE = {
    "stacks": {
        "boutique": {
            "label": "Boutique",
            "crm": "boutique",
            "psa": "boutique",
            "accounting": "boutique",
            "legal_entities": ["NL"],
            "owners": OWNERS,
        }
    },
    "connections": {"boutique": {"platform": "tryton", "link_base": "https://tryton.example/#firm"}},
}
NORDICS = {
    "stacks": {
        "nordics": {
            "label": "Nordics",
            "crm": "salesforce",
            "psa": "kantata",
            "accounting": "books",
            "legal_entities": ["SE"],
            "owners": OWNERS,
        }
    },
    "connections": {
        "salesforce": {"platform": "salesforce"},
        "kantata": {"platform": "kantata"},
        "books": {"platform": "tryton"},
    },
}
THEN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
STAMPS = {"create_date": THEN, "last_modified_at": THEN}
HOUR, UNIT = "9", "1"
PRODUCTS = {
    "SVC-TIME": ("10", "120", HOUR),
    "SVC-EXPENSE": ("11", "1", UNIT),
    "SVC-FIXED": ("12", "1", UNIT),
    "SVC-RETAINER": ("13", "1", UNIT),
    "ROLE-CONSULTANT": ("14", "65.50", HOUR),
}


def add(raw: RawWarehouse, connection: str, table: str, *rows: Mapping[str, Any]) -> None:
    """Rows of a Tryton table; a number in words is exact."""
    stamps = {} if table == "account_invoice_payment_line" else STAMPS
    raw.add("tryton", table, [{**stamps, **row} for row in rows], connection=connection)


def books(raw: RawWarehouse, connection: str, code: str, currency: str) -> None:
    """A company with its own currency, one employee, products, terms, and months of which February is closed."""
    add(raw, connection, "currency_currency", {"id": "1", "code": currency, "name": currency, "digits": 2})
    add(raw, connection, "currency_currency_rate", {"id": "1", "currency": "1", "date": date(2025, 1, 1), "rate": "1"})
    add(raw, connection, "country_country", {"id": "1", "code": "NL"}, {"id": "2", "code": "SE"})
    add(
        raw,
        connection,
        "party_party",
        {"id": "1", "name": f"Firm {code}", "code": code},
        {"id": "2", "name": "Ines Verhoeven", "code": "1"},
    )
    add(raw, connection, "company_company", {"id": "1", "party": "1", "currency": "1"})
    add(raw, connection, "company_employee", {"id": "7", "party": "2", "company": "1", "cost_price": "48"})
    add(raw, connection, "product_uom", {"id": HOUR, "symbol": "h", "digits": 2}, {"id": UNIT, "symbol": "u"})
    for product, (id, price, unit) in PRODUCTS.items():
        add(
            raw,
            connection,
            "product_template",
            {"id": id, "name": product.title(), "list_price": price, "code": product},
        )
        add(raw, connection, "product_product", {"id": id, "template": id, "default_uom": unit, "code": product})
    add(raw, connection, "account_invoice_payment_term", {"id": "3", "name": "Net 30"})
    add(raw, connection, "account_invoice_payment_term_line", {"id": "3", "payment": "3", "type": "remainder"})
    add(raw, connection, "account_invoice_payment_term_line_delta", {"id": "3", "line": "3", "days": 30})
    add(raw, connection, "account_journal", {"id": "1", "type": "revenue"}, {"id": "2", "type": "cash"})
    for month, last, state in ((2, 28, "closed"), (3, 31, "open"), (4, 30, "open")):
        add(
            raw,
            connection,
            "account_period",
            {
                "id": str(month),
                "name": f"2026-0{month}",
                "company": "1",
                "type": "standard",
                "state": state,
                "start_date": date(2026, month, 1),
                "end_date": date(2026, month, last),
            },
        )


def party(raw: RawWarehouse, connection: str, id: str, name: str, code: str, vat: str, country: str = "1") -> None:
    """A customer with an address, a VAT number, and an e-mail for invoices."""
    add(raw, connection, "party_party", {"id": id, "name": name, "code": code, "customer_payment_term": "3"})
    add(raw, connection, "party_address", {"id": id, "party": id, "city": "Rotterdam", "country": country})
    add(raw, connection, "party_identifier", {"id": id, "party": id, "type": "eu_vat", "code": vat})
    mail = {"id": id, "party": id, "type": "email", "value": f"{name.lower()}@client{id}.example", "name": "Kim Blom"}
    add(raw, connection, "party_contact_mechanism", mail)


def deal(raw: RawWarehouse, id: str, party: str, state: str, amount: str, *lines: tuple[str, str, str | None]) -> None:
    """An opportunity begun on 10 January, and won, if it is, on the 15th; lines are product, quantity and note."""
    add(
        raw,
        "boutique",
        "sale_opportunity",
        {
            "id": id,
            "description": f"Deal {id}",
            "reference": f"PO-{id}",
            "state": state,
            "party": party,
            "company": "1",
            "employee": "7",
            "currency": "1",
            "amount": amount,
            "conversion_probability": "0.5",
            "start_date": date(2026, 1, 10),
            "end_date": date(2026, 1, 15),
        },
    )
    for position, (product, quantity, note) in enumerate(lines, 1):
        add(
            raw,
            "boutique",
            "sale_opportunity_line",
            {
                "id": f"{id}{position}",
                "opportunity": id,
                "product": PRODUCTS[product][0],
                "unit": PRODUCTS[product][2],
                "quantity": quantity,
                "description": f"Part {position}",
                "note": note,
                "sequence": position,
            },
        )


def sold(raw: RawWarehouse) -> None:
    """Won deals of every billing type, one that nobody can bill, one whose quotation is out, and one that was lost."""
    books(raw, "boutique", "NL", "EUR")
    party(raw, "boutique", "20", "Acme", "7", "NL820646660B01")
    party(raw, "boutique", "21", "Beta", "8", "NL004495445B01")
    deal(raw, "5", "20", "won", "6550", ("ROLE-CONSULTANT", "100", None))
    deal(raw, "6", "21", "won", "1000", ("SVC-FIXED", "600", "2026-03-10"), ("SVC-FIXED", "400", "2026-04-20"))
    deal(raw, "7", "21", "won", "900", *(("SVC-RETAINER", "300", f"2026-0{month}-01") for month in (1, 2, 3)))
    deal(raw, "8", "21", "won", "500", ("SVC-FIXED", "500", None))
    deal(raw, "9", "21", "won", "565.50", ("SVC-FIXED", "500", None), ("ROLE-CONSULTANT", "1", None))
    deal(raw, "10", "21", "converted", "500", ("SVC-FIXED", "500", None))
    deal(raw, "11", "21", "cancelled", "500", ("SVC-FIXED", "500", None))
    deal(raw, "12", "20", "won", "655", ("ROLE-CONSULTANT", "10", None))


def project(raw: RawWarehouse, id: str, deal: str, party: str, product: str, **more: Any) -> None:
    add(
        raw,
        "boutique",
        "project_work",
        {
            "id": id,
            "name": f"Deal {deal}",
            "type": "project",
            "party": party,
            "company": "1",
            "status": "1",
            "comment": f"PRJ_{deal}\nwhat people wrote",
            "product": PRODUCTS[product][0],
            "project_invoice_method": "manual",
            **more,
        },
    )


def task(raw: RawWarehouse, id: str, parent: str, product: str, price: str | None, **more: Any) -> None:
    """A task, and what hours are logged on: `timesheet_work` 1000 higher."""
    work = {
        "id": id,
        "name": f"Task {id}",
        "type": "task",
        "parent": parent,
        "company": "1",
        "status": "1",
        "product": PRODUCTS[product][0],
        "list_price": price,
        **more,
    }
    add(raw, "boutique", "project_work", work)
    add(raw, "boutique", "timesheet_work", {"id": f"1{id}", "company": "1", "origin": f"project.work,{id}"})


def hours(raw: RawWarehouse, id: str, task: str, day: date, minutes: int) -> None:
    line = {
        "id": id,
        "company": "1",
        "employee": "7",
        "work": f"1{task}",
        "date": day,
        "duration_seconds": 60 * minutes,
    }
    add(raw, "boutique", "timesheet_line", line)


def worked(raw: RawWarehouse) -> None:
    """The projects stand; Ines worked on the first two in the same way. Tasks 33 and 37 are below another task, 35 and 38
    have no price of their own."""
    add(
        raw,
        "boutique",
        "project_work_status",
        {"id": "1", "name": "Open"},
        {"id": "2", "name": "Done", "progress": "1"},
    )
    for deal_id, top, first, second, third, entry_id in (
        ("5", "30", "31", "33", "35", ""),
        ("12", "32", "36", "37", "38", "1"),
    ):
        project(raw, top, deal_id, "20", "SVC-TIME")
        task(raw, first, top, "ROLE-CONSULTANT", "65.50", comment=f"TSK_{deal_id}1")
        task(raw, second, first, "ROLE-CONSULTANT", "135", effort_duration_seconds="7200")
        task(raw, third, top, "ROLE-CONSULTANT", None)
        hours(raw, f"{entry_id}1", first, date(2026, 2, 10), 531)
        hours(raw, f"{entry_id}2", first, date(2026, 2, 11), 531)
        hours(raw, f"{entry_id}3", second, date(2026, 2, 12), 20)
        hours(raw, f"{entry_id}4", third, date(2026, 2, 13), 61)
    hours(raw, "5", "31", date(2026, 3, 2), 60)  # March is not over for billing
    project(raw, "40", "6", "21", "SVC-FIXED")
    task(raw, "41", "40", "SVC-FIXED", "600", project_invoice_timesheet_up_to=date(2026, 3, 10))
    task(raw, "42", "40", "SVC-FIXED", "400", project_invoice_timesheet_up_to=date(2026, 4, 20))
    hours(raw, "6", "41", date(2026, 2, 13), 60)
    project(raw, "50", "8", "21", "SVC-FIXED")
    task(raw, "51", "50", "SVC-FIXED", "500", status="2")
    # a project that people bill by Tryton's own button, and one for the firm itself
    project(raw, "60", "x", "21", "SVC-TIME", comment="by hand", project_invoice_method="effort")
    task(raw, "61", "60", "ROLE-CONSULTANT", "135")
    hours(raw, "7", "61", date(2026, 2, 13), 60)


def document(
    raw: RawWarehouse,
    id: str,
    state: str,
    lines: Mapping[str, str],
    *,
    connection: str = "boutique",
    reference: str | None = None,
    party: str = "20",
    tax: str = "0",
    to_pay: str = "0",
    **more: Any,
) -> Decimal:
    """An invoice of 2 March (a credit note when its lines are negative) with its ledger entry, `1<id>`, once posted."""
    net = sum(map(Decimal, lines.values()), Decimal(0))
    total = net + Decimal(tax)
    is_posted = state in ("posted", "paid") or "cancel_move" in more or more.get("move") is not None
    add(
        raw,
        connection,
        "account_invoice",
        {
            "id": id,
            "type": "out",
            "state": state,
            "number": f"2026-{id}" if is_posted else None,
            "reference": reference,
            "description": "Deal",
            "comment": "PO: PO-5",
            "party": party,
            "company": "1",
            "currency": "1",
            "untaxed_amount": net,
            "tax_amount": tax,
            "total_amount": total,
            "amount_to_pay": to_pay,
            "invoice_date": date(2026, 3, 2),
            "move": f"1{id}" if is_posted else None,
            **more,
        },
    )
    for position, (note, amount) in enumerate(lines.items(), 1):
        line = {"id": f"{id}{position}", "invoice": id, "type": "line", "product": "10", "currency": "1", "note": note}
        line |= {"quantity": "1" if Decimal(amount) > 0 else "-1", "unit_price": abs(Decimal(amount)), "amount": amount}
        add(raw, connection, "account_invoice_line", {**line, "sequence": position})
    if Decimal(tax):
        add(raw, connection, "account_invoice_tax", {"id": id, "invoice": id, "base": net, "amount": tax})
    if is_posted:
        entry(raw, connection, f"1{id}", "1", total, due=date(2026, 3, 20))
    return total


def entry(
    raw: RawWarehouse,
    connection: str,
    id: str,
    journal: str,
    amount: Decimal,
    *,
    day: date = date(2026, 3, 2),
    due: date | None = None,
    reconciliation: str | None = None,
    party: str = "20",
) -> None:
    """An entry of the ledger with one line of its own id on the receivable account: a claim when `amount` is above zero."""
    add(
        raw,
        connection,
        "account_move",
        {"id": id, "number": id, "company": "1", "period": "3", "journal": journal, "date": day, "state": "posted"},
    )
    add(
        raw,
        connection,
        "account_move_line",
        {
            "id": id,
            "move": id,
            "party": party,
            "debit": max(amount, Decimal(0)),
            "credit": max(-amount, Decimal(0)),
            "reconciliation": reconciliation,
            "maturity_date": due,
        },
    )


def billed(raw: RawWarehouse) -> None:
    """February's invoice stands in the books and 1,000.00 of it are paid; the others were settled in other ways."""
    document(
        raw,
        "100",
        "posted",
        {
            "boutique:time_entry:1": "579.68",
            "boutique:time_entry:2": "579.68",
            "boutique:time_entry:3": "45",
            "boutique:time_entry:4": "66.59",
        },
        reference="INV_5_202602_1",
        tax="266.90",
        to_pay="537.85",
    )
    entry(raw, "boutique", "900", "2", Decimal(-1000), day=date(2026, 3, 15))
    add(raw, "boutique", "account_invoice_payment_line", {"id": "900", "invoice": "100", "line": "900"})
    document(raw, "101", "draft", {"boutique:billing_milestone:41": "600"}, reference="INV_6_202603_1", party="21")
    # paid in full
    document(raw, "102", "paid", {"": "100"})
    entry(raw, "boutique", "902", "2", Decimal(-100), day=date(2026, 3, 10), reconciliation="2")
    add(raw, "boutique", "account_invoice_payment_line", {"id": "902", "invoice": "102", "line": "902"})
    # cancelled by a credit note, and taken back by its own reversal
    document(raw, "103", "cancelled", {"by hand": "50"}, move="1103")
    document(raw, "104", "paid", {"none": "-50"})
    document(raw, "105", "cancelled", {"": "70"}, cancel_move="905")
    entry(raw, "boutique", "905", "1", Decimal(-70))
    for reconciliation, lines in {"2": ["1102"], "3": ["1103", "1104"], "4": ["1105", "905"]}.items():
        for line in lines:
            raw.database.execute(
                "update raw_tryton.account_move_line set reconciliation = ? where id = ?", [reconciliation, line]
            )


def build(
    new_dbt: Callable[[str], Any],
    name: str,
    stacks: Mapping[str, Any],
    *fillers: Callable[[RawWarehouse], None],
    tests: bool = False,
) -> Any:
    dbt = new_dbt(name)
    dbt.vars = dict(stacks)
    connections = {connection: settings["platform"] for connection, settings in stacks["connections"].items()}
    with RawWarehouse(dbt.warehouse, connections=connections) as raw:
        for filler in fillers:
            filler(raw)
            for table in ("party_party", "currency_currency", "country_country", "product_product", "product_template"):
                raw.database.execute(f"update raw_tryton.{table} set active = true")
    outcome = dbt.build("resource_type:seed", "resource_type:model", tests=tests)
    assert outcome.success, outcome.exception or {
        result.node.name: result.message
        for result in outcome.result.results
        if result.status not in ("pass", "success", "no-op", "skipped", "warn")
    }
    return dbt


@pytest.fixture(scope="module")
def signed(new_dbt: Callable[[str], Any]) -> Any:
    """Deals are won in the boutique; nothing was made yet."""
    return build(new_dbt, "tryton_signed", BOUTIQUE, sold)


@pytest.fixture(scope="module")
def settled(new_dbt: Callable[[str], Any]) -> Any:
    """The boutique works, and billed some of February."""
    return build(new_dbt, "tryton_settled", BOUTIQUE, sold, worked, billed, tests=True)


def values(dbt: Any, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in dbt.query(sql)]


# -- what is to be made ------------------------------------------------------------------------------------------------


def test_a_deal_is_won_when_its_sale_is_confirmed_and_billed_by_what_was_sold(signed: Any) -> None:
    sql = """select source_id, state, billing_type, legal_entity_code, po_number, contract_start_date, contract_end_date
             from canonical.canonical__opportunity order by cast(source_id as integer)"""
    start, open_end = date(2026, 1, 10), date(2028, 1, 14)
    assert values(signed, sql) == [
        ("5", "won", "time_and_materials", "NL", "PO-5", start, open_end),
        ("6", "won", "milestone", "NL", "PO-6", start, open_end),
        ("7", "won", "retainer", "NL", "PO-7", start, date(2026, 3, 31)),
        ("8", "won", "fixed_fee", "NL", "PO-8", start, open_end),
        ("9", "won", None, "NL", "PO-9", start, open_end),
        ("10", "open", "fixed_fee", "NL", "PO-10", start, None),
        ("11", "lost", "fixed_fee", "NL", "PO-11", start, None),
        ("12", "won", "time_and_materials", "NL", "PO-12", start, open_end),
    ]


def test_a_party_is_account_client_and_customer_at_once_and_the_firm_and_its_people_are_none(signed: Any) -> None:
    sql = """select crm_id, psa_id, accounting_id, is_complete from canonical.canonical__identity
             where entity = 'customer' order by 1"""
    assert values(signed, sql) == [(f"boutique:{id}",) * 3 + (True,) for id in ("20", "21")]
    assert values(signed, "select name, email from canonical.canonical__contact order by 2") == [
        ("Kim Blom", "acme@client20.example"),
        ("Kim Blom", "beta@client21.example"),
    ]


def test_where_everything_is_one_tryton_no_party_is_made(signed: Any) -> None:
    sql = "select party_key, _target_id, _hold_reason from sync.sync_tryton__party order by 1"
    assert values(signed, sql) == [("ACC_20", "20", None), ("ACC_21", "21", None)]


def test_every_fit_won_deal_asks_for_a_project_that_tryton_does_not_bill_itself(signed: Any) -> None:
    sql = """select project_key, party_key, billing_product, invoice_method, _target_id
             from sync.sync_tryton__project order by 1"""
    assert values(signed, sql) == [
        ("PRJ_12", "ACC_20", "SVC-TIME", "manual", None),
        ("PRJ_5", "ACC_20", "SVC-TIME", "manual", None),
        ("PRJ_6", "ACC_21", "SVC-FIXED", "manual", None),
        ("PRJ_7", "ACC_21", "SVC-RETAINER", "manual", None),
        ("PRJ_8", "ACC_21", "SVC-FIXED", "manual", None),
    ]


def test_tasks_carry_the_price_of_an_hour_or_the_fee_and_its_day(signed: Any) -> None:
    sql = """select task_key, product_code, list_price, effort_seconds, invoice_date
             from sync.sync_tryton__task order by 1"""
    assert values(signed, sql) == [
        ("TSK_121", "ROLE-CONSULTANT", Decimal("65.50"), 36_000, None),
        ("TSK_51", "ROLE-CONSULTANT", Decimal("65.50"), 360_000, None),
        ("TSK_6-1", "SVC-FIXED", Decimal(600), None, date(2026, 3, 10)),
        ("TSK_6-2", "SVC-FIXED", Decimal(400), None, date(2026, 4, 20)),
        ("TSK_7-1", "SVC-RETAINER", Decimal(300), None, date(2026, 2, 9)),
        ("TSK_7-2", "SVC-RETAINER", Decimal(300), None, date(2026, 3, 9)),
        ("TSK_7-3", "SVC-RETAINER", Decimal(300), None, date(2026, 3, 31)),
        ("TSK_8-1", "SVC-FIXED", Decimal(500), None, None),
    ]


def test_a_deal_of_two_billing_types_is_held_and_its_opportunity_says_so(signed: Any) -> None:
    [(note,)] = values(signed, "select note from sync.sync_tryton__opportunity where opportunity_key = '9'")
    assert note.splitlines()[0].endswith("; billing type is not set")


# -- what is to be billed ----------------------------------------------------------------------------------------------


def test_hours_become_a_draft_whose_quantity_times_price_is_the_exact_amount(settled: Any) -> None:
    sql = "select party_key, invoice_date, memo, comment, net_amount, lines from sync.sync_tryton__invoice where invoice_key = ?"
    [(party_key, day, memo, comment, net, lines)] = values(settled, sql.replace("?", "'INV_12_202602_1'"))
    assert (party_key, day, memo, comment, net) == (
        "ACC_20", date(2026, 3, 31), "Deal 12, 2026-02", "PO: PO-12", Decimal("1270.95"),
    )  # fmt: skip
    found = json.loads(lines, parse_float=Decimal)
    assert [(line["note"], line["product.code"], line["quantity"], line["unit_price"]) for line in found] == [
        ("boutique:time_entry:11", "SVC-TIME", Decimal("8.85"), Decimal("65.5")),
        ("boutique:time_entry:12", "SVC-TIME", Decimal("8.85"), Decimal("65.5")),
        # 20 minutes are no whole hundredths of an hour: the price makes up for it
        ("boutique:time_entry:13", "SVC-TIME", Decimal("0.33"), Decimal("136.3636")),
        ("boutique:time_entry:14", "SVC-TIME", Decimal("1.02"), Decimal("65.2843")),
    ]
    cent = Decimal("0.01")
    amounts = [(line["quantity"] * line["unit_price"]).quantize(cent) for line in found]
    assert amounts == [Decimal("579.68"), Decimal("579.68"), Decimal("45.00"), Decimal("66.59")]
    assert sum(amounts) == net


def test_fees_are_billed_on_their_day_or_when_their_task_is_done_and_nothing_is_billed_twice(settled: Any) -> None:
    """Deal 6 has its draft already; the fee of deal 8 has no day, but its task is done."""
    sql = "select invoice_key, net_amount from sync.sync_tryton__invoice order by 1"
    assert values(settled, sql) == [("INV_12_202602_1", Decimal("1270.95")), ("INV_8_202603_1", Decimal(500))]


def test_what_is_not_billed_says_why(settled: Any) -> None:
    sql = """select source_reference, reason from marts.fct_unbilled_work
             where reason <> 'to bill' order by 1"""
    assert values(settled, sql) == [
        ("boutique:billing_milestone:42", "milestone not due"),
        ("boutique:time_entry:5", "period not ended"),
        ("boutique:time_entry:6", "covered by the fixed fee"),
        ("boutique:time_entry:7", "not billable"),
    ]
    [entry] = settled.query("select is_billable, rate from canonical.canonical__time_entry where source_id = '7'")
    assert entry == {"is_billable": False, "rate": Decimal(135)}, "Tryton bills that project by its own button"


def test_a_project_that_stands_is_linked_and_not_made_again(settled: Any) -> None:
    sql = "select project_key, _target_id from sync.sync_tryton__project order by 1"
    assert values(settled, sql) == [
        ("PRJ_12", "32"),
        ("PRJ_5", "30"),
        ("PRJ_6", "40"),
        ("PRJ_7", None),
        ("PRJ_8", "50"),
    ]


# -- what came of it ---------------------------------------------------------------------------------------------------


def test_documents_are_paid_credited_or_voided_as_the_ledger_settled_them(settled: Any) -> None:
    sql = """select source_id, invoice_type, state, total_amount, paid_amount, credited_amount, open_amount,
                 source_open_amount, is_overdue
             from canonical.canonical__invoice order by source_id"""
    assert values(settled, sql) == [
        ("100", "invoice", "partially_paid", Decimal("1537.85"), 1000, 0, Decimal("537.85"), Decimal("537.85"), True),
        ("101", "invoice", "draft", 600, 0, 0, 0, None, False),
        ("102", "invoice", "paid", 100, 100, 0, 0, 0, False),
        ("103", "invoice", "credited", 50, 0, 50, 0, 0, False),
        ("104", "credit_note", "credited", 50, 0, 50, 0, 0, False),
        ("105", "invoice", "voided", 70, 0, 0, 0, None, False),
    ]


def test_payments_are_what_came_in_and_nothing_else(settled: Any) -> None:
    sql = "select source_id, amount, applied_amount, state from canonical.canonical__payment order by 1"
    assert values(settled, sql) == [("900", 1000, 1000, "received"), ("902", 100, 100, "received")]


def test_the_tie_out_of_the_boutique_is_nothing(settled: Any) -> None:
    sql = """select tie_out_difference, double_claims, approved_amount, billed_amount, open_amount, paid_amount
             from marts.fct_tie_out where stack = 'boutique' and currency = 'EUR'"""
    [row] = values(settled, sql)
    assert row == (
        0, 0, Decimal("3707.40"), Decimal("1870.95"), Decimal("537.85"), Decimal(1000),
    )  # fmt: skip
    assert values(settled, "select * from marts.fct_invoices_not_in_psa where discrepancy = 'not in the PSA'") == []


def test_the_receivables_of_the_ledger_are_the_open_amounts(settled: Any) -> None:
    """What Tieout says is open is the balance of the receivable account, to the cent."""
    [(ledger,)] = values(settled, "select sum(debit - credit) from raw_tryton.account_move_line")
    sql = "select sum(open_amount * receivables_sign) from canonical.canonical__invoice"
    assert values(settled, sql) == [(ledger,)] == [(Decimal("537.85"),)]


def test_the_opportunity_is_told_in_one_note(settled: Any) -> None:
    [(note,)] = values(settled, "select note from sync.sync_tryton__opportunity where opportunity_key = '5'")
    assert note.splitlines()[1:] == [
        "Project: Deal 5 (30), Open",
        "Billing: Overdue",
        "Invoiced EUR 1537.85, paid 1000.00, open 537.85, overdue 537.85",
        "Last payment: 2026-03-15",
    ]


def test_links_lead_to_the_record_in_trytons_own_client(settled: Any) -> None:
    sql = "select source_link from canonical.canonical__invoice where source_id = '100'"
    assert values(settled, sql) == [("https://tryton.example/#firm/model/account.invoice/100",)]


def test_the_unit_tests_of_tryton_hold(settled: Any, failures_of: Callable[[Any], dict[str, str]]) -> None:
    outcome = settled.run("test", "--select", "*__from_tryton,test_type:unit", "int_tryton_settlements,test_type:unit")
    assert not failures_of(outcome)
    assert len(outcome.result.results) >= 8


def test_a_draft_on_its_way_claims_its_hours(new_dbt: Callable[[str], Any], settled: Any) -> None:
    """The journal's entry of a draft that the ledger does not show yet, as the engine writes it."""
    [(lines,)] = values(settled, "select lines from sync.sync_tryton__invoice where invoice_key = 'INV_12_202602_1'")
    dbt = new_dbt("tryton_on_its_way")
    dbt.vars = dict(BOUTIQUE)
    sent = {
        "entry_id": "e1",
        "sync": "sync_tryton__invoice",
        "platform": "tryton",
        "connection": "boutique",
        "key": "INV_12_202602_1",
        "verb": "create",
        "state": "uncertain",
        "currency": "EUR",
        "fields_json": json.dumps({"lines": lines, "currency.code": "EUR"}),
    }
    with RawWarehouse(dbt.warehouse, connections={"boutique": "tryton"}) as raw:
        raw.add("tieout", "entries", [sent])
    assert dbt.run("run", "--select", "+sent_invoice_line__from_tryton").success
    sql = "select source_reference, amount from canonical.sent_invoice_line__from_tryton order by 1"
    assert values(dbt, sql) == [
        ("boutique:time_entry:11", Decimal("579.68")),
        ("boutique:time_entry:12", Decimal("579.68")),
        ("boutique:time_entry:13", Decimal(45)),
        ("boutique:time_entry:14", Decimal("66.59")),
    ]


# -- books in Tryton, the rest elsewhere --------------------------------------------------------------------------------


def nordic(raw: RawWarehouse) -> None:
    """Two won deals in Salesforce, hours on the first in Kantata; one of them stands paid in Tryton's books."""
    swedish = {"billing_country_code": "SE", "currency_iso_code": "SEK"}
    raw.add(
        "salesforce",
        "account",
        [account("A1", "Halland", "SE111", 1, **swedish), account("A2", "Saimaa", "SE222", 2, **swedish)],
    )
    terms = {"currency_iso_code": "SEK", "legal_entity__c": "SE"}
    raw.add(
        "salesforce",
        "opportunity",
        [salesforce_deal(id, to, "Time and Materials", "9000", **terms) for id, to in (("O1", "A1"), ("O2", "A2"))],
    )
    raw.add("kantata", "users", [{"id": "5", "full_name": "Ada", "email_address": "ada@firm.example"}])
    raw.add("kantata", "account_memberships", [{"id": "50", "user_id": "5"}])
    project = {"status_key": "300", "stage": "project", "currency": "SEK", "currency_base_unit": 100}
    project |= {"tasks_default_non_billable": False, "budgeted": False, "require_time_approvals": True}
    raw.add("kantata", "workspaces", [{"id": "1", "title": "Deal O1", "primary_workspace_group_id": "7", **project}])
    raw.add("kantata", "workspace_groups", [{"id": "7", "name": "Halland", "company": True}])
    raw.add("kantata", "stories", [{"id": "11", "workspace_id": "1", "title": "Build", "state": "started"}])
    stored = {"service_name": "tieout"}
    raw.add(
        "kantata",
        "external_references",
        [
            {"id": "1", "subject_type": "Workspace", "subject_id": "1", "service_model_ref": "O1", **stored},
            {"id": "2", "subject_type": "WorkspaceGroup", "subject_id": "7", "service_model_ref": "A1", **stored},
        ],
    )
    worked = [("1", 10, 531), ("2", 11, 531), ("3", 12, 20)]
    raw.add(
        "kantata",
        "time_entries",
        [time_entry(id, date(2026, 2, day), minutes, 6550, currency="SEK") for id, day, minutes in worked],
    )
    books(raw, "books", "SE", "SEK")
    party(raw, "books", "20", "Halland Skogs AB", "ACC_A1", "SE111", country="2")
    document(
        raw,
        "100",
        "paid",
        {"kantata:time_entry:1": "579.68"},
        connection="books",
        reference="INV_O1_202602_1",
        tax="144.92",
    )
    entry(raw, "books", "900", "2", Decimal("-724.60"), day=date(2026, 3, 15), reconciliation="1")
    add(raw, "books", "account_invoice_payment_line", {"id": "900", "invoice": "100", "line": "900"})
    raw.database.execute("update raw_tryton.account_move_line set reconciliation = '1'")


@pytest.fixture(scope="module")
def nordics(new_dbt: Callable[[str], Any]) -> Any:
    """Salesforce and Kantata with their accounting in Tryton."""
    return build(new_dbt, "tryton_nordics", NORDICS, nordic)


def test_a_ledger_in_tryton_makes_one_party_for_a_company_and_takes_over_what_is_linked(nordics: Any) -> None:
    sql = """select party_key, _connection, _target_id, country_code, payment_terms, tax_number
             from sync.sync_tryton__party order by 1"""
    assert values(nordics, sql) == [
        ("ACC_A1", "books", "20", "SE", "Net 30", "SE111"),
        ("ACC_A2", "books", None, "SE", "Net 30", "SE222"),
    ]


def test_hours_of_another_psa_become_a_draft_in_tryton_with_the_next_number(nordics: Any) -> None:
    sql = "select invoice_key, party_key, currency, net_amount, lines from sync.sync_tryton__invoice"
    [(key, party_key, currency, net, lines)] = values(nordics, sql)
    assert (key, party_key, currency, net) == ("INV_O1_202602_2", "ACC_A1", "SEK", Decimal("601.51"))
    found = json.loads(lines, parse_float=Decimal)
    assert [(line["note"], line["quantity"], line["unit_price"]) for line in found] == [
        ("kantata:time_entry:2", Decimal("8.85"), Decimal("65.5")),
        ("kantata:time_entry:3", Decimal("0.33"), Decimal("66.1515")),
    ]


def test_what_tryton_was_paid_goes_back_to_crm_and_psa(nordics: Any) -> None:
    sql = "select opportunity_key, invoiced_amount, paid_amount, open_amount from sync.sync_salesforce__opportunity"
    assert ("O1", Decimal("724.60"), Decimal("724.60"), Decimal(0)) in values(nordics, sql)
    sql = "select invoice_key, external_status, net_amount, time_entry_ids from sync.sync_kantata__invoice"
    assert values(nordics, sql) == [("INV_O1_202602_1", "paid", Decimal("579.68"), '["1"]')]
    assert values(nordics, "select billing_status, paid from sync.sync_kantata__workspace_status") == [
        ("Paid", '[72460,"SEK"]')
    ]


def test_the_tie_out_of_the_mixed_stack_is_nothing(nordics: Any) -> None:
    sql = "select stack, currency, tie_out_difference, billed_amount, unbilled_amount from marts.fct_tie_out"
    assert values(nordics, sql) == [("nordics", "SEK", 0, Decimal("579.68"), Decimal("601.51"))]


def test_syncs_wait_for_nothing_of_platforms_that_no_stack_has(nordics: Any) -> None:
    from reverse_etl.sync import read_syncs

    manifest = json.loads((nordics.target / "manifest.json").read_text())
    names = [sync.name for sync in read_syncs(manifest)]
    assert "sync_tryton__invoice" in names
    assert not [name for name in names if "netsuite" in name]


# -- the rules of the project, with Tryton switched on -----------------------------------------------------------------

RULES = [
    rule for name, rule in vars(test_manifest_rules).items() if name.startswith("test_") and "ingestion" not in name
]


@pytest.fixture(scope="module")
def tryton_manifest(signed: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((signed.target / "manifest.json").read_text())
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rules_of_the_project_hold_for_tryton(
    rule: Callable[[dict[str, Any]], None], tryton_manifest: dict[str, Any]
) -> None:
    rule(tryton_manifest)
