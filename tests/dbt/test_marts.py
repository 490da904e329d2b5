"""The upper half of the dbt project on a firm small enough to reckon by hand: from won deals to what is written, and back.

Two warehouses, each built once: `won` before anything stands in the ledger, `billed` with the ledger's answer. Every
figure below is worked out on paper; the day is 31 March 2026, so that February is the last month to bill.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from raw_warehouse import RawWarehouse

STACK = {"salesforce": "salesforce", "kantata": "kantata", "netsuite": "netsuite"}
WON = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
FIRST, LAST = date(2026, 2, 1), date(2026, 4, 30)


def deal(id: str, account: str, billing: str, amount: str, **more: Any) -> dict[str, Any]:
    """A won deal that meets every rule of the handover unless `more` says otherwise."""
    return {
        "id": id,
        "account_id": account,
        "name": f"Deal {id}",
        "stage_name": "Closed Won",
        "is_won": True,
        "is_closed": True,
        "is_deleted": False,
        "probability": Decimal(100),
        "amount": Decimal(amount),
        "currency_iso_code": "EUR",
        "billing_type__c": billing,
        "legal_entity__c": "DE",
        "contract_start__c": FIRST,
        "contract_end__c": LAST,
        "delivery_lead_email__c": "ada@firm.example",
        "last_stage_change_date": WON,
        "close_date": WON.date(),
        "system_modstamp": WON,
        **more,
    }


def account(id: str, name: str, vat: str | None, day: int, **more: Any) -> dict[str, Any]:
    """A German account; `day` of January 2025 is when it was made."""
    return {
        "id": id,
        "name": name,
        "vat_number__c": vat,
        "billing_country_code": "DE",
        "currency_iso_code": "EUR",
        "payment_terms__c": "Net 30",
        "created_date": datetime(2025, 1, day, tzinfo=UTC),
        "system_modstamp": WON,
        "is_deleted": False,
        **more,
    }


def entry(id: str, day: date, minutes: int, cents: int, **more: Any) -> dict[str, Any]:
    """An approved billable hour or so of Ada's on the time-and-materials project."""
    return {
        "id": id,
        "workspace_id": "1",
        "user_id": "5",
        "story_id": "11",
        "time_in_minutes": minutes,
        "rate_in_cents": cents,
        "currency": "EUR",
        "currency_base_unit": 100,
        "billable": True,
        "approved": True,
        "date_performed": day,
        "created_at": datetime(day.year, day.month, day.day, 18, tzinfo=UTC),
        "updated_at": WON,
        **more,
    }


