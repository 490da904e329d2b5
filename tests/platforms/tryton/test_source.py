"""Ingestion from a real Tryton: what was written is read, changed, archived, removed and paid included."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion import connections, pipelines, sources
from ingestion.pipelines import LoadReport
from ingestion.reading import Options
from ingestion.sources import tryton as room
from platforms.kit.errors import AskPerson
from platforms.tryton.client import TrytonClient
from platforms.tryton.server import RunningServer
from reverse_etl.targets.tryton import GUARD

pytestmark = pytest.mark.tryton


BOOKS = ["account_invoice", "account_move", "account_move_line", "account_move_reconciliation"]


class Desk:
    """A warehouse of its own for each test, filled from the server that all tests of this file share."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()

    def load(self, **more: Any) -> LoadReport:
        """Read what is new; no overlap, so that nothing is seen by accident."""
        options = more.pop("options", Options(sweep_every=1, overlap=timedelta(0), largest_loss=1.0))
        return pipelines.run(sources.source("tryton", home=self.home, options=options, **more), self.home, timeout=30)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as db:
            return db.execute(sql).fetchall()

    def one(self, sql: str) -> Any:
        return self.query(sql)[0][0]


@pytest.fixture
def desk(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))
    for name, value in server.env("tryton").items():
        monkeypatch.setenv(name, value)
    return Desk(tmp_path)


def party(admin: TrytonClient, name: str) -> str:
    mail = {"type": "email", "value": f"{name}@example.com"}
    values = {
        "name": name, "addresses": [["create", [{"city": "Delft"}]]], "contact_mechanisms": [["create", [mail]]],
    }  # fmt: skip
    return admin.create("party.party", [values])[0]


def draft(admin: TrytonClient, customer: str, quantity: int = 1, price: str = "100") -> str:
    """A draft invoice of one taxed line, dated so that nothing is due yet."""
    [product] = admin.search_read("product.product", [["code", "=", "SVC-FIXED"]], ["default_uom"])
    [category] = admin.search_read(
        "product.category", [["name", "=", "Services"]], ["account_revenue", "customer_taxes"]
    )
    [books] = admin.read("account.configuration", ["1"], ["default_account_receivable"])
    line = {
        "type": "line", "product": product["id"], "unit": product["default_uom"], "quantity": D(quantity),
        "unit_price": D(price), "account": category["account_revenue"], "note": "kantata:milestone:7",
        "taxes": [["add", category["customer_taxes"]]],
    }  # fmt: skip
    values = {
        "type": "out", "party": customer, "reference": f"INV_{customer}", "currency": admin.search("currency.currency", [["code", "=", "EUR"]])[0],
        "company": admin.company.id, "account": books["default_account_receivable"],
        "journal": admin.search("account.journal", [["type", "=", "revenue"]])[0],
        "invoice_address": admin.search("party.address", [["party", "=", customer]])[0],
        "invoice_date": admin.now().date(), "lines": [["create", [line]]],
    }  # fmt: skip
    return admin.create("account.invoice", [values])[0]


def posted(admin: TrytonClient, customer: str, quantity: int = 1, price: str = "100") -> str:
    invoice = draft(admin, customer, quantity, price)
    press(admin, "post", invoice)
    return invoice


def press(admin: TrytonClient, button: str, invoice: str) -> None:
    while True:
        try:
            admin.press("account.invoice", button, [invoice])
            return
        except AskPerson as question:
            if question.code != "UserWarning":
                raise
            admin.call("res.user.warning", "skip", question.record, False, idempotent=True)


def pay(admin: TrytonClient, invoice: str, amount: str) -> None:
    """A payment into the bank; what remains open stays open."""
    [bank] = admin.search("account.invoice.payment.method", [["name", "=", "Bank"]])
    with admin.wizard("account.invoice.pay", "account.invoice", [invoice]) as wizard:
        wizard.fill(amount=D(amount), payment_method=bank, date=admin.now().date())
        wizard.choose("choice")
        if wizard.state == "ask":
            wizard.fill(type="partial")
            wizard.choose("pay")


