"""The client's readers, its errors by what to do next, and what `doctor` is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from platforms.kit.errors import AskPerson, BadAnswer, Conflict, Gone, Refused, Uncertain, Wait
from platforms.kit.registry import Limits
from platforms.netsuite import client as module
from platforms.netsuite.client import error_of, examine


@pytest.fixture
def small_pages(monkeypatch, running) -> None:
    """Pages of 3 and a cap of 12, so that a few rows go through everything that millions do."""
    monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr(module, "ROWS_PER_QUERY", 12)
    original = module.NetSuiteClient.suiteql_page
    monkeypatch.setattr(
        module.NetSuiteClient,
        "suiteql_page",
        lambda self, query, params=(), *, limit=3, offset=0: original(self, query, params, limit=limit, offset=offset),
    )
    running.service.prefer("suiteql_cap", 12)


def test_pages_come_in_order_though_they_are_fetched_side_by_side(connect, running, firm, small_pages) -> None:
    running.app.latency = 0.01
    for _ in range(11):
        firm.customer()
    pages = list(connect().suiteql("SELECT id FROM customer ORDER BY id"))
    assert [row["id"] for page in pages for row in page] == [str(n) for n in range(1, 12)]
    assert [len(page) for page in pages] == [3, 3, 3, 2]
    assert running.app.calls()["by_status"].get("429") is None


def test_a_result_that_fills_the_cap_is_not_taken_for_whole(connect, firm, small_pages) -> None:
    for _ in range(13):
        firm.customer()
    with pytest.raises(BadAnswer, match="at most 12"):
        list(connect().suiteql("SELECT id FROM customer ORDER BY id"))


@pytest.mark.parametrize("rows", [0, 1, 3, 11, 12, 13, 24, 25])
def test_a_keyset_reads_all_rows_once_whatever_the_cap(connect, firm, small_pages, rows) -> None:
    for _ in range(rows):
        firm.customer()
    client = connect()
    found = [
        row["id"] for page in client.suiteql_keyset("SELECT t.id, entityid FROM customer t", "t.id") for row in page
    ]
    assert found == [str(n) for n in range(1, rows + 1)]
    some = client.suiteql_keyset("SELECT id FROM customer", "id", ["F"], where="isinactive = ?", after=5)
    assert [row["id"] for page in some for row in page] == [str(n) for n in range(6, rows + 1)]


def test_external_ids_are_found_in_one_call_and_every_one_is_answered(connect, firm) -> None:
    customer = firm.customer("US", externalId="A")
    invoice = firm.invoice(customer, 1, externalId="B")
    firm.pay(customer, 1, (invoice, 1), externalId="B")
    client = connect()
    assert client.find_by_external_ids("invoice", ["B", "C"], ["tranid"]) == {
        "B": [{"id": invoice, "externalid": "B", "tranid": "USINV1001"}],
        "C": [],
    }
    assert client.api.calls.reads == 1
    with pytest.raises(ValueError, match="1001"):
        client.find_by_external_ids("invoice", ["x"] * 1001)


def test_one_query_tells_what_changed_last_in_every_table(connect, firm) -> None:
    firm.customer()
    found = connect().newest_change({"customer": "lastmodifieddate", "job": "lastmodifieddate",
                                     "deletedrecord": "deleteddate"})  # fmt: skip
    assert found["customer"] is not None
    assert found["customer"].tzinfo is UTC
    assert found["job"] is None


def test_the_ledgers_clock_is_not_ours(connect, running) -> None:
    client = connect()
    assert client.server_time is None
    client.ping()
    now = client.server_time
    assert now == running.service.clock.now().replace(microsecond=0)
    assert now.date() == datetime(2026, 1, 5, tzinfo=UTC).date()


def test_a_create_whose_answer_is_lost_is_not_sent_again(connect, running, firm) -> None:
    client = connect()
    client.ping()
    running.faults.once("lose_reply")
    with pytest.raises(Uncertain):
        client.create("customer", {"companyName": "A", "subsidiary": {"id": "1"}})
    assert len(list(firm.service.rows("customer"))) == 1


def test_records_are_written_and_read(connect, firm) -> None:
    client = connect()
    id = client.upsert("customer", "K-1", {"companyName": "A", "subsidiary": {"externalId": "US"}})
    assert client.patch("customer", "eid:K-1", {"email": "a@b.example"}) == id
    assert client.get("customer", "eid:K-1", fields=["email"])["email"] == "a@b.example"
    invoice = firm.invoice(id, 10, approve=False)
    with pytest.raises(AskPerson):
        client.patch("invoice", invoice, {"approvalStatus": {"id": "2"}})
    client.delete("invoice", invoice)
    with pytest.raises(Gone):
        client.get("invoice", invoice)
    with pytest.raises(Refused) as caught:
        client.patch("customer", id, {"mail": "x"})
    assert caught.value.fields == ("mail",)


def test_a_payment_can_be_made_from_an_invoice(connect, firm) -> None:
    invoice = firm.invoice(firm.customer("US"), 10)
    payment = connect("administrator").transform("invoice", invoice, "customerPayment", {"payment": 4})
    assert firm.document(payment)["applied"] == 4


@pytest.mark.parametrize(
    ("status", "code", "detail", "kind"),
    [
        (429, "CONCURRENCY_LIMIT_EXCEEDED", "", Wait),
        (401, "INVALID_LOGIN", "", AskPerson),
        (403, "INSUFFICIENT_PERMISSION", "", AskPerson),
        (404, "NONEXISTENT_ID", "", Gone),
        (400, "INVALID_CONTENT", "Invalid Field Value", Refused),
        (400, "NONEXISTENT_FIELD", "", Refused),
        (400, "USER_ERROR", "The posting period Jan 2026 is closed", AskPerson),
        (400, "USER_ERROR", "Customer X is inactive.", AskPerson),
        (400, "USER_ERROR", "Please enter value(s) for: Item", Refused),
        (400, "USER_ERROR", "This record already exists. A customer with external ID 'x'", Conflict),
        (400, "USER_ERROR", "A customer record with this ID already exists.", Refused),
        (400, "IDEMPOTENCY_ERROR", "", Conflict),
        (400, "RCRD_HAS_BEEN_CHANGED", "", Conflict),
    ],
)
def test_an_answer_is_sorted_by_what_to_do_next(status, code, detail, kind) -> None:
    body = {"status": status, "o:errorDetails": [{"detail": detail, "o:errorCode": code}]}
    assert type(error_of(status, body)) is kind


def test_the_examination_of_a_ready_account_finds_nothing_wrong(connect) -> None:
    wanted = {
        "read": {"customer": ["id", "custentity_tieout_account"], "transactionline": ["id", "custcol_tieout_source"]},
        "write": {"customer": ["companyName", "subsidiary.id"], "invoice": ["custbody_tieout_project", "item.items"]},
        "records": {"subsidiary": ["US", "UK", "DE"], "serviceSaleItem": ["SVC-TIME"]},
    }
    findings = examine(connect(), wanted)
    assert {finding.level for finding in findings} == {"ok"}, findings


def test_the_examination_says_what_is_missing_and_how_to_make_it(connect, firm) -> None:
    firm.service.set_row("subsidiary", 3, {"externalid": None})
    wanted = {
        "read": {"employee": ["id"], "job": ["id", "custentity_own", "jobflavour"], "nothing": ["id"]},
        "write": {"customer": ["custentity_other", "companyName"], "nothing": ["x"]},
        "records": {"subsidiary": ["US", "DE"]},
    }
    findings = examine(connect("auditor", flow="tba"), wanted)
    told = {finding.what: finding for finding in findings if finding.level == "error"}
    assert any(what.startswith("employee cannot be read") for what in told)
    assert any(what.startswith("nothing cannot be read") for what in told)
    assert any(what.startswith("record type nothing") for what in told)
    assert "there is no subsidiary with external ID DE" in told
    assert "there is no subsidiary with external ID US" not in told
    assert "Entity Fields" in told["customer has no field custentity_other"].fix
    assert "Entity Fields" in told["job has no field custentity_own"].fix
    assert all(finding.fix for finding in told.values())
    warned = {finding.what: finding.fix for finding in findings if finding.level == "warning"}
    assert "job has no column jobflavour; it is read as empty" in warned
    assert any("2028.1" in fix for fix in warned.values())
    assert any("concurrency" in finding.what for finding in findings)


def test_more_at_once_than_the_account_allows_waits_for_its_turn(connect, running, firm) -> None:
    running.app.limits = Limits(concurrency=1)
    running.app.latency = 0.005
    for _ in range(3):
        firm.customer()
    client = connect()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as pool:
        ids = list(pool.map(lambda n: client.get("customer", str(n))["id"], [1, 2, 3]))
    assert ids == ["1", "2", "3"]
