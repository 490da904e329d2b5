"""Customers that are the ledger's own: made before us by finance or an import, or corrected by finance after we made
them. Driven by the engine, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from platforms.kit.errors import Uncertain
from reverse_etl.journal.store import Journal
from reverse_etl.run import Engine
from reverse_etl.sync import Mode, SyncSettings
from reverse_etl.targets.netsuite import NetSuiteTarget, build

CUSTOMER = SyncSettings(
    name="sync_netsuite__customer",
    platform="netsuite",
    object="customer",
    key_column="customer_key",
    key_field="externalId",
    mode=Mode.create,
    fields={"company_name": "companyName", "vat_number": "vatRegNumber", "email": "email"},
    database="firm",
    schema="main",
    table="sync_netsuite__customer",
    file="models/netsuite.yml",
    owner="finance",
)
COLUMNS = ("customer_key", "_connection", "_target_id", "company_name", "vat_number", "email", "subsidiary_id")
Wish = Callable[..., None]


@pytest.fixture
def wish(tmp_path: Path) -> Wish:
    """The model holds exactly these rows: (key, target id or None, fields that are not the usual ones)."""

    def write(*rows: tuple[str, str | None, dict[str, Any]]) -> None:
        with duckdb.connect(str(tmp_path / "firm.duckdb")) as db:
            db.execute(f"create or replace table {CUSTOMER.table} ({', '.join(f'{c} varchar' for c in COLUMNS)})")
            for key, target_id, fields in rows:
                usual = {
                    "company_name": "Acme Ltd",
                    "vat_number": "GB123456789",
                    "email": "pay@acme.example",
                    "subsidiary_id": "2",
                }
                values = {"customer_key": key, "_connection": "books", "_target_id": target_id, **usual, **fields}
                db.execute(f"insert into {CUSTOMER.table} values (?, ?, ?, ?, ?, ?, ?)", [values[c] for c in COLUMNS])

    return write


@pytest.fixture
def engine(connect: Any, tmp_path: Path) -> Engine:
    client = connect()
    client.ping()
    return Engine(
        journal=Journal.in_memory(),
        snapshot=tmp_path / "firm.duckdb",
        targets=lambda connection, platform: build(client, connection),
        syncs=(CUSTOMER,),
        sleep=lambda seconds: None,
    )


def known_id(engine: Engine, key: str) -> str:
    return engine.journal.known(CUSTOMER.name)["books", key].target_id


def test_a_customer_that_carries_the_id_of_an_import_keeps_it_and_costs_no_call(
    engine: Engine, wish: Wish, firm: Any
) -> None:
    theirs = firm.customer(externalId="LEGACY-4711")
    wish(("ACC_1_UK_GBP", theirs, {}))
    report = engine.apply().syncs[0]
    (record,) = firm.service.rows("customer")
    assert (record["externalid"], record["companyname"]) == ("LEGACY-4711", "Acme")
    assert (report.calls_used, report.calls_floor, report.confirmed_by_read_back) == (0, 0, 1)
    assert (report.settled, report.open_exceptions, report.ok) == (1, 0, True)
    assert known_id(engine, "ACC_1_UK_GBP") == theirs
    (entry,) = engine.journal.entries_by(key="ACC_1_UK_GBP")
    assert entry.state == "settled"
    assert engine.apply().syncs[0].planned == 0


def test_only_customers_without_an_id_or_with_one_of_ours_get_our_key(engine: Engine, wish: Wish, firm: Any) -> None:
    bare, former, theirs = firm.customer(), firm.customer(externalId="ACC_0_UK_GBP"), firm.customer(externalId="X_9")
    wish(("ACC_1_UK_GBP", bare, {}), ("ACC_2_UK_GBP", former, {}), ("ACC_3_UK_GBP", theirs, {}))
    report = engine.apply().syncs[0]
    keys = {str(r["id"]): r["externalid"] for r in firm.service.rows("customer")}
    assert keys == {bare: "ACC_1_UK_GBP", former: "ACC_2_UK_GBP", theirs: "X_9"}
    assert [known_id(engine, f"ACC_{n}_UK_GBP") for n in (1, 2, 3)] == [bare, former, theirs]
    assert (report.calls_used, report.calls_floor, report.settled) == (1, 1, 3)


def test_fields_of_such_a_customer_are_written_by_its_id_where_the_sync_may_update(
    engine: Engine, wish: Wish, firm: Any
) -> None:
    engine.syncs = (replace(CUSTOMER, mode=Mode.upsert),)
    theirs = firm.customer(externalId="LEGACY-1")
    wish(("ACC_1_UK_GBP", theirs, {"email": "ap@acme.example"}))
    assert (engine.apply().syncs[0].updated, engine.apply().syncs[0].planned) == (1, 0)
    wish(("ACC_1_UK_GBP", theirs, {"email": "new@acme.example"}))
    report = engine.apply().syncs[0]
    (record,) = firm.service.rows("customer")
    assert (record["externalid"], record["email"], record["companyname"]) == (
        "LEGACY-1",
        "new@acme.example",
        "Acme Ltd",
    )
    assert (report.updated, report.settled, report.ok) == (1, 1, True)


class Forgetful(NetSuiteTarget):
    """Does what it is told, and loses the first answer."""

    lost = 0

    def write(self, *args: Any, **kwargs: Any) -> Any:
        receipts = super().write(*args, **kwargs)
        self.lost += 1
        if self.lost == 1:
            raise Uncertain("the connection was cut")
        return receipts


def test_a_lost_answer_about_such_a_customer_is_read_back_by_its_id(
    engine: Engine, wish: Wish, firm: Any, connect: Any
) -> None:
    engine.syncs = (replace(CUSTOMER, mode=Mode.upsert),)
    theirs = firm.customer(externalId="LEGACY-1")
    wish(("ACC_1_UK_GBP", theirs, {"email": "ap@acme.example"}))
    target = Forgetful(connect(), "books")
    engine.targets = lambda connection, platform: target
    report = engine.apply().syncs[0]
    (record,) = firm.service.rows("customer")
    assert (record["externalid"], record["email"]) == ("LEGACY-1", "ap@acme.example")
    assert known_id(engine, "ACC_1_UK_GBP") == theirs
    assert (target.lost, report.confirmed_by_read_back, report.settled, report.ok) == (1, 1, 1, True)


def test_a_lost_journal_takes_such_a_customer_over_once_more_without_a_call(
    engine: Engine, wish: Wish, firm: Any
) -> None:
    theirs = firm.customer(externalId="LEGACY-1")
    wish(("ACC_1_UK_GBP", theirs, {}))
    engine.apply()
    engine.journal = Journal.in_memory()
    report = engine.apply().syncs[0]
    assert (report.calls_used, known_id(engine, "ACC_1_UK_GBP")) == (0, theirs)
    assert len(list(firm.service.rows("customer"))) == 1


def test_a_tax_id_that_finance_corrected_is_shown_as_drift_and_stays(engine: Engine, wish: Wish, firm: Any) -> None:
    engine.syncs = (replace(CUSTOMER, fields={**CUSTOMER.fields, "subsidiary_id": "subsidiary.id"}),)
    wish(("ACC_1_UK_GBP", None, {}))
    engine.settle = False
    assert engine.apply().syncs[0].created == 1
    made = known_id(engine, "ACC_1_UK_GBP")
    firm.service.update("customer", made, {"vatRegNumber": "GB987654321"}, actor="finance")
    engine.settle = True
    report = engine.apply().syncs[0]
    assert (report.drifted, report.settled, report.mismatched, report.calls_used, report.ok) == (1, 1, 0, 0, True)
    (record,) = firm.service.rows("customer")
    assert record["vatregnumber"] == "GB987654321"
    (case,) = engine.desk.find()
    assert (case.kind, case.diff_json) == ("drift", '{"vatRegNumber":["GB123456789","GB987654321"]}')
    assert record["lastmodifieddate"][:10] in case.reason
    again = engine.apply().syncs[0]
    assert (again.planned, again.reads, again.drifted) == (0, 0, 0)