def test_all_tables_are_read_and_counted(desk: Desk, admin: TrytonClient, server: RunningServer) -> None:
    customer = party(admin, "Whole")
    posted(admin, customer)
    [work] = admin.create("project.work", [{"name": "P", "type": "project", "party": customer, "comment": "PRJ_1"}])
    admin.create(
        "project.work",
        [
            {
                "name": "T",
                "type": "task",
                "parent": work,
                "timesheet_available": True,
                "effort_duration": timedelta(hours=2),
            }
        ],
    )
    admin.create("project.work", [{"name": "Tieout", "type": "task", "comment": f"{GUARD}\nKeep it."}])
    [sheet] = admin.search("timesheet.work", [["origin", "=", f"project.work,{int(work) + 1}"]])
    employee = admin.search("company.employee", [])[0]
    admin.create(
        "timesheet.line",
        [{"work": sheet, "employee": employee, "date": date(2026, 3, 2), "duration": timedelta(minutes=75)}],
    )
    report = desk.load()
    assert report.schema_changes == [], "every declared field is there and may be read"
    assert report.quarantined == []
    for table in room.TABLES:
        if table.name in room._ONLY or table.name in room._PRIVATE:
            continue
        [(there,)] = server.query(f'SELECT count(*) FROM "{table.name}"')
        assert desk.one(f"SELECT count(*) FROM raw_tryton.{table.name}") == there, table.name
    assert desk.query("SELECT name, comment, effort_duration_seconds FROM raw_tryton.project_work ORDER BY id::int") == [
        ("P", "PRJ_1", None), ("T", None, D(7200)),
    ]  # fmt: skip
    assert desk.query("SELECT duration_seconds, date, invoice_line FROM raw_tryton.timesheet_line") == [
        (D(4500), date(2026, 3, 2), None)
    ]
    invoice = "SELECT state, reference, untaxed_amount, tax_amount, total_amount, amount_to_pay, type FROM raw_tryton.account_invoice"
    invoice += f" WHERE party = '{customer}'"
    assert desk.query(invoice) == [("posted", f"INV_{customer}", D(100), D(21), D(121), D(121), "out")]
    lines = "SELECT quantity, unit_price, l.amount, note FROM raw_tryton.account_invoice_line l JOIN raw_tryton.account_invoice i"
    assert desk.query(f"{lines} ON i.id = l.invoice WHERE i.party = '{customer}'") == [
        (D(1), D(100), D(100), "kantata:milestone:7")
    ]
    claims = f"SELECT debit, credit, reconciliation FROM raw_tryton.account_move_line WHERE party = '{customer}'"
    assert desk.query(claims) == [(D(121), D(0), None)]
    assert desk.query("SELECT DISTINCT typeof(active) FROM raw_tryton.party_party") == [("BOOLEAN",)]
    assert desk.one("SELECT count(*) FROM raw_tryton.account_period WHERE state = 'open'") >= 36
    assert desk.one("SELECT types FROM raw_tryton.project_work_status WHERE name = 'Open'") == '["project", "task"]'


def test_a_second_run_brings_nothing_and_a_change_only_itself(desk: Desk, admin: TrytonClient) -> None:
    customer = party(admin, "Quiet")
    posted(admin, customer)
    tables = ["party_party", "account_invoice", "account_move_line", "account_period"]
    desk.load(only=tables)
    desk.load(only=tables)
    quiet = desk.load(only=tables)
    assert not quiet.changed
    assert quiet.read["account_invoice_line"] > 0, "open invoices are looked at each time"
    admin.write("party.party", [([customer], {"name": "Louder"})])
    report = desk.load(only=tables)
    assert {name: n for name, n in report.rows.items() if n} == {"party_party": 1}
    assert desk.query(f"SELECT name FROM raw_tryton.party_party WHERE id = '{customer}'") == [("Louder",)]


def test_an_archived_party_stays_and_says_so(desk: Desk, admin: TrytonClient) -> None:
    customer = party(admin, "Old")
    desk.load(only=["party_party"])
    admin.write("party.party", [([customer], {"active": False})])
    desk.load(only=["party_party"])
    assert desk.query(f"SELECT active, _deleted_at FROM raw_tryton.party_party WHERE id = '{customer}'") == [
        (False, None)
    ]