def fill(raw: RawWarehouse) -> None:
    """Six won deals, one of them with a running project, and a ledger that knows one old customer."""
    raw.add(
        "salesforce",
        "account",
        [
            account("A1", "Acme", "DE111", 1),
            account("A2", "Acme Deutschland", "DE 111", 2),  # the same tax id: Acme stands twice in the CRM
            account("A3", "Old Acme", None, 3, master_record_id="A1", is_deleted=True),  # merged into Acme
            account("A4", "Beta", "DE444", 4),
            account("A5", "Gamma", None, 5),  # a customer of this name stands in the ledger
        ],
    )
    raw.add(
        "salesforce",
        "opportunity",
        [
            deal("O1", "A1", "Time and Materials", "10000"),
            deal("O2", "A2", "Fixed Fee", "1000"),
            deal("O3", "A3", "Retainer", "1000"),
            deal("O4", "A4", "Barter", "500"),
            deal("O5", "A5", "Fixed Fee", "500"),
            deal("O6", "A1", "Fixed Fee", "500", is_won=False),
        ],
    )
    line = {"is_deleted": False, "currency_iso_code": "EUR", "system_modstamp": WON}
    raw.add(
        "salesforce",
        "opportunity_line_item",
        [
            {"id": "L1", "opportunity_id": "O1", "description": "Build", "total_price": Decimal(10000), **line},
            {"id": "L2", "opportunity_id": "O2", "description": "Concept", "total_price": Decimal("600.01"), **line},
            {"id": "L3", "opportunity_id": "O2", "description": "Roll-out", "total_price": Decimal(400), **line},
        ],
    )
    raw.database.execute("update raw_salesforce.opportunity_line_item set hours__c = 100.5 where id = 'L1'")
    raw.add("kantata", "users", [{"id": "5", "full_name": "Ada", "email_address": "ada@firm.example"}])
    raw.add("kantata", "account_memberships", [{"id": "50", "user_id": "5", "billability_target": Decimal(80)}])
    project = {"status_key": "300", "status_message": "Active", "stage": "project", "currency": "EUR"}
    raw.add(
        "kantata",
        "workspaces",
        [
            {
                "id": "1",
                "title": "Deal O1",
                "primary_workspace_group_id": "7",
                "primary_maven_id": "5",
                "currency_base_unit": 100,
                "budgeted": True,
                "tasks_default_non_billable": False,
                "require_time_approvals": True,
                "require_expense_approvals": True,
                "created_at": datetime(2026, 1, 15, 9, 4, tzinfo=UTC),
                **project,
            }
        ],
    )
    raw.add("kantata", "workspace_groups", [{"id": "7", "name": "Acme", "company": True}])
    raw.add("kantata", "stories", [{"id": "11", "workspace_id": "1", "title": "Build", "state": "started"}])
    raw.add(
        "kantata",
        "external_references",
        [
            {"id": "1", "subject_type": "Workspace", "subject_id": "1", "service_model_ref": "O1"},
            {"id": "2", "subject_type": "WorkspaceGroup", "subject_id": "7", "service_model_ref": "A1"},
        ],
    )
    raw.database.execute("update raw_kantata.external_references set service_name = 'tieout'")
    submitted = {"active_submission_id": "90", "user_id": "5"}
    raw.add(
        "kantata",
        "time_entries",
        [
            entry("1", date(2026, 2, 10), 531, 6550, **submitted),
            entry("2", date(2026, 2, 11), 531, 6550, **submitted),
            entry("3", date(2026, 3, 2), 60, 6550),  # March is not over for billing
            entry("4", date(2026, 2, 12), 60, 6550, billable=False),
            entry("5", date(2026, 2, 13), 60, 0),  # nobody knows what it is worth
            entry("6", date(2026, 2, 16), 60, 6550, approved=False),
        ],
    )
    raw.add(
        "kantata",
        "timesheet_submissions",
        [
            {
                "id": "90",
                "status": "approved",
                "user_id": "5",
                "workspace_id": "1",
                "start_date": date(2026, 2, 9),
                "end_date": date(2026, 2, 15),
                "created_at": datetime(2026, 2, 16, 8, tzinfo=UTC),
                "current_resolution_status": "approved",
                "current_resolution_created_at": datetime(2026, 2, 18, 8, tzinfo=UTC),
            }
        ],
    )
    raw.add(
        "kantata",
        "expenses",
        [
            {
                "id": "1",
                "workspace_id": "1",
                "user_id": "5",
                "category": "Travel",
                "amount_in_cents": 10010,
                "currency": "EUR",
                "currency_base_unit": 100,
                "is_billable": True,
                "approved": True,
                "date": date(2026, 2, 20),
            }
        ],
    )
    raw.add(
        "netsuite",
        "currency",
        [
            {
                "id": "1",
                "symbol": "EUR",
                "name": "Euro",
                "currencyprecision": 2,
                "isbasecurrency": "T",
                "isinactive": "F",
            }
        ],
    )
    raw.add(
        "netsuite",
        "subsidiary",
        [{"id": "3", "externalid": "DE", "name": "DE", "currency": "1", "iselimination": "F", "isinactive": "F"}],
    )
    raw.add("netsuite", "term", [{"id": "2", "name": "Net 30", "daysuntilnetdue": 30, "isinactive": "F"}])
    for number, closed in ((2, "T"), (3, "F"), (4, "F")):
        raw.add(
            "netsuite",
            "accountingperiod",
            [
                {
                    "id": str(number),
                    "periodname": f"2026-0{number}",
                    "startdate": date(2026, number, 1),
                    "enddate": date(2026, number, {2: 28, 3: 31, 4: 30}[number]),
                    "closed": closed,
                    "arlocked": "F",
                    "aplocked": "F",
                    "alllocked": "F",
                    "isposting": "T",
                    "isquarter": "F",
                    "isyear": "F",
                }
            ],
        )
    raw.add("netsuite", "customer", [{"id": "40", "companyname": "Gamma GmbH", "externalid": None, **CUSTOMER}])


CUSTOMER = {"isperson": "F", "isinactive": "F", "currency": "1", "subsidiary": "3"}


