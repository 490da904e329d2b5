"""The canonical layer built by dbt from raw tables: identities, exact money, and two stacks by configuration."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from raw_warehouse import RawWarehouse

LOWER_HALF = [
    "resource_type:seed",
    "staging",
    "canonical",
    "intermediate.stacks",
    "intermediate.identity",
    "intermediate.contract",
]
STACK = {"salesforce": "salesforce", "kantata": "kantata", "netsuite": "netsuite"}
DAY = date(2026, 2, 3)
MADE = datetime(2026, 2, 3, 9, 0, tzinfo=UTC)
UNITS = {"USD": 100, "JPY": 1, "KWD": 1000}


def time_entries(count: int, seed: int) -> list[dict[str, Any]]:
    """Entries of random minutes and rates, in currencies of 0, 2 and 3 decimal places."""
    chance = random.Random(seed)
    entries = []
    for number in range(count):
        currency = chance.choice(list(UNITS))
        entries.append(
            {
                "id": str(number),
                "workspace_id": "1",
                "user_id": "1",
                "time_in_minutes": chance.randint(0, 1440),
                "rate_in_cents": chance.randint(1, 5_000_000),
                "currency": currency,
                "currency_base_unit": UNITS[currency],
                "billable": chance.random() < 0.8,
                "approved": True,
                "date_performed": DAY,
                "created_at": MADE,
            }
        )
    return entries


def fill(raw: RawWarehouse) -> None:
    """One customer known everywhere, one only by tax id, one that contradicts itself; a deal with its project."""
    raw.add(
        "salesforce",
        "account",
        [
            {"id": "A1", "name": "Acme", "legal_name__c": "Acme Corp.", "vat_number__c": "GB 111", "is_deleted": False},
            {"id": "A0", "name": "Acme old", "master_record_id": "A1", "is_deleted": True},
            {"id": "A2", "name": "Beta", "vat_number__c": "DE222", "billing_country_code": "DE", "is_deleted": False},
            {"id": "A3", "name": "Gamma", "vat_number__c": "GB333", "is_deleted": False},
        ],
    )
    raw.add(
        "salesforce",
        "opportunity",
        [{"id": "O1", "account_id": "A1", "name": "Deal", "is_won": True, "is_closed": True, "is_deleted": False}],
    )
    raw.add("kantata", "workspace_groups", [{"id": "1", "name": "Acme", "company": True}])
    raw.add(
        "kantata",
        "workspaces",
        [{"id": "1", "title": "Deal", "status_key": "300", "stage": "project", "currency": "USD"}],
    )
    raw.add("kantata", "users", [{"id": "1", "full_name": "Ada"}])
    raw.add(
        "kantata",
        "external_references",
        [
            {"id": "1", "subject_type": "WorkspaceGroup", "subject_id": "1", "service_model_ref": "A0"},
            {"id": "2", "subject_type": "Workspace", "subject_id": "1", "service_model_ref": "O1"},
        ],
    )
    raw.database.execute("update raw_kantata.external_references set service_name = 'tieout'")
    raw.add("kantata", "time_entries", time_entries(400, seed=7))
    raw.add(
        "netsuite", "currency", [{"id": "1", "symbol": "USD", "isbasecurrency": "T", "isinactive": "F", "name": "USD"}]
    )
    raw.add(
        "netsuite",
        "subsidiary",
        [{"id": "1", "externalid": "US", "name": "US", "currency": "1", "iselimination": "F", "isinactive": "F"}],
    )
    customer = {"isperson": "F", "isinactive": "F", "currency": "1", "subsidiary": "1"}
    raw.add(
        "netsuite",
        "customer",
        [
            {"id": "10", "companyname": "ACME Corporation", "externalid": "ACC_A1_US_USD", **customer},
            {"id": "20", "companyname": "Another name", "vatregnumber": "222", **customer},
            {
                "id": "30",
                "companyname": "Gamma",
                "custentity_tieout_account": "A3",
                "vatregnumber": "GB334",
                **customer,
            },
        ],
    )
    raw.add("netsuite", "job", [{"id": "60", "customer": "10", "externalid": "PRJ_O1", "isinactive": "F"}])


@pytest.fixture(scope="module")
def built(new_dbt: Callable[[str], Any], failures_of: Callable[[Any], dict[str, str]]) -> Any:
    """A warehouse with `fill` in it, built without a failure."""
    dbt = new_dbt("canonical")
    with RawWarehouse(dbt.warehouse, connections=STACK) as raw:
        fill(raw)
    outcome = dbt.build(*LOWER_HALF)
    errors = {name: message for name, message in failures_of(outcome).items() if "configured to warn" not in message}
    assert not errors
    return dbt


def test_amounts_agree_with_decimal_arithmetic_to_the_last_subunit(built: Any) -> None:
    found = {
        row["source_id"]: row
        for row in built.query("select source_id, amount, billable_amount from canonical.canonical__time_entry")
    }
    for entry in time_entries(400, seed=7):
        unit = Decimal(1) / entry["currency_base_unit"]
        exact = Decimal(entry["time_in_minutes"] * entry["rate_in_cents"]) / entry["currency_base_unit"] / 60
        expected = (exact / unit).quantize(Decimal(1), ROUND_HALF_UP) * unit
        assert found[entry["id"]]["amount"] == expected, entry
        assert found[entry["id"]]["billable_amount"] == (expected if entry["billable"] else 0), entry


def test_a_customer_is_one_row_across_the_three_platforms(built: Any) -> None:
    rows = built.query("select * from canonical.canonical__identity where crm_id = 'salesforce:A1'")
    assert [(row["psa_id"], row["accounting_id"], row["legal_entity_code"], row["currency"]) for row in rows] == [
        ("kantata:1", "netsuite:10", "US", "USD")
    ]
    assert rows[0]["is_complete"]
    assert (rows[0]["psa_rule"], rows[0]["accounting_rule"]) == ("C-1.1", "C-1.1")


def test_a_tax_id_links_what_names_would_not(built: Any) -> None:
    rows = built.query(
        "select accounting_id, accounting_rule from canonical.canonical__identity where crm_id = 'salesforce:A2'"
    )
    assert [(row["accounting_id"], row["accounting_rule"]) for row in rows] == [("netsuite:20", "C-1.2")]


def test_two_tax_ids_are_never_one_customer_even_when_a_link_is_stored(built: Any) -> None:
    linked = built.query("select accounting_id from canonical.canonical__identity where crm_id = 'salesforce:A3'")
    assert [row["accounting_id"] for row in linked] == [None]
    alone = built.query("select crm_id from canonical.canonical__identity where accounting_id = 'netsuite:30'")
    assert [row["crm_id"] for row in alone] == [None]
    conflicts = built.query("select left_tax_id, right_tax_id from canonical.canonical__identity_conflict")
    assert [tuple(row.values()) for row in conflicts] == [("GB333", "GB334")]
    assert built.query("select * from canonical.canonical__identity_candidate where left_id = 'salesforce:A3'") == []


def test_a_deal_knows_its_project_in_both_other_platforms(built: Any) -> None:
    rows = built.query(
        "select psa_id, accounting_id, is_complete from canonical.canonical__identity where entity = 'project'"
    )
    assert [tuple(row.values()) for row in rows] == [("kantata:1", "netsuite:60", True)]


def test_an_unknown_picklist_value_fails_a_test_that_names_it(
    new_dbt: Callable[[str], Any], failures_of: Callable[[Any], dict[str, str]]
) -> None:
    dbt = new_dbt("unknown")
    with RawWarehouse(dbt.warehouse, connections=STACK) as raw:
        raw.add(
            "kantata",
            "workspaces",
            [{"id": "7", "title": "P", "status_key": "777", "stage": "project", "currency": "EUR"}],
        )
    assert not failures_of(dbt.build("+canonical__unmapped_value", tests=False))
    failed = failures_of(dbt.run("test", "--select", "assert_every_vendor_value_is_mapped"))
    assert list(failed) == ["assert_every_vendor_value_is_mapped"]
    message = failed["assert_every_vendor_value_is_mapped"]
    assert 'kantata: project.state has the value "777" (1 records, as 7)' in message
    assert "value_mappings" in message


def test_a_second_stack_is_configuration_alone(
    new_dbt: Callable[[str], Any], failures_of: Callable[[Any], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dbt = new_dbt("stacks")
    vars = yaml.safe_load((dbt.project / "dbt_project.yml").read_text())["vars"]
    acquired = {"label": "Acquired", "crm": "sf_two", "psa": "kantata_two", "accounting": "netsuite_two"}
    dbt.vars = {
        "stacks": {**vars["stacks"], "acquired": {**acquired, "legal_entities": ["US"]}},
        "connections": {
            **vars["connections"],
            "sf_two": {"platform": "salesforce", "link_base": "https://two.example"},
            "kantata_two": {"platform": "kantata"},
            "netsuite_two": {"platform": "netsuite"},
        },
    }
    second = {"sf_two": "salesforce", "kantata_two": "kantata", "netsuite_two": "netsuite"}
    with RawWarehouse(dbt.warehouse, connections={**STACK, **second}) as raw:
        same = {"id": "A1", "name": "Acme", "vat_number__c": "GB1", "is_deleted": False}
        for connection in ("salesforce", "sf_two", "nowhere"):
            raw.add("salesforce", "account", [same], connection=connection)
        for connection in ("netsuite", "netsuite_two"):
            raw.add(
                "netsuite",
                "customer",
                [{"id": "1", "companyname": "Acme", "vatregnumber": "GB1", "isperson": "F", "isinactive": "F"}],
                connection=connection,
            )
    errors = {
        k: v
        for k, v in failures_of(dbt.build("+canonical__identity", tests=False)).items()
        if "configured to warn" not in v
    }
    assert not errors
    accounts = dbt.query("select account_id, stack_group, source_link from canonical.canonical__account order by 1")
    assert [tuple(row.values()) for row in accounts] == [
        ("salesforce:A1", "main", None),
        ("sf_two:A1", "acquired", "https://two.example/A1"),
    ]
    linked = dbt.query(
        "select stack_group, crm_id, accounting_id from canonical.canonical__identity"
        " where accounting_id is not null order by 1"
    )
    assert [tuple(row.values()) for row in linked] == [
        ("acquired", "sf_two:A1", "netsuite_two:1"),
        ("main", "salesforce:A1", "netsuite:1"),
    ]


def test_the_raw_warehouse_has_every_declared_table(tmp_path: Path) -> None:
    with RawWarehouse(tmp_path / "raw.duckdb") as raw:
        schemas = raw.database.execute(
            "select distinct table_schema from information_schema.tables order by 1"
        ).fetchall()
    assert {("raw_kantata",), ("raw_tieout",)} <= set(schemas)
