"""The write-back engine with the real settings of the Kantata syncs, into the sandbox, until nothing is left to do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from platforms.kantata.client import KantataClient
from platforms.kit.sandbox.server import RunningSandbox
from reverse_etl.journal.store import Journal
from reverse_etl.run import Engine, SyncReport
from reverse_etl.sync import SyncSettings, read_sync
from reverse_etl.targets.base import Target, target_for
from tests.platforms.kantata.firm import Firm

YML = Path(__file__).parents[3] / "dbt_project" / "models" / "reverse_etl" / "kantata" / "_kantata__syncs.yml"
MODELS: dict[str, dict[str, Any]] = {model["name"]: model for model in yaml.safe_load(YML.read_text())["models"]}


def settings_of(name: str) -> SyncSettings:
    """A sync as its yml says, without those of other platforms that it waits for."""
    model = MODELS[name]
    node = {"database": "desired", "schema": "main", "alias": name, "original_file_path": str(YML)}
    sync = read_sync(name, node, model["config"]["meta"]["sync"])
    return replace(sync, depends_on=tuple(other for other in sync.depends_on if other in MODELS))


class Desk:
    """Desired rows in a DuckDB file, an engine over the sandbox."""

    def __init__(self, folder: Path, target: Target) -> None:
        self.snapshot = folder / "desired.duckdb"
        self.target = target
        self.journal = Journal.in_memory()
        self.syncs = tuple(settings_of(name) for name in MODELS)
        for name in MODELS:
            self.desire(name, [])

    def desire(self, name: str, rows: list[dict[str, Any]]) -> None:
        columns = {column["name"]: column["data_type"] for column in MODELS[name]["columns"]}
        quoted = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
        with duckdb.connect(str(self.snapshot)) as db:
            db.execute(f"create or replace table {name} ({quoted})")
            values: list[Any] = []
            for row in rows:
                assert set(row) <= set(columns), f"{name} has no column {set(row) - set(columns)}"
                values += map({"_connection": "kantata", "_source_refs": "[]", **row}.get, columns)
            if rows:
                marks = ", ".join([f"({', '.join('?' for _ in columns)})"] * len(rows))
                db.execute(f"insert into {name} values {marks}", values)

    def run(self) -> dict[str, SyncReport]:
        engine = Engine(
            journal=self.journal,
            snapshot=self.snapshot,
            targets=lambda connection, platform: self.target,
            syncs=self.syncs,
            sleep=lambda seconds: None,
            random=random.Random(1),
            lock_wait=0.0,
        )
        return {report.sync.removeprefix("sync_kantata__"): report for report in engine.apply().syncs}


@pytest.fixture
def desk(tmp_path: Path, client: KantataClient) -> Iterator[Desk]:
    made = Desk(tmp_path, target_for("kantata")(client, "kantata"))
    yield made
    made.journal.close()


def handover(desk: Desk, served: Firm, deals: int) -> None:
    """Clients, projects, tasks and milestones of so many won deals."""
    desk.desire(
        "sync_kantata__workspace_group",
        [
            {
                "account_key": f"001{n}",
                "name": f"Client {n}",
                "currency": "USD",
                "vat_number": f"GB{n}",
                "is_company": True,
            }
            for n in range(deals // 10)
        ],
    )
    desk.desire(
        "sync_kantata__workspace",
        [
            {
                "opportunity_key": f"006{n}",
                "account_key": f"001{n % (deals // 10)}",
                "lead_id": served.lead,
                "rate_card_id": served.card,
                "title": f"Deal {n}",
                "billing_type": "Fixed Fee",
                "legal_entity": "US",
                "po_number": f"PO-{n}",
                "stage": "project",
                "creator_role": "maven",
                "currency": "USD",
                "budget_amount": f"{1000 + n}.2500",
                "is_budgeted": True,
                "is_time_approval_required": True,
                "is_expense_approval_required": True,
                "start_date": "2026-01-01",
                "end_date": "2026-12-31",
            }
            for n in range(deals)
        ],
    )
    desk.desire(
        "sync_kantata__story",
        [
            {
                "task_key": f"00k{n}",
                "opportunity_key": f"006{n}",
                "title": "Delivery",
                "story_type": "milestone",
                "is_billable": True,
                "is_fixed_fee": True,
            }
            for n in range(deals)
        ],
    )
    desk.desire(
        "sync_kantata__billing_milestone",
        [
            {
                "milestone_key": f"00k{n}:1",
                "opportunity_key": f"006{n}",
                "task_key": f"00k{n}",
                "title": "On delivery",
                "billing_trigger": "upon_completion",
                "currency": "USD",
                "amount": f"{1000 + n}.25",
                "amount_in_minor_units": (1000 + n) * 100 + 25,
            }
            for n in range(0, deals, 5)
        ],
    )


def test_won_deals_become_projects_in_the_fewest_calls_and_a_second_run_writes_nothing(
    desk: Desk, served: Firm
) -> None:
    handover(desk, served, 60)
    reports = desk.run()
    for name, report in reports.items():
        assert report.ok, (name, report.troubles, report.error)
        assert (report.refused, report.mismatched, report.parked) == (0, 0, 0), name
        assert report.calls_used == report.calls_floor, name
        assert report.settled == report.created == report.desired, name
    assert reports["workspace"].calls_used == 1
    assert reports["story"].calls_used == 1
    again = desk.run()
    assert {report.calls_used for report in again.values()} == {0}
    project = next(served.service.rows("workspaces", "title = 'Deal 7'"))
    assert project["price_in_cents"] == 100_725
    assert served.service.get("workspace_group", project["primary_workspace_group_id"])["name"] == "Client 1"


def test_invoices_payments_and_figures_come_back_to_the_project(desk: Desk, served: Firm) -> None:
    hours = served.approved(60, 90)
    mirror = {
        "invoice_key": "INV_006_202601_1",
        "workspace_id": served.workspace,
        "message": "Ledger invoice INV-1",
        "external_status": "issued",
        "time_entry_ids": f'["{hours[0]}", "{hours[1]}"]',
        "currency": "USD",
        "net_amount": "327.50",
        "payment_schedule": 30,
        "is_draft": False,
        "is_email_suppressed": True,
        "invoice_date": "2026-01-31",
    }
    figures = {"workspace_id": served.workspace, "billing_status": "Invoiced", "currency": "USD"}
    figures |= {"invoiced": '[32750, "USD"]', "paid": '[0, "USD"]', "open": '[32750, "USD"]', "overdue": '[0, "USD"]'}
    desk.desire("sync_kantata__invoice", [mirror])
    desk.desire("sync_kantata__workspace_status", [figures])
    first = desk.run()
    assert (first["invoice"].settled, first["workspace_status"].settled) == (1, 1)
    (invoice,) = served.service.rows("invoices")
    assert invoice["balance_in_cents"] == 32_750

    desk.desire("sync_kantata__invoice", [{**mirror, "external_status": "paid"}])
    paid = {"invoice_key": invoice["id"], "workspace_id": served.workspace, "message": "Paid", "currency": "USD"}
    desk.desire("sync_kantata__external_payment", [{**paid, "amount": "327.50", "amount_in_minor_units": 32_750}])
    desk.desire("sync_kantata__workspace_status", [{**figures, "paid": '[32750, "USD"]', "open": '[0, "USD"]'}])
    second = desk.run()
    assert all(report.ok and not report.mismatched and not report.refused for report in second.values())
    assert served.service.get("invoice", invoice["id"])["status"] == "accepted payment"
    reference = next(served.service.rows("external_references", "subject_type = 'Invoice'"))
    assert reference["external_status"] == "paid"
    assert {report.calls_used for report in desk.run().values()} == {0}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_rough_weather_the_engine_leaves_no_duplicate_and_no_gap(
    desk: Desk, running: RunningSandbox, served: Firm, seed: int
) -> None:
    handover(desk, served, 40)
    running.faults.seed = seed
    running.faults.use("rough")
    for _ in range(12):
        if all(report.ok and not report.parked for report in desk.run().values()):
            break
    running.faults.use("none")
    assert all(report.ok and not report.refused for report in desk.run().values())
    for model, count in (("Account", 4), ("Opportunity", 40), ("OpportunityLineItem", 40), ("BillingMilestone", 8)):
        made = served.service.store.read(
            "SELECT service_model_ref, count(*) AS n FROM external_references WHERE service_model = ? GROUP BY 1",
            (model,),
        )
        assert [row["n"] for row in made] == [1] * count, model