def invoice(raw: RawWarehouse, id: str, key: str, project: str, tax: str, unpaid: str, lines: dict[str, str]) -> None:
    """An issued ledger invoice of 5 March with `lines` (source reference -> net amount), as SuiteQL shows it.

    The ledger signs revenue as negative, and its lines name the customer, not the project.
    """
    total = sum(map(Decimal, lines.values())) + Decimal(tax)
    raw.add(
        "netsuite",
        "transaction",
        [
            {
                "id": id,
                "type": "CustInvc",
                "tranid": f"DE{id}",
                "externalid": key,
                "entity": "10",
                "currency": "1",
                "status": "A" if Decimal(unpaid) else "B",
                "custbody_tieout_project": project,
                "exchangerate": Decimal(1),
                "foreigntotal": total,
                "posting": "T",
                "voided": "F",
                "trandate": date(2026, 3, 5),
                "duedate": date(2026, 3, 20),
                "createddate": datetime(2026, 3, 4, 8, tzinfo=UTC),
            }
        ],
    )
    common = {"transaction": id, "entity": "10", "subsidiary": "3", "isclosed": "F"}
    rows = [
        {"id": "0", "foreignamount": total, "foreignamountunpaid": Decimal(unpaid), "mainline": "T", "taxline": "F"},
        {"id": "99", "foreignamount": -Decimal(tax), "mainline": "F", "taxline": "T"},
    ]
    for number, (source, amount) in enumerate(lines.items(), start=1):
        rows.append(
            {
                "id": str(number),
                "foreignamount": -Decimal(amount),
                "custcol_tieout_source": source,
                "mainline": "F",
                "taxline": "F",
            }
        )
    raw.add("netsuite", "transactionline", [{**common, **row} for row in rows])


def fill_ledger(raw: RawWarehouse) -> None:
    """Acme's invoice, partly paid; and one on the retainer's project, of which somebody took 33 cents off in the ledger."""
    raw.add("netsuite", "customer", [{"id": "10", "companyname": "Acme", "externalid": "ACC_A1_DE_EUR", **CUSTOMER}])
    raw.add("netsuite", "job", [{"id": "60", "customer": "10", "externalid": "PRJ_O1", "isinactive": "F"}])
    invoice(
        raw,
        "1000",
        "INV_O1_202602_1",
        "1",
        tax="239.30",
        unpaid="498.76",
        lines={
            "kantata:time_entry:1": "579.68",
            "kantata:time_entry:2": "579.68",
            "kantata:expense:1": "100.10",
        },
    )
    raw.add(
        "netsuite",
        "transaction",
        [
            {
                "id": "1001",
                "type": "CustPymt",
                "status": "C",
                "entity": "10",
                "currency": "1",
                "foreigntotal": Decimal(1000),
                "posting": "T",
                "voided": "F",
                "trandate": date(2026, 3, 15),
            }
        ],
    )
    raw.add(
        "netsuite",
        "nexttransactionlinelink",
        [{"previousdoc": "1000", "previousline": "0", "nextdoc": "1001", "nextline": "0", "linktype": "Payment"}],
    )
    raw.database.execute("update raw_netsuite.nexttransactionlinelink set foreignamount = 1000")
    raw.add(
        "kantata",
        "workspaces",
        [{"id": "3", "title": "Deal O3", "status_key": "300", "stage": "project", "currency": "EUR"}],
    )
    raw.database.execute(
        "update raw_kantata.workspaces set currency_base_unit = 100, tasks_default_non_billable = false"
    )
    raw.add(
        "kantata",
        "external_references",
        [
            {
                "id": "3",
                "subject_type": "Workspace",
                "subject_id": "3",
                "service_model_ref": "O3",
                "service_name": "tieout",
            }
        ],
    )
    raw.add(
        "kantata",
        "custom_field_values",
        [
            {
                "id": "1",
                "custom_field_name": "Billing Type",
                "subject_type": "Workspace",
                "subject_id": "3",
                "display_value": "Retainer",
            }
        ],
    )
    raw.add(
        "kantata",
        "billing_milestones",
        [
            {
                "id": "8",
                "workspace_id": "3",
                "title": "Retainer 2026-02",
                "billing_type": "fixed_date",
                "amount_in_cents": 33333,
                "currency": "EUR",
                "currency_base_unit": 100,
                "date_to_invoice": date(2026, 2, 28),
            }
        ],
    )
    invoice(
        raw, "1002", "INV_O3_202602_1", "3", tax="0", unpaid="333.00", lines={"kantata:billing_milestone:8": "333.00"}
    )


