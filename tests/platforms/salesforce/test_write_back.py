"""The whole engine against a running org: plan, journal, dispatch, read-back, settle."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from platforms.kit.sandbox.server import RunningSandbox
from platforms.salesforce.client import SalesforceClient
from reverse_etl.dispatch.dispatcher import Patience
from reverse_etl.journal.store import Journal
from reverse_etl.run import Engine
from reverse_etl.sync import Mode, SyncSettings
from reverse_etl.targets.base import Target, target_for

Connect = Callable[..., SalesforceClient]

ACCOUNTS = SyncSettings(
    name="sync_salesforce__account",
    platform="salesforce",
    object="Account",
    key_column="key",
    key_field="Ext_Key__c",
    mode=Mode.upsert,
    fields={"name": "Name", "paid": "Tieout_Paid__c", "terms": "Payment_Terms__c"},
    database="firm",
    schema="main",
    table="sync_salesforce__account",
    file="models/account.yml",
    owner="finance",
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal.open(f"sqlite:///{tmp_path}/journal.sqlite")
    yield made
    made.close()


def desire(snapshot: Path, count: int, paid: str) -> None:
    """`count` accounts with this amount paid; the seventh has a value that the org refuses."""
    with duckdb.connect(str(snapshot)) as db:
        db.execute(
            f"""
            create or replace table sync_salesforce__account as
            select 'K' || i::varchar as key, 'Name ' || i::varchar as name, {paid}::decimal(18, 2) as paid,
                   case when i = 7 then 'Net 31' else 'Net 30' end as terms,
                   'salesforce' as _connection, null::varchar as _target_id, null::varchar as _hold_reason,
                   '[]' as _source_refs
            from range({count}) as r(i)
            """
        )


@pytest.mark.parametrize(("count", "profile"), [(150, "rough"), (150, "chaos"), (2_100, "rough")])
def test_every_account_is_written_exactly_once_and_the_one_refused_is_told(
    org: RunningSandbox, connect: Connect, journal: Journal, tmp_path: Path, count: int, profile: str
) -> None:
    snapshot = tmp_path / "firm.duckdb"
    org.store.meta["bulk.polls"] = 1

    def target(connection: str, platform: str) -> Target:
        return target_for(platform)(connect(), connection)

    engine = Engine(
        journal=journal,
        snapshot=snapshot,
        targets=target,
        syncs=(ACCOUNTS,),
        sleep=lambda seconds: None,
        random=random.Random(1),
        patience=Patience(tries=6),
    )

    def until_quiet(paid: str) -> None:
        desire(snapshot, count, paid)
        for _ in range(20):
            engine.apply()
            stored = [row for row in org.service.rows("Account") if row["Tieout_Paid__c"] == Decimal(paid)]
            if len(stored) == count - 1:
                return
        raise AssertionError(f"only {len(stored)} of {count - 1} accounts carry {paid}")

    org.faults.use(profile)
    until_quiet("10.50")
    until_quiet("99.99")
    org.faults.use("none")
    engine.apply()
    keys = [row["Ext_Key__c"] for row in org.service.rows("Account")]
    assert len(keys) == len(set(keys)) == count - 1
    before = {row["Id"]: row["SystemModstamp"] for row in org.service.rows("Account")}
    report = engine.apply().syncs[0]
    assert {row["Id"]: row["SystemModstamp"] for row in org.service.rows("Account")} == before
    assert report is not None
