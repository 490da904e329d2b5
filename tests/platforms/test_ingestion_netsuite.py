"""Ingestion against the NetSuite sandbox: payments that move no invoice, applications undone, records deleted."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ingestion.errors import ConfigError
from ingestion.reading import Options
from tests.platforms.netsuite.conftest import Firm
from tests.unit.ingestion.support import Desk

BOOKS = ["transaction", "deletedrecord"]
OPEN = (
    "SELECT t.status, -l.foreignamountunpaid, l.foreignamountunpaid FROM raw_netsuite.transaction t JOIN"
    " raw_netsuite.transactionline l ON l.transaction = t.id AND l.mainline = 'T' WHERE t.id = '{}'"
)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk = Desk("netsuite", tmp_path, monkeypatch)
    with desk.sandbox:
        yield desk


@pytest.fixture
def books(desk: Desk) -> Firm:
    return Firm(desk.service)


def _unpaid(desk: Desk, invoice: str) -> tuple[str, Decimal]:
    status, _, unpaid = desk.query(OPEN.format(invoice))[0]
    return status, unpaid


def _much_later(desk: Desk, days: int = 2) -> None:
    """Move the ledger's day on, so that the overlap no longer covers what was done before."""
    from datetime import timedelta

    desk.service.clock.set_at_least(desk.service.clock.now() + timedelta(days=days))


def test_a_payment_shows_on_the_invoice_although_its_modification_date_stands_still(desk: Desk, books: Firm) -> None:
    customer = books.customer()
    invoice = books.invoice(customer, 100)
    other = books.invoice(customer, 50)
    desk.load(only=BOOKS)
    status, total = _unpaid(desk, invoice)
    assert status == "A"
    _much_later(desk)
    books.pay(customer, total, (invoice, total))
    desk.load(only=BOOKS)
    assert _unpaid(desk, invoice) == ("B", Decimal(0))
    assert _unpaid(desk, other)[0] == "A"
    assert desk.query("SELECT previousdoc, foreignamount FROM raw_netsuite.nexttransactionlinelink") == [
        (invoice, total)
    ]


def test_an_application_that_is_undone_disappears_and_the_invoice_is_open_again(desk: Desk, books: Firm) -> None:
    customer = books.customer()
    invoice = books.invoice(customer, 100)
    total = Decimal(str(books.document(invoice)["foreigntotal"]))
    payment = books.pay(customer, total, (invoice, total))
    desk.load(only=BOOKS)
    assert _unpaid(desk, invoice)[0] == "B"
    _much_later(desk)
    desk.service.act("payment.unapply", payment, actor="finance", invoice=invoice)
    desk.load(only=BOOKS)
    assert _unpaid(desk, invoice) == ("A", total)
    assert desk.query("SELECT * FROM raw_netsuite.nexttransactionlinelink") == []


def test_a_deleted_document_stays_with_a_mark_and_so_do_its_lines_and_applications(desk: Desk, books: Firm) -> None:
    customer = books.customer()
    invoice = books.invoice(customer, 100)
    payment = books.pay(customer, 40, (invoice, 40))
    desk.load(only=BOOKS)
    _much_later(desk)
    desk.service.delete("customerPayment", payment, actor="finance")
    report = desk.load(only=BOOKS)
    assert report.deleted["transaction"] == 1
    marked = "SELECT count(*) FROM raw_netsuite.{} WHERE _deleted_at IS NOT NULL"
    assert desk.query("SELECT id FROM raw_netsuite.transaction WHERE _deleted_at IS NOT NULL") == [(payment,)]
    assert desk.one(marked.format("nexttransactionlinelink")) == 1
    assert desk.one(marked.format("transactionline")) >= 1
    assert _unpaid(desk, invoice)[0] == "A"


def test_an_open_ledger_without_news_brings_nothing(desk: Desk, books: Firm) -> None:
    books.invoice(books.customer(), 100, 20)
    desk.load()
    desk.load()
    report = desk.load()
    assert not report.changed
    assert report.read["transactionline"] > 0, "open invoices are looked at each time"


def test_documents_are_read_in_halves_when_their_lines_are_too_many_for_one_query(
    desk: Desk, books: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = books.customer()
    for _ in range(6):
        books.invoice(customer, *[10] * 5)
    monkeypatch.setattr("platforms.netsuite.client.ROWS_PER_QUERY", 20)
    desk.load(only=BOOKS)
    stored = desk.service.store.read("SELECT count(*) AS n FROM transactionline", ())[0]["n"]
    assert desk.one("SELECT count(*) FROM raw_netsuite.transactionline") == stored


def test_lists_without_a_date_are_read_whole_and_their_losses_marked(desk: Desk) -> None:
    desk.load(only=["term"])
    gone = desk.service.store.read("SELECT id FROM term ORDER BY id DESC LIMIT 1", ())[0]["id"]
    desk.service.store.write("DELETE FROM term WHERE id = ?", (gone,))
    report = desk.load(only=["term"])
    assert report.deleted == {"term": 1}
    assert report.rows["term"] == 0


def test_an_unknown_table_is_named_with_those_there_are(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="there is no table invoices; there are accountingperiod"):
        desk.load(only=["invoices"])


def test_a_custom_field_named_in_extra_columns_is_taken(desk: Desk, books: Firm) -> None:
    books.customer(url="https://acme.example")
    desk.load(only=["customer"], options=Options(extra_columns=("customer.url",)))
    assert desk.query("SELECT url FROM raw_netsuite.customer") == [("https://acme.example",)]