def build(new_dbt: Callable[[str], Any], name: str, fillers: list[Callable[[RawWarehouse], None]]) -> Any:
    dbt = new_dbt(name)
    with RawWarehouse(dbt.warehouse, connections=STACK) as raw:
        for filler in fillers:
            filler(raw)
    outcome = dbt.build("resource_type:seed", "resource_type:model", tests=False)
    assert outcome.success, outcome.exception or [
        (result.node.name, result.message) for result in outcome.result.results if result.status == "error"
    ]
    return dbt


@pytest.fixture(scope="session")
def won(new_dbt: Callable[[str], Any]) -> Any:
    """Deals are won, hours are approved; the ledger knows nothing of them."""
    return build(new_dbt, "won", [fill])


@pytest.fixture(scope="session")
def billed(new_dbt: Callable[[str], Any]) -> Any:
    """The same with two invoices in the ledger and a payment."""
    return build(new_dbt, "billed", [fill, fill_ledger])


def values(dbt: Any, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in dbt.query(sql)]


# -- what is to be made ------------------------------------------------------------------------------------------------


def test_an_account_that_stands_twice_or_was_merged_is_one_customer_and_one_client_group(won: Any) -> None:
    customers = values(
        won, "select customer_key, company_name, _hold_reason is not null from sync.sync_netsuite__customer order by 1"
    )
    assert customers == [("ACC_A1_DE_EUR", "Acme", False), ("ACC_A5_DE_EUR", "Gamma", True)]
    groups = values(won, "select account_key, _target_id from sync.sync_kantata__workspace_group order by 1")
    assert groups == [("A1", "7"), ("A5", None)]
    projects = values(won, "select opportunity_key, account_key from sync.sync_kantata__workspace order by 1")
    assert projects == [("O1", "A1"), ("O2", "A1"), ("O3", "A1"), ("O5", "A5")]
    jobs = values(won, "select ledger_project_key, customer_key from sync.sync_netsuite__job order by 1")
    assert jobs == [
        ("PRJ_O1", "ACC_A1_DE_EUR"),
        ("PRJ_O2", "ACC_A1_DE_EUR"),
        ("PRJ_O3", "ACC_A1_DE_EUR"),
        ("PRJ_O5", "ACC_A5_DE_EUR"),
    ]


def test_a_customer_that_may_exist_already_is_not_made_and_both_records_are_named(won: Any) -> None:
    [(reason,)] = values(won, "select _hold_reason from sync.sync_netsuite__customer where customer_key like 'ACC_A5%'")
    assert "Gamma (salesforce:A5)" in reason and "Gamma GmbH (netsuite:40)" in reason and "a person decides" in reason


def test_an_unknown_billing_type_holds_the_deal_and_says_so(won: Any) -> None:
    [(status, reason)] = values(
        won, "select sync_status, sync_reason from sync.sync_salesforce__opportunity where opportunity_key = 'O4'"
    )
    assert (status, reason) == ("Held", "billing type Barter is not known")
    waiting = values(
        won, "select waiting_for, reason from marts.fct_won_deals_awaiting_project where reason like '%Barter%'"
    )
    assert waiting == [("held", "billing type Barter is not known")]


def test_a_project_is_made_with_tasks_and_milestones_that_add_up(won: Any) -> None:
    tasks = values(
        won,
        "select task_key, opportunity_key, estimated_minutes, is_fixed_fee from sync.sync_kantata__story order by 1",
    )
    assert tasks == [
        ("L2", "O2", None, True),
        ("L3", "O2", None, True),
        ("O3-delivery", "O3", None, False),
        ("O5-delivery", "O5", None, True),
    ]
    milestones = values(
        won,
        "select milestone_key, task_key, amount_in_minor_units, invoice_date"
        " from sync.sync_kantata__billing_milestone order by 1",
    )
    assert milestones == [
        ("O2-1", "L2", 60000, None),  # the lines make 1000.01, the deal 1000.00: the largest line gives the cent
        ("O2-2", "L3", 40000, None),
        ("O3-1", None, 33333, date(2026, 2, 28)),
        ("O3-2", None, 33333, date(2026, 3, 31)),
        ("O3-3", None, 33334, date(2026, 4, 30)),
        ("O5-1", None, 50000, LAST),
    ]


