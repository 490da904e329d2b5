"""The firm in its platforms: the same seed gives the same stores, days add up, memory stays flat, money agrees."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import tracemalloc
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from platforms.kit.sandbox.registry import sandbox
from platforms.kit.sandbox.service import Refusal, Service
from platforms.world import firm
from platforms.world.business import Firm, charge, code_of
from platforms.world.memory import FILE
from platforms.world.scales import TODAY

Services = dict[str, Service]


def digests(state: Path) -> dict[str, str]:
    """A hash of every row of every store, and of what the world remembers."""
    found = {name: sandbox(name).open_service(state).store.digest() for name in firm.ROLES.values()}
    return found | {"world": (state / FILE).read_text()}


def test_the_same_seed_makes_identical_stores(tiny: Path, tmp_path: Path) -> None:
    firm.populate(tmp_path, 7, "tiny")
    assert digests(tmp_path) == digests(tiny)


def test_another_seed_makes_another_firm(tiny: Path) -> None:
    assert Firm(8, "tiny").people != Firm(7, "tiny").people


def test_twice_five_days_are_ten_days(living: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(living, tmp_path / "other"))
    firm.advance(living, 5)
    firm.advance(living, 5)
    firm.advance(other, 10)
    assert digests(living) == digests(other)


def test_the_firm_stands_on_a_friday_and_lives_on_from_there(tiny: Path, living: Path) -> None:
    assert firm.today(tiny) == TODAY == date(2026, 10, 30)
    happened = firm.advance(living, 14)["happened"]
    assert firm.today(living) == TODAY + timedelta(days=14)
    assert happened["time entries logged"] > 50
    assert happened["timesheets submitted"] > 0
    assert happened["timesheets approved"] > 0
    assert happened["periods closed"] == 1


def test_populating_twice_does_nothing_the_second_time(tiny: Path) -> None:
    before = digests(tiny)
    assert firm.populate(tiny, 7, "tiny")["happened"] == {}
    assert digests(tiny) == before


def test_a_day_that_was_interrupted_is_lived_to_its_end(living: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from platforms.world.days import World

    def stumble(self: World, day: date) -> None:
        raise KeyboardInterrupt

    firm.advance(living, 2)
    with monkeypatch.context() as patched:
        patched.setattr(World, "_hours", stumble)
        with pytest.raises(KeyboardInterrupt):
            firm.advance(living, 1)
    before = firm.today(living)
    firm.advance(living, 1)
    assert firm.today(living) == before + timedelta(days=1)
    deals = [row["Name"] for row in sandbox("salesforce").open_service(living).rows("Opportunity")]
    assert len(deals) == len(set(deals))


def test_others_may_write_while_the_firm_lives_on(living: Path) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []

    def serve() -> None:
        service = sandbox("salesforce").open_service(living)
        account = next(iter(service.rows("Account")))["Id"]
        try:
            while not stop.is_set():
                service.insert("Contact", {"AccountId": account, "LastName": "Visitor"}, actor="")
        except (sqlite3.Error, Refusal) as error:  # told by the test, in its own thread
            failed.append(error)

    visitor = threading.Thread(target=serve)
    visitor.start()
    try:
        firm.advance(living, 4)
    finally:
        stop.set()
        visitor.join()
    assert not failed


def test_clocks_of_all_platforms_move_along(living: Path) -> None:
    firm.advance(living, 3)
    for name in firm.ROLES.values():
        assert sandbox(name).open_service(living).clock.today() >= TODAY


@pytest.mark.parametrize("days", [0, -3])
def test_a_firm_can_only_live_forward(living: Path, days: int) -> None:
    with pytest.raises(ValueError, match="only live forward"):
        firm.advance(living, days)


def test_an_empty_directory_says_that_no_firm_lives_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="populate it first"):
        firm.advance(tmp_path, 1)


def test_every_ledger_line_is_worth_what_its_entry_is_worth(services: Services) -> None:
    hours = {row["id"]: row for row in services["psa"].rows("time_entries")}
    expenses = {row["id"]: row for row in services["psa"].rows("expenses")}
    milestones = {row["id"]: row for row in services["psa"].rows("billing_milestones")}
    billed: set[str] = set()
    rejected = {row["id"] for row in services["ledger"].rows("invoice", "status = 'E'")}
    for line in services["ledger"].rows("transactionline", "custcol_tieout_source IS NOT NULL"):
        _, kind, id = line["custcol_tieout_source"].split(":")
        amount = -Decimal(repr(line["foreignamount"]))
        if kind == "time_entry":
            entry = hours[id]
            assert amount == charge(entry["time_in_minutes"], Decimal(entry["rate_in_cents"]) / 100)
            assert entry["approved"]
            assert entry["billable"]
        else:
            cents = expenses[id]["amount_in_cents"] if kind == "expense" else milestones[id]["amount_in_cents"]
            assert amount == Decimal(cents) / 100
        if line["transaction"] not in rejected:
            assert line["custcol_tieout_source"] not in billed
            billed.add(line["custcol_tieout_source"])
    assert len(billed) > 100


def test_mirrors_in_the_psa_are_worth_the_net_of_their_ledger_invoice(services: Services) -> None:
    by_key = {row["externalid"]: row for row in services["ledger"].rows("invoice")}
    references = {
        row["subject_id"]: row["service_model_ref"]
        for row in services["psa"].rows("external_references", "subject_type = 'Invoice'")
    }
    seen = 0
    for invoice in services["psa"].rows("invoices"):
        ledger = by_key[references[int(invoice["id"])]]
        assert Decimal(invoice["balance_in_cents"]) / 100 == Decimal(repr(ledger["subtotal"]))
        seen += 1
    assert seen > 20


def test_nobody_logs_time_where_the_rules_of_the_calendar_forbid_it(services: Services) -> None:
    per_day: dict[tuple[str, str], int] = defaultdict(int)
    for row in services["psa"].rows("time_entries"):
        assert date.fromisoformat(row["date_performed"]).weekday() < 5
        assert row["time_in_minutes"] % 15 == 0
        per_day[row["user_id"], row["date_performed"]] += row["time_in_minutes"]
    # One planted entry comes on top of a day that was full already.
    assert sorted(per_day.values())[-2] <= 600


def test_won_deals_until_the_cut_are_linked_in_every_platform(services: Services) -> None:
    linked = {
        row["service_model_ref"]: row["subject_id"]
        for row in services["psa"].rows("external_references", "service_model = 'Opportunity'")
    }
    jobs = {row["externalid"] for row in services["ledger"].rows("job")}
    assert len(linked) > 20
    for deal in services["crm"].rows("Opportunity", '"Tieout_Project_Id__c" IS NOT NULL'):
        assert deal["IsWon"]
        assert str(linked[deal["Id"]]) == deal["Tieout_Project_Id__c"]
        assert f"PRJ_{deal['Id']}" in jobs


def test_a_project_somebody_else_made_is_staffed_and_worked_on(living: Path) -> None:
    crm, psa = sandbox("salesforce").open_service(living), sandbox("kantata").open_service(living)
    deal = firm.truth(living)["deals_awaiting_project"][-1]
    row = next(iter(crm.rows("Opportunity", '"Id" = ?', (deal["opportunity"],))))
    lead = next(u["id"] for u in psa.rows("users") if u["email_address"] == row["Delivery_Lead_Email__c"])
    cards = {c["currency"]: c["id"] for c in psa.rows("rate_cards")}
    integration = str(psa.store.meta["integration_user_id"])
    project = psa.insert(
        "workspaces",
        {
            "title": row["Name"],
            "price": str(row["Amount"]),
            "budgeted": True,
            "rate_card_id": cards[deal["currency"]],
            "start_date": (TODAY + timedelta(days=3)).isoformat(),
            "due_date": (TODAY + timedelta(days=60)).isoformat(),
            "primary_maven_id": lead,
            "require_time_approvals": True,
            "external_reference": {
                "service_name": "tieout",
                "service_model": "Opportunity",
                "service_model_ref": deal["opportunity"],
            },
        },
        actor=integration,
    )
    firm.advance(living, 11)
    entries = list(psa.rows("time_entries", "workspace_id = ?", (int(project),)))
    assert entries
    assert any(entry["approved"] for entry in entries)
    assert next(iter(psa.rows("workspaces", "id = ?", (int(project),))))["status_key"] == 300


def test_finance_decides_a_draft_that_somebody_else_made(living: Path) -> None:
    ledger = sandbox("netsuite").open_service(living)
    job = next(iter(ledger.rows("job")))
    ledger.insert(
        "invoice",
        {
            "entity": str(job["parent"]),
            "job": str(job["id"]),
            "externalId": "INV_TEST_202610_1",
            "tranDate": TODAY,
            "item": {"items": [{"item": {"externalId": "SVC-TIME"}, "quantity": 10, "rate": 150}]},
        },
        actor="integration",
    )
    firm.advance(living, 5)
    found = list(ledger.rows("invoice", "externalid = 'INV_TEST_202610_1'"))
    assert not found or found[0]["status"] in ("A", "B", "E")


def test_memory_does_not_grow_with_the_days_that_are_lived(living: Path) -> None:
    peaks = []
    for days in (4, 16):
        tracemalloc.start()
        firm.advance(living, days)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Four times the days, nearly the same peak: only a day's work is kept in memory.
    assert peaks[1] < peaks[0] * 1.6


@pytest.mark.parametrize("name", ["tiny", "small", "medium"])
def test_utilization_sold_is_plausible_at_every_scale(name: str) -> None:
    one = Firm(5, name)
    monday, hours, weeks = one.scale.start, 0, 0
    monday -= timedelta(days=monday.weekday())
    while monday < TODAY:
        hours += sum(h for deal in one.deals_of_week(monday) if deal.won for _, h in deal.staffing)
        weeks += 1
        monday += timedelta(days=7)
    assert 0.5 < hours / weeks / one.scale.consultants / 36 < 1.2


def test_deals_carry_their_code_and_say_the_same_every_time() -> None:
    one, other = Firm(7, "small"), Firm(7, "small")
    for deal in one.deals_of_week(date(2026, 3, 2)):
        assert code_of(deal.name) == deal.code
        assert other.deal(deal.code) == deal
        assert deal.start <= deal.end
        assert deal.amount == sum(line.total for line in deal.lines)
    assert code_of("Somebody else's deal") is None
