"""SuiteQL gives what it gives at the vendor, and refuses what is refused there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platforms.kit.sandbox.service import Refusal
from platforms.netsuite.sandbox.suiteql import SuiteQL, render, to_char, to_date, user_date

Query = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def query(firm) -> Query:
    engine = SuiteQL(firm.service.store)

    def run(text: str, *params: Any, limit: int = 1000, offset: int = 0, cap: int = 100_000) -> list[dict[str, Any]]:
        rows, total = engine.page(text, params, limit=limit, offset=offset, cap=cap, date_format="M/D/YYYY")
        setattr(run, "total", total)  # noqa: B010 - a function has no such attribute in the type checker's eyes
        out = [orjson.loads(row) for row in rows]
        assert all(row.pop("links") == [] for row in out)
        return out

    return run


def test_every_scalar_is_text_and_nulls_are_left_out(query: Query, firm) -> None:
    customer = firm.customer("UK", externalId="A1")
    firm.invoice(customer, 100)
    (row,) = query("SELECT id, foreigntotal, exchangerate, memo, posting FROM transaction")
    assert row == {"id": "1001", "foreigntotal": "120", "exchangerate": "1", "posting": "T"}
    assert query("SELECT COUNT(*) AS n, SUM(foreigntotal) s FROM transaction") == [{"n": "1", "s": "120"}]


def test_the_vendors_own_example_runs(query: Query, firm) -> None:
    customer = firm.customer("US")
    invoice = firm.invoice(customer, 1170)
    firm.pay(customer, 770, (invoice, 770))
    (row,) = query(
        "SELECT t.id, t.tranid, t.status, t.foreigntotal, tl.foreignamountunpaid, TO_CHAR(t.lastmodifieddate,"
        "'YYYY-MM-DD HH24:MI:SS') AS modified FROM transaction t JOIN transactionline tl ON tl.transaction = t.id AND "
        "tl.mainline = 'T' WHERE t.type = 'CustInvc' AND t.id > ? ORDER BY t.id", "1000",
    )  # fmt: skip
    assert row == {"id": invoice, "tranid": "USINV1001", "status": "A", "foreigntotal": "1170",
                   "foreignamountunpaid": "400", "modified": row["modified"]}  # fmt: skip
    assert row["modified"].startswith("2026-01-05 ")


def test_lines_have_the_signs_of_the_general_ledger(query: Query, firm) -> None:
    firm.invoice(firm.customer("UK"), 100)
    rows = query(
        "SELECT quantity, rate, foreignamount, mainline, taxline FROM transactionline ORDER BY linesequencenumber"
    )
    assert [row["foreignamount"] for row in rows] == ["120", "-100", "-20"]
    assert (rows[1]["quantity"], rows[1]["rate"]) == ("-1", "100")


def test_payments_are_found_through_the_link_table(query: Query, firm) -> None:
    customer = firm.customer("US")
    invoice = firm.invoice(customer, 100)
    payment = firm.pay(customer, 60, (invoice, 60))
    for table in ("nexttransactionlinelink", "PreviousTransactionLineLink"):
        (row,) = query(f"SELECT previousdoc, nextdoc, nexttype, linktype, foreignamount FROM {table}")
        assert row == {"previousdoc": invoice, "nextdoc": payment, "nexttype": "CustPymt", "linktype": "Payment",
                       "foreignamount": "60"}  # fmt: skip


def test_display_values_are_what_people_see(query: Query, firm) -> None:
    firm.invoice(firm.customer("UK", entityId="ACME"), 1)
    (row,) = query(
        "SELECT BUILTIN.DF(t.status) AS status, BUILTIN.DF(t.entity) AS entity, BUILTIN.DF(t.currency) AS currency, "
        "BUILTIN.DF(t.type) AS type, BUILTIN.DF(t.approvalstatus) AS approval FROM transaction t"
    )
    assert row == {"status": "Invoice : Open", "entity": "ACME", "currency": "GBP", "type": "Invoice",
                   "approval": "Approved"}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (
            "TO_CHAR(TO_DATE('2026-01-31 13:45:09','YYYY-MM-DD HH24:MI:SS'),'DD.MM.YYYY HH24:MI:SS')",
            "31.01.2026 13:45:09",
        ),
        ("TO_DATE('2026-01-31','YYYY-MM-DD')", "1/31/2026"),
        ("TO_DATE('02/03/2026','MM/DD/YYYY') + 1", "2/4/2026"),
        ("ADD_MONTHS(TO_DATE('2026-01-31','YYYY-MM-DD'), 1)", "2/28/2026"),
        ("LAST_DAY(TO_DATE('2026-02-03','YYYY-MM-DD'))", "2/28/2026"),
        ("TRUNC(TO_DATE('2026-02-17','YYYY-MM-DD'), 'MM')", "2/1/2026"),
        ("TO_DATE('2026-02-17','YYYY-MM-DD') - TO_DATE('2026-02-10','YYYY-MM-DD')", "7"),
        ("TRUNC(SYSDATE)", "1/5/2026"),
        ("NVL(NULL, 'x') || '-' || 'y'", "x-y"),
        ("DECODE(2, 1, 'one', 2, 'two', 'many')", "two"),
        ("NVL2(NULL, 'a', 'b')", "b"),
        ("COALESCE(NULL, 3)", "3"),
        ("CASE WHEN 1 = 1 THEN 'T' ELSE 'F' END", "T"),
        ("ROUND(2.345, 1)", "2.3"),
        ("1 / 4", "0.25"),
        ("SUBSTR('abcdef', 2, 3)", "bcd"),
        ("INSTR('abc', 'c')", "3"),
        ("UPPER('x')", "X"),
        ("GREATEST(1, 2)", "2"),
        ("TO_CHAR(12.5)", "12.5"),
        ("TO_NUMBER('12') + 1", "13"),
    ],
)
def test_oracle_expressions(query: Query, expression: str, value: str) -> None:
    assert query(f"SELECT {expression} AS v FROM dual") == [{"v": value}]


def test_rownum_top_and_fetch_limit_the_rows(query: Query) -> None:
    for text in (
        "SELECT id FROM currency WHERE ROWNUM <= 2 ORDER BY id",
        "SELECT id FROM currency WHERE id > 0 AND ROWNUM < 3 ORDER BY id",
        "SELECT * FROM (SELECT id FROM currency ORDER BY id) WHERE ROWNUM <= 2",
        "SELECT TOP 2 id FROM currency ORDER BY id",
        "SELECT id FROM currency ORDER BY id FETCH FIRST 2 ROWS ONLY",
    ):
        assert query(text) == [{"id": "1"}, {"id": "2"}], text
    assert [row["rownum"] for row in query("SELECT ROWNUM, id FROM currency")] == ["1", "2", "3"]


def test_dates_compare_by_time_however_they_are_written(query: Query, firm) -> None:
    firm.invoice(firm.customer(), 1)
    where = "SELECT id FROM transaction WHERE"
    assert query(f"{where} trandate = TO_DATE('2026-01-05','YYYY-MM-DD')")
    assert query(f"{where} trandate >= TO_DATE(?, ?)", "2026-01-05", "YYYY-MM-DD")
    assert query(f"{where} lastmodifieddate >= TO_DATE('2026-01-05 08:00:00','YYYY-MM-DD HH24:MI:SS')")
    assert not query(f"{where} lastmodifieddate > SYSDATE")
    assert query(f"{where} lastmodifieddate > SYSDATE - 1")


def test_one_probe_asks_for_the_newest_change_of_many_tables(query: Query, firm) -> None:
    firm.customer()
    rows = query(
        "SELECT 'customer' AS name, TO_CHAR(MAX(lastmodifieddate),'YYYY-MM-DD HH24:MI:SS') AS newest FROM customer "
        "UNION ALL SELECT 'job', TO_CHAR(MAX(lastmodifieddate),'YYYY-MM-DD HH24:MI:SS') FROM job"
    )
    assert [row["name"] for row in rows] == ["customer", "job"]
    assert rows[0]["newest"].startswith("2026-01-05 ")
    assert "newest" not in rows[1]


def test_old_joins_work_alone_and_not_beside_new_ones(query: Query, firm) -> None:
    firm.customer()
    rows = query("SELECT c.id, t.id AS doc FROM customer c, transaction t WHERE c.id = t.entity(+)")
    assert rows == [{"id": "1"}]
    for text in (
        "SELECT c.id FROM customer c JOIN job j ON j.parent = c.id, transaction t WHERE c.id = t.entity(+)",
        "SELECT c.id FROM customer c, transaction t WHERE t.entity(+) = c.id",
    ):
        with pytest.raises(Refusal):
            query(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SELECT nothing FROM customer", "'nothing' was not found"),
        ("SELECT subsidiary FROM transaction", "NOT_EXPOSED"),
        ("SELECT id FROM nowhere", "'nowhere' was not found"),
        ("WITH c AS (SELECT id FROM customer) SELECT id FROM c", "WITH"),
        ("SELECT DATE '2026-01-01' FROM dual", "TO_DATE"),
        ("SELECT 'a' + 'b' FROM dual", "||"),
        ("SELECT id FROM [customer]", "brackets"),
        ("SELECT id FROM customer; SELECT 1 FROM dual", "one SELECT"),
        ("DELETE FROM customer", "SELECT"),
        ("SELECT FROM WHERE", "unsupported"),
        ("SELECT id FROM customer WHERE id IN (" + ", ".join(map(str, range(1001))) + ")", "1000"),
        ("SELECT BUILTIN.CONSOLIDATE(foreigntotal) FROM transaction", "CONSOLIDATE"),
        ("SELECT TO_DATE('31.01.2026','YYYY-MM-DD') FROM dual", "format"),
        ("SELECT id FROM customer WHERE id = ?", "parameters"),
        ("SELECT sqlite_version() FROM dual", "not supported"),
        ("SELECT name FROM sqlite_master", "not found"),
        ("SELECT key FROM _meta", "not found"),
    ],
)
def test_what_suiteql_does_not_take_is_refused_with_a_reason(query: Query, text: str, says: str) -> None:
    with pytest.raises(Refusal) as caught:
        query(text)
    assert caught.value.code == "INVALID_PARAMETER"
    assert says in caught.value.message


def test_parameters_compare_as_the_column_does(query: Query, firm) -> None:
    firm.customer(externalId="007")
    assert query("SELECT id FROM customer WHERE externalid = ?", "007")
    assert not query("SELECT id FROM customer WHERE externalid = ?", "7")
    assert query("SELECT id FROM customer WHERE id = ?", "1")
    assert query("SELECT id FROM currency WHERE exchangerate > ?", "1.2")


def test_pages_tie_and_the_cap_drops_the_rest_without_a_word(query: Query, firm) -> None:
    customer = firm.customer("US")
    for _ in range(7):
        firm.invoice(customer, 1)
    every = "SELECT id FROM transaction ORDER BY id"
    pages = [query(every, limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [row["id"] for page in pages for row in page] == [str(n) for n in range(1001, 1008)]
    assert getattr(query, "total") == 7  # noqa: B009 - set by the fixture
    assert query(every, limit=3, offset=3, cap=5) == [{"id": "1004"}, {"id": "1005"}]


def test_a_kept_result_is_dropped_when_the_data_changes(query: Query, firm) -> None:
    customer = firm.customer("US")
    for _ in range(4):
        firm.invoice(customer, 1)
    every = "SELECT id FROM transaction ORDER BY id"
    assert len(query(every, limit=2, offset=2)) == 2
    firm.service.delete("invoice", "1004", actor="finance")
    assert len(query(every, limit=2, offset=2)) == 1


@given(
    st.datetimes(
        min_value=__import__("datetime").datetime(1970, 1, 1), max_value=__import__("datetime").datetime(2100, 1, 1)
    )
)
def test_a_date_survives_its_way_through_text(moment) -> None:
    text = moment.strftime("%Y-%m-%d %H:%M:%S")
    stored = to_date(text, "YYYY-MM-DD HH24:MI:SS")
    assert to_char(stored, "YYYY-MM-DD HH24:MI:SS") == text


@given(st.decimals(-(10**12), 10**12, places=2))
def test_an_amount_is_shown_as_it_was_stored(amount) -> None:
    shown = render(float(amount))
    assert amount == amount.__class__(shown)
    assert "e" not in shown.lower()


def test_dates_are_shown_in_the_accounts_format() -> None:
    assert user_date("2026-03-05 10:00:00", "M/D/YYYY") == "3/5/2026"
    assert user_date("2026-03-05", "DD.MM.YYYY") == "05.03.2026"
    assert user_date("2026-03-05", "YYYY-MM-DD") == "2026-03-05"