def test_an_invoice_draft_carries_exact_lines_and_their_sources(won: Any) -> None:
    [draft] = won.query("select * from sync.sync_netsuite__invoice")
    assert draft["invoice_key"] == "INV_O1_202602_1"
    assert draft["net_amount"] == Decimal("1259.46")  # 579.68 + 579.68 + 100.10, not 579.675 x 2 + 100.10
    assert (draft["customer_key"], draft["ledger_project_key"]) == ("ACC_A1_DE_EUR", "PRJ_O1")
    assert (draft["service_from"], draft["service_to"]) == (date(2026, 2, 10), date(2026, 2, 20))
    assert draft["invoice_date"] == date(2026, 3, 31)  # today, in an open period; February is closed
    lines = json.loads(draft["lines"], parse_float=Decimal)
    assert [(line["custcol_tieout_source"], line["quantity"], line["rate"], line["amount"]) for line in lines] == [
        ("kantata:time_entry:1", Decimal("8.85"), Decimal("65.5"), Decimal("579.68")),
        ("kantata:time_entry:2", Decimal("8.85"), Decimal("65.5"), Decimal("579.68")),
        ("kantata:expense:1", Decimal(1), Decimal("100.1"), Decimal("100.1")),
    ]
    assert lines[0]["item"] == {"externalId": "SVC-TIME"}
    assert lines[0]["description"] == "Ada: Build, 2026-02-10"


def test_what_is_not_billed_has_a_reason_and_a_value(won: Any) -> None:
    found = values(
        won,
        "select source_reference, reason, reason_class, amount from marts.fct_unbilled_work order by source_reference",
    )
    assert found == [
        ("kantata:expense:1", "to bill", "in time", Decimal("100.10")),
        ("kantata:time_entry:1", "to bill", "in time", Decimal("579.68")),
        ("kantata:time_entry:2", "to bill", "in time", Decimal("579.68")),
        ("kantata:time_entry:3", "period not ended", "in time", Decimal("65.50")),
        ("kantata:time_entry:4", "not billable", "not charged", Decimal("65.50")),
        ("kantata:time_entry:5", "no rate resolves for the work date", "held", Decimal(0)),
        ("kantata:time_entry:6", "not submitted", "waiting for approval", Decimal("65.50")),
    ]


def test_wip_is_the_approved_work_with_its_age(won: Any) -> None:
    # 579.68 of 49 and 48 days, 100.10 of 39, 65.50 of 29, and the hour without a rate of 46.
    found = values(won, "select wip_amount, held_amount, item_count, oldest_days, average_age_days from marts.fct_wip")
    age = (Decimal("579.68") * 97 + Decimal("100.10") * 39 + Decimal("65.50") * 29) / Decimal("1324.96")
    assert found == [(Decimal("1324.96"), Decimal(0), 5, 49, age.quantize(Decimal("0.1")))]


def test_utilization_is_exact_and_weekdays_are_counted(won: Any) -> None:
    # February: 2 x 531 + 60 + 60 billable minutes and 60 more; 20 weekdays of 8 hours. March: 22 weekdays.
    found = values(
        won,
        "select month_start, worked_hours, billable_hours, available_hours, billable_utilization_percent"
        " from marts.fct_utilization order by 1",
    )
    assert found == [
        (date(2026, 2, 1), Decimal("20.70"), Decimal("19.70"), Decimal(160), Decimal("12.31")),
        (date(2026, 3, 1), Decimal("1"), Decimal("1"), Decimal(176), Decimal("0.57")),
    ]


def test_a_project_is_active_minutes_after_the_deal_was_won(won: Any) -> None:
    found = values(
        won,
        "select opportunity_id, minutes_to_project, days_to_first_billable_hour, is_ready from marts.fct_project_activation",
    )
    assert found == [("salesforce:O1", 4, 26, True)]


# -- and back ----------------------------------------------------------------------------------------------------------


def test_what_stands_in_the_ledger_is_not_drafted_again(billed: Any) -> None:
    assert billed.query("select * from sync.sync_netsuite__invoice") == []
    adopted = values(billed, "select customer_key, _target_id from sync.sync_netsuite__customer order by 1")
    assert adopted == [("ACC_A1_DE_EUR", "10"), ("ACC_A5_DE_EUR", None)]


