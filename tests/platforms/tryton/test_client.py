"""The client against a real Tryton: reading, writing, buttons, wizards, and what Tryton refuses."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from platforms.kit.context import ClientContext
from platforms.kit.errors import AskPerson, Conflict, NotSent, Refused
from platforms.kit.registry import spec
from platforms.kit.secrets import Secret
from platforms.tryton.client import TrytonClient, examine
from platforms.tryton.server import RunningServer
from platforms.tryton.server.books import SERVICES, TERMS, USER_PASSWORD

pytestmark = pytest.mark.tryton

ORDER = [["id", "ASC"]]


def customer(client: TrytonClient, name: str, **values: Any) -> tuple[str, str]:
    """A customer with one address; both ids."""
    [party] = client.create("party.party", [{"name": name, "addresses": [["create", [{"city": "Delft"}]]], **values}])
    return party, client.read("party.party", [party], ["addresses"])[0]["addresses"][0]


def draft(client: TrytonClient, reference: str, **values: Any) -> dict[str, Any]:
    """Values of a customer invoice over 2.5 hours at 135.00, plus VAT."""
    party, address = customer(client, f"Customer of {reference}")
    [time] = client.search("product.product", [["code", "=", "SVC-TIME"]])
    [hour] = client.search("product.uom", [["name", "=", "Hour"]])
    line = {
        "type": "line", "product": time, "unit": hour, "quantity": Decimal("2.5"), "unit_price": Decimal("135.00"),
        "account": client.search("account.account", [["type.revenue", "=", True], ["closed", "!=", True]], limit=1, order=ORDER)[0],
        "taxes": [["add", client.search("account.tax", [])]], "description": "Work", "note": "psa:time_entry:1",
    }  # fmt: skip
    return {
        "type": "out", "party": party, "invoice_address": address, "reference": reference,
        "journal": client.search("account.journal", [["type", "=", "revenue"]])[0],
        "currency": client.search("currency.currency", [["code", "=", "EUR"]])[0],
        "account": client.read("account.configuration", ["1"], ["default_account_receivable"])[0]["default_account_receivable"],
        "lines": [["create", [line]]], **values,
    }  # fmt: skip


# -- the room as it declares itself --------------------------------------------------------------------------------


def settings_of(server: RunningServer) -> dict[str, str | Secret]:
    prefix, env = "CONNECTIONS__BOOKS__", server.env("books")
    known = {setting.name: setting for setting in spec("tryton").settings}
    given = {name.removeprefix(prefix).lower(): value for name, value in env.items()}
    assert set(given) <= {*known, "platform", "concurrency"}
    return {name: Secret(value) if known[name].secret else value for name, value in given.items() if name in known}


def test_the_servers_environment_is_all_that_a_connection_needs(server: RunningServer) -> None:
    with spec("tryton").connect(settings_of(server), ClientContext(connection="books")) as client:
        assert client.api.calls.snapshot()["total"] == 0
        client.ping()
        assert client.company.code == "NL"
        assert abs(client.now() - datetime.now(UTC)) < timedelta(seconds=30)


def test_the_company_may_be_named_by_code_or_name_and_must_be_the_users(server: RunningServer) -> None:
    settings = settings_of(server)
    for company in ("NL", "Kade & Partners"):
        assert TrytonClient({**settings, "company": company}, ClientContext(connection="books")).company.id == "1"
    with pytest.raises(AskPerson, match="no company"):
        _ = TrytonClient({**settings, "company": "SE"}, ClientContext(connection="books")).company


def test_bad_credentials_and_addresses_tell_what_to_mend_and_keep_the_secret(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings, told = settings_of(server), []
    for replaced, kind, word in (
        ({"password": Secret("not-the-password-of-tieout")}, AskPerson, "password"),
        ({"database": "nowhere"}, AskPerson, "database"),
        ({"base_url": "http://127.0.0.1:9"}, NotSent, "base_url"),
    ):
        client = TrytonClient({**settings, **replaced}, ClientContext(connection="books", sleep=lambda _: None))
        with pytest.raises(kind) as caught:
            client.ping()
        assert word in caught.value.next_step
        told += [str(caught.value), repr(vars(caught.value))]
    with server.client() as client:
        client.ping()
    shown = "\n".join(told) + caplog.text
    assert USER_PASSWORD not in shown
    assert "not-the-password-of-tieout" not in shown


def test_doctor_finds_a_prepared_firm_in_order(client: TrytonClient) -> None:
    requirements = {
        "read": {
            "party.party": ["name", "code"],
            "account.invoice": ["reference", "party.name"],
            "project.work": ["comment"],
        },
        "write": {
            "party.party": ["name", "address.country.code", "identifier.eu_vat"],
            "account.invoice": ["reference", "lines"],
            "project.work": ["tasks"],
        },
        "create": ["account.invoice"],
        "records": {
            "product.product": list(SERVICES),
            "company.company": ["NL"],
            "account.invoice.payment_term": list(TERMS),
        },
    }
    assert [found.what for found in examine(client, requirements) if found.level != "ok"] == []


def test_doctor_says_what_to_do_about_each_thing_that_is_missing(client: TrytonClient) -> None:
    requirements = {
        "read": {"party.party": ["nothing_like_it"], "stock.lot": ["number"]},
        "write": {"timesheet.line": ["invoice_line"], "company.company": ["currency"]},
        "records": {"product.product": ["SVC-MAGIC"], "company.company": ["NL", "XX"]},
    }
    found = [finding for finding in examine(client, requirements) if finding.level == "error"]
    for word in (
        "nothing_like_it",
        "stock.lot",
        "timesheet.line.invoice_line",
        "may not write company.company",
        "SVC-MAGIC",
    ):
        assert [finding for finding in found if word in finding.what], word
    assert all(finding.fix for finding in found)
    assert len(found) == 6


# -- reading -------------------------------------------------------------------------------------------------------


def test_records_come_as_python_values(client: TrytonClient) -> None:
    [row] = client.search_read("company.company", [], ["party", "party.name", "currency.code", "employees"])
    assert row["id"] == "1"
    assert (row["party"], row["party."]["name"], row["currency."]["code"]) == ("1", "Kade & Partners", "EUR")
    assert len(row["employees"]) == 6 and all(isinstance(id, str) for id in row["employees"])
    [period] = client.search_read("account.period", [["start_date", "=", date(2026, 11, 1)]], ["end_date", "state"])
    assert (period["end_date"], period["state"]) == (date(2026, 11, 30), "open")
    [term] = client.search_read(
        "account.invoice.payment_term", [["name", "=", "Net 15"]], ["active", "last_modified_at"]
    )
    assert term["active"] is True
    assert term["last_modified_at"].tzinfo is UTC


def test_read_keeps_the_order_asked_and_refuses_what_is_not_there(client: TrytonClient) -> None:
    ids = client.search("account.period", [], order=ORDER, limit=5)
    wanted = [ids[3], ids[0], ids[4]]
    assert [row["id"] for row in client.read("account.period", wanted, ["name"])] == wanted
    with pytest.raises(Refused):
        client.read("account.period", ["999999"], ["name"])


def test_pages_hold_every_record_once_archived_ones_included(client: TrytonClient) -> None:
    made = client.create("party.party", [{"name": f"Page {n}"} for n in range(25)])
    client.write("party.party", [([made[3]], {"active": False})])
    began = client.read("party.party", [made[0]], ["last_modified_at"])[0]["last_modified_at"]
    pages = list(
        client.pages("party.party", ["name", "active"], since=began, domain=[["name", "like", "Page %"]], size=10)
    )
    assert [len(page) for page in pages] == [10, 10, 5]
    rows = [row for page in pages for row in page]
    assert sorted(row["id"] for row in rows) == sorted(made)
    assert rows[-1]["id"] == made[3] and rows[-1]["active"] is False
    later = rows[-1]["last_modified_at"] + timedelta(microseconds=1)
    assert list(client.pages("party.party", ["name"], since=later, domain=[["name", "like", "Page %"]])) == []
    assert made[3] in [id for page in client.ids("party.party") for id in page]


def test_an_unknown_model_or_field_is_refused_by_its_name(client: TrytonClient) -> None:
    with pytest.raises(Refused, match=r"no\.such"):
        client.call("no.such", "search", [], 0, None, None, idempotent=True)
    with pytest.raises(Refused, match="nosuch"):
        client.search_read("party.party", [], ["nosuch"])


# -- writing -------------------------------------------------------------------------------------------------------


def test_a_party_is_made_with_everything_that_belongs_to_it(client: TrytonClient, server: RunningServer) -> None:
    [term] = client.search("account.invoice.payment_term", [["name", "=", "Net 45"]])
    party, _ = customer(
        client, "Windmolen BV", code="ACC_1", customer_payment_term=term,
        identifiers=[["create", [{"type": "eu_vat", "code": "NL820646660B01"}]]],
        contact_mechanisms=[["create", [{"type": "email", "value": "pay@windmolen.example"}]]],
    )  # fmt: skip
    [row] = client.read("party.party", [party], ["code", "customer_payment_term", "identifiers", "email"])
    assert (row["code"], row["customer_payment_term"], row["email"]) == ("ACC_1", term, "pay@windmolen.example")
    with pytest.raises(Refused):
        customer(client, "Windmolen again", code="ACC_1")
    assert server.query("SELECT name FROM party_party WHERE code = ?", ["ACC_1"]) == [("Windmolen BV",)]


def test_a_batch_is_all_or_nothing(client: TrytonClient, server: RunningServer) -> None:
    vat = {"identifiers": [["create", [{"type": "eu_vat", "code": "NL1"}]]]}
    with pytest.raises(Refused):
        client.create("party.party", [{"name": "Half good"}, {"name": "Half bad", **vat}])
    assert server.query("SELECT count(*) FROM party_party WHERE name LIKE 'Half%'") == [(0,)]


def test_the_stamp_of_a_record_lets_only_the_first_of_two_writers_through(client: TrytonClient) -> None:
    party, _ = customer(client, "Twice written")
    stamp = client.read("party.party", [party], ["_timestamp"])[0]["_timestamp"]
    context = {"_timestamp": {f"party.party,{party}": stamp}}
    client.write("party.party", [([party], {"name": "First"})], context=context)
    with pytest.raises(Conflict):
        client.write("party.party", [([party], {"name": "Second"})], context=context)
    assert client.read("party.party", [party], ["name"])[0]["name"] == "First"


def test_a_create_that_carries_a_guard_is_done_once_however_often_it_arrives(
    client: TrytonClient, server: RunningServer
) -> None:
    guard, _ = customer(client, "Guard")

    def guarded(reference: str, stamp: str) -> None:
        values = draft(client, reference, alternative_payees=[["write", [guard], {"name": "Guard"}]])
        client.create("account.invoice", [values], context={"_timestamp": {f"party.party,{guard}": stamp}})

    def stamp() -> str:
        return str(client.read("party.party", [guard], ["_timestamp"])[0]["_timestamp"])

    first = stamp()
    guarded("GUARDED", first)
    with pytest.raises(Conflict):
        guarded("GUARDED", first)
    late = stamp()
    client.write("party.party", [([guard], {"name": "Guard"})])
    with pytest.raises(Conflict):
        guarded("GUARDED", late)
    assert server.query("SELECT count(*) FROM account_invoice WHERE reference = 'GUARDED'") == [(1,)]
    assert (
        client.search_read("account.invoice", [["reference", "=", "GUARDED"]], ["alternative_payees"])[0][
            "alternative_payees"
        ]
        == []
    )


def test_a_project_with_a_task_takes_hours(client: TrytonClient) -> None:
    party, _ = customer(client, "Project owner")
    task = {
        "name": "Build",
        "type": "task",
        "list_price": Decimal(150),
        "timesheet_available": True,
        "effort_duration": timedelta(hours=80),
    }
    [project] = client.create(
        "project.work",
        [
            {
                "name": "Bridge",
                "type": "project",
                "party": party,
                "comment": "opportunity 7",
                "children": [["create", [task]]],
            }
        ],
    )
    [row] = client.search_read(
        "project.work", [["parent", "=", project]], ["timesheet_works", "effort_duration", "list_price"]
    )
    assert (row["effort_duration"], row["list_price"]) == (timedelta(hours=80), Decimal(150))
    employee = client.search("company.employee", [], order=ORDER)[0]
    line = {
        "employee": employee,
        "work": row["timesheet_works"][0],
        "date": date(2026, 11, 20),
        "duration": timedelta(hours=2.5),
    }
    [made] = client.create("timesheet.line", [line])
    [read] = client.read("timesheet.line", [made], ["duration", "cost_price", "invoice_line"])
    assert (read["duration"], read["cost_price"], read["invoice_line"]) == (timedelta(hours=2.5), Decimal(95), None)
    with pytest.raises(Refused):
        client.write("timesheet.line", [([made], {"uuid": "of-mine"})])


def test_an_invoice_is_drafted_posted_and_paid(client: TrytonClient, server: RunningServer) -> None:
    [made] = client.create("account.invoice", [draft(client, "INV_7_202611_1")])
    [row] = client.read("account.invoice", [made], ["state", "untaxed_amount", "tax_amount", "total_amount", "number"])
    assert row == {
        "id": made, "state": "draft", "number": None,
        "untaxed_amount": Decimal("337.50"), "tax_amount": Decimal("70.88"), "total_amount": Decimal("408.38"),
    }  # fmt: skip
    client.press("account.invoice", "post", [made])
    with pytest.raises(Refused):
        client.press("account.invoice", "post", [made])
    [method] = client.search("account.invoice.payment.method", [])
    with client.wizard("account.invoice.pay", "account.invoice", [made]) as pay:
        assert pay.defaults["amount"] == Decimal("408.38")
        pay.fill(payment_method=method, amount=Decimal("100.00"))
        pay.choose("choice")
        assert pay.state == "ask"
        pay.fill(type="partial")
        pay.choose("pay")
        assert pay.state == pay.end
    assert client.read("account.invoice", [made], ["state", "amount_to_pay"])[0]["amount_to_pay"] == Decimal("308.38")
    with client.wizard("account.invoice.pay", "account.invoice", [made]) as pay:
        pay.fill(payment_method=method)
        pay.choose("choice")
    assert client.read("account.invoice", [made], ["state"])[0]["state"] == "paid"
    sums = server.query("SELECT round(sum(debit), 2), round(sum(credit), 2) FROM account_move_line")
    assert sums[0][0] == sums[0][1] > 0
    with pytest.raises(Refused):
        client.delete("account.invoice", [made])


def test_a_question_of_tryton_is_a_persons_to_answer(client: TrytonClient) -> None:
    [term] = client.search("account.invoice.payment_term", [["name", "=", "Net 15"]])
    assert TERMS["Net 15"] == 15
    [made] = client.create(
        "account.invoice", [draft(client, "INV_OLD", invoice_date=date(2025, 1, 31), payment_term=term)]
    )
    with pytest.raises(AskPerson) as caught:
        client.press("account.invoice", "post", [made])
    assert caught.value.code == "UserWarning"


def test_deleting_twice_does_not_matter(client: TrytonClient) -> None:
    [made] = client.create("party.party", [{"name": "Short-lived"}])
    client.delete("party.party", [made])
    client.delete("party.party", [made])
    assert client.search("party.party", [["name", "=", "Short-lived"]]) == []