def test_records_of_one_stamp_are_all_read_over_the_edges_of_pages(
    desk: Desk, admin: TrytonClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = admin.search_count("party.party", [], context={"active_test": False})
    admin.create("party.party", [{"name": f"Tie {n}"} for n in range(23)])
    monkeypatch.setattr(room, "PAGE", 7)
    desk.load(only=["party_party"])
    assert desk.one("SELECT count(DISTINCT id) FROM raw_tryton.party_party") == before + 23
    admin.create("party.party", [{"name": f"Tie {n}"} for n in range(23, 40)])
    report = desk.load(only=["party_party"])
    assert report.rows["party_party"] == 17
    assert desk.one("SELECT count(DISTINCT id) FROM raw_tryton.party_party") == before + 40


def test_a_part_that_was_changed_or_removed_alone_is_seen_although_its_party_stands_still(
    desk: Desk, admin: TrytonClient
) -> None:
    customer = party(admin, "Parts")
    mails = f"SELECT value FROM raw_tryton.party_contact_mechanism WHERE party = '{customer}' ORDER BY value"
    desk.load(only=["party_party"])
    [mail] = admin.search("party.contact_mechanism", [["party", "=", customer]])
    admin.write("party.contact_mechanism", [([mail], {"value": "new@example.com"})])
    desk.load(only=["party_party"])
    assert desk.query(mails) == [("new@example.com",)]
    more = [["create", [{"type": "email", "value": "second@example.com"}]], ["delete", [mail]]]
    admin.write("party.party", [([customer], {"contact_mechanisms": more})])
    desk.load(only=["party_party"])
    assert desk.query(mails) == [("second@example.com",)]


def test_a_deleted_record_is_found_by_a_sweep_and_its_rows_go_with_it(desk: Desk, admin: TrytonClient) -> None:
    customer = party(admin, "Gone")
    invoice = draft(admin, customer)
    desk.load(only=BOOKS)
    admin.delete("account.invoice", [invoice])
    report = desk.load(only=BOOKS)
    assert report.deleted["account_invoice"] == 1
    for table, column in (
        ("account_invoice", "id"),
        ("account_invoice_line", "invoice"),
        ("account_invoice_tax", "invoice"),
    ):
        gone = f"SELECT count(*) FROM raw_tryton.{table} WHERE {column} = '{invoice}' AND _deleted_at IS NOT NULL"
        assert desk.one(gone) == 1, table


def settled(desk: Desk, invoice: str) -> list[tuple[Any, ...]]:
    """What was applied to an invoice: by its payment lines while it is open, by the reconciliation once it is settled."""
    return desk.query(
        f"""
        with claims as (
            select l.* from raw_tryton.account_invoice i join raw_tryton.account_move_line l
              on l.move = i.move and l.account = i.account where i.id = '{invoice}'
        )
        select l.credit - l.debit, m.origin from raw_tryton.account_move_line l
          join raw_tryton.account_move m on m.id = l.move
         where l.id in (select line from raw_tryton.account_invoice_payment_line where invoice = '{invoice}')
            or (l.reconciliation in (select reconciliation from claims) and l.id not in (select id from claims))
         order by 1
        """
    )


def test_part_payments_and_the_last_one_show_to_the_cent(desk: Desk, admin: TrytonClient) -> None:
    invoice = posted(admin, party(admin, "Payer"), price="100")
    state = f"SELECT state, amount_to_pay FROM raw_tryton.account_invoice WHERE id = '{invoice}'"
    desk.load(only=BOOKS)
    pay(admin, invoice, "21.01")
    desk.load(only=BOOKS)
    assert desk.query(state) == [("posted", D("99.99"))]
    assert [amount for amount, _ in settled(desk, invoice)] == [D("21.01")]
    pay(admin, invoice, "99.99")
    desk.load(only=BOOKS)
    assert desk.query(state) == [("paid", D(0))]
    assert [amount for amount, _ in settled(desk, invoice)] == [D("21.01"), D("99.99")]
    assert {origin for _, origin in settled(desk, invoice)} == {f"account.invoice,{invoice}"}


def test_a_credit_note_that_settles_an_invoice_shows_in_the_reconciliation(desk: Desk, admin: TrytonClient) -> None:
    invoice = posted(admin, party(admin, "Credited"))
    desk.load(only=BOOKS)
    with admin.wizard("account.invoice.credit", "account.invoice", [invoice]) as wizard:
        wizard.fill(with_refund=True, invoice_date=admin.now().date())
        wizard.choose("credit")
    desk.load(only=BOOKS)
    [(amount, origin)] = settled(desk, invoice)
    assert amount == D(121)
    note = origin.removeprefix("account.invoice,")
    assert note != invoice
    rows = f"SELECT total_amount, sequence_type_cache FROM raw_tryton.account_invoice WHERE id = '{note}'"
    assert desk.query(rows) == [(D(-121), "credit_note")]


def test_the_probe_sees_what_a_sensor_must_act_upon(desk: Desk, admin: TrytonClient) -> None:
    invoice = posted(admin, party(admin, "Probed"))
    first = pipelines.changes("tryton", desk.home)
    assert {"party_party", "account_invoice", "account_move_line"} <= set(first.tables)
    desk.load()
    quiet = pipelines.changes("tryton", desk.home)
    assert quiet.tables == []
    assert quiet.calls <= len(room.WATCHED) + 4, "log-in, version, preferences, company, and one for each table"
    pay(admin, invoice, "1.00")
    assert set(pipelines.changes("tryton", desk.home).tables) == {"account_invoice", "account_move_line"}


def test_a_tryton_without_projects_leaves_their_tables_empty(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from platforms.kit.errors import Refused

    plain = TrytonClient.types

    def without_projects(self: TrytonClient, model: str) -> Any:
        if model.startswith("project."):
            raise Refused("Tryton cannot carry out the call: 'project.work'", code="programming")
        return plain(self, model)

    monkeypatch.setattr(TrytonClient, "types", without_projects)
    report = desk.load(only=["project_work", "party_party"])
    assert desk.one("SELECT count(*) FROM raw_tryton.project_work") == 0
    assert [note for note in report.schema_changes if "project_work" in note]


def test_the_connection_is_configured_like_any_other(desk: Desk, server: RunningServer) -> None:
    assert connections.platform_of("tryton") == "tryton"
    assert desk.load(only=["company_company"]).server_time is not None
    assert (
        desk.query("SELECT c.party = p.id FROM raw_tryton.company_company c, raw_tryton.company_company p") is not None
    )