def test_an_issued_invoice_is_mirrored_in_the_psa_with_every_record_it_bills(billed: Any) -> None:
    found = values(
        billed,
        "select invoice_key, workspace_id, external_status, time_entry_ids, expense_ids, billing_milestone_ids, net_amount"
        " from sync.sync_kantata__invoice order by 1",
    )
    assert found == [
        ("INV_O1_202602_1", "1", "partially_paid", '["1","2"]', '["1"]', None, Decimal("1259.46")),
        ("INV_O3_202602_1", "3", "issued", None, None, '["8"]', Decimal("333.00")),
    ]
    missing = values(billed, "select invoice_number, discrepancy from marts.fct_invoices_not_in_psa order by 1")
    assert missing == [("DE1000", "not in the PSA"), ("DE1002", "not in the PSA")]


def test_project_deal_and_account_show_what_was_invoiced_and_paid(billed: Any) -> None:
    status = values(
        billed,
        "select workspace_id, billing_status, invoiced, paid, open, overdue from sync.sync_kantata__workspace_status order by 1",
    )
    assert status[0] == ("1", "Overdue", '[149876,"EUR"]', '[100000,"EUR"]', '[49876,"EUR"]', '[49876,"EUR"]')
    deals = values(
        billed,
        "select opportunity_key, sync_status, invoiced_amount, paid_amount, open_amount, overdue_amount, last_payment_date"
        " from sync.sync_salesforce__opportunity where project_id is not null order by 1",
    )
    assert deals == [
        (
            "O1",
            "Project created",
            Decimal("1498.76"),
            Decimal("1000.00"),
            Decimal("498.76"),
            Decimal("498.76"),
            date(2026, 3, 15),
        ),
        ("O3", "Project created", Decimal("333.00"), Decimal(0), Decimal("333.00"), Decimal("333.00"), None),
    ]
    accounts = values(
        billed, "select account_key, invoiced_amount, paid_amount, open_amount from sync.sync_salesforce__account"
    )
    assert accounts == [("A1", Decimal("1831.76"), Decimal("1000.00"), Decimal("831.76"))]


def test_the_tie_out_is_zero_where_all_agree_and_names_the_cents_where_not(billed: Any) -> None:
    found = billed.query("select * from marts.fct_project_tie_out order by project_id")
    honest, touched = found
    assert honest["project_name"] == "Deal O1"
    assert honest["tie_out_difference"] == Decimal("0.00")
    assert honest["billed_amount"] == honest["ledger_line_amount"] == honest["invoice_net_amount"] == Decimal("1259.46")
    assert honest["unbilled_amount"] == Decimal("65.50")
    assert (honest["issued_total_amount"], honest["paid_amount"], honest["open_amount"]) == (
        Decimal("1498.76"),
        Decimal("1000.00"),
        Decimal("498.76"),
    )
    assert touched["psa_to_ledger_difference"] == touched["tie_out_difference"] == Decimal("0.33")
    [total] = billed.query("select * from marts.fct_tie_out")
    assert (total["currency"], total["projects_with_difference"], total["double_claims"]) == ("EUR", 1, 0)
    assert total["tie_out_difference"] == Decimal("0.33")


def test_cycle_time_and_receivables_are_those_reckoned_by_hand(billed: Any) -> None:
    cycle = values(
        billed,
        "select invoice_number, service_end_date, submit_lag_days, approve_lag_days, draft_lag_days, issue_lag_days, cycle_days"
        " from marts.fct_invoice_cycle_time order by 1",
    )
    # The expense of 20 February ends the work, after the timesheet of the week before was handed in.
    assert cycle == [
        ("DE1000", date(2026, 2, 20), -4, 2, 14, 1, 13),
        ("DE1002", date(2026, 2, 28), None, None, None, 1, 5),
    ]
    # 831.76 open of 1,831.76 sold in 90 days: 40.9.
    receivables = values(
        billed,
        "select open_amount, overdue_1_30_amount, trailing_sales_amount, days_sales_outstanding from marts.fct_receivables",
    )
    assert receivables == [(Decimal("831.76"), Decimal("831.76"), Decimal("1831.76"), Decimal("40.9"))]
