"""The stacks as configuration: groups, legal entities, owners, and mistakes that stop the parse with what to correct."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import PROJECT, Dbt

CONNECTIONS = {
    "salesforce": {"platform": "salesforce"},
    "kantata": {"platform": "kantata"},
    "netsuite": {"platform": "netsuite"},
    "tryton": {"platform": "tryton"},
}
GLOBAL = {"crm": "salesforce", "psa": "kantata", "accounting": "netsuite", "legal_entities": ["US", "UK"]}
NORDICS = {"crm": "salesforce", "psa": "kantata", "accounting": "tryton", "legal_entities": ["SE"]}
BOUTIQUE = {"crm": "ledger", "psa": "ledger", "accounting": "ledger", "legal_entities": ["NL"]}
# A write-back with nothing but its stacks: what is served shows as rows.
SYNC = """
{{ config(meta={'sync': {'mode': 'MODE', 'field_group': 'billing'}}) }}
select stack from {{ stacks_written('crm', 'salesforce') }} as written
"""


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Dbt]:
    """The models of the configuration alone, in a project of their own: parsed in a second."""

    def make(stacks: Mapping[str, Any], connections: Mapping[str, Any] = CONNECTIONS) -> Dbt:
        dbt = Dbt(tmp_path)
        dbt.project = tmp_path / "project"
        (dbt.project / "models").mkdir(parents=True)
        (dbt.project / "macros").mkdir()
        shutil.copy(PROJECT / "macros" / "stacks.sql", dbt.project / "macros")
        for name in ("int_stacks", "int_connections", "int_stack_legal_entities"):
            shutil.copy(PROJECT / "models" / "intermediate" / "stacks" / f"{name}.sql", dbt.project / "models")
        for mode in ("created", "updated"):
            (dbt.project / "models" / f"{mode}.sql").write_text(SYNC.replace("MODE", mode.removesuffix("d")))
        shutil.copy(PROJECT / "profiles.yml", dbt.project)
        (dbt.project / "dbt_project.yml").write_text(
            "name: tieout\nversion: '1.0.0'\nprofile: tieout\nflags: {send_anonymous_usage_stats: false}\n"
        )
        duckdb.connect(str(dbt.warehouse)).close()
        dbt.vars = {"stacks": dict(stacks), "connections": dict(connections)}
        return dbt

    return make


def rows(dbt: Dbt, table: str) -> list[tuple[Any, ...]]:
    names = {
        "int_stacks": "stack, stack_group",
        "int_stack_legal_entities": "connection, role, legal_entity_code, stack",
    }
    return [tuple(row.values()) for row in dbt.query(f"select {names.get(table, '*')} from {table} order by all")]


def test_stacks_that_share_a_connection_are_one_group_and_others_are_not(configured: Callable[..., Dbt]) -> None:
    ledger = {**CONNECTIONS, "ledger": {"platform": "tryton"}}
    dbt = configured({"nordics": NORDICS, "global": GLOBAL, "boutique": BOUTIQUE}, ledger)
    assert dbt.run("run").success
    assert rows(dbt, "int_stacks") == [("boutique", "boutique"), ("global", "global"), ("nordics", "global")]


def test_the_legal_entity_says_to_which_stack_a_shared_connection_belongs(configured: Callable[..., Dbt]) -> None:
    dbt = configured({"global": GLOBAL, "nordics": NORDICS})
    assert dbt.run("run").success
    found = rows(dbt, "int_stack_legal_entities")
    assert ("kantata", "psa", "SE", "nordics") in found
    assert ("kantata", "psa", "UK", "global") in found
    assert ("tryton", "accounting", None, "nordics") in found, "a ledger of one stack takes what names no entity"
    assert not [row for row in found if row[0] == "kantata" and row[2] is None], "a shared one must not guess"


def test_a_sync_that_changes_records_leaves_out_the_stack_whose_target_owns_the_fields(
    configured: Callable[..., Dbt],
) -> None:
    crm_bills = {**NORDICS, "owners": {"billing": "crm"}}
    dbt = configured({"global": {**GLOBAL, "owners": {"billing": "accounting"}}, "nordics": crm_bills})
    assert dbt.run("run").success
    assert rows(dbt, "updated") == [("global",)]
    assert rows(dbt, "created") == [("global",), ("nordics",)]


@pytest.mark.parametrize(
    ("stacks", "told"),
    [
        ({"global": {**GLOBAL, "accounting": "netsuit"}}, "accounting names connection netsuit"),
        ({"global": {**GLOBAL, "owners": {"billing": "finance"}}}, "owner of billing is finance"),
        ({"global": {**GLOBAL, "legal_entity": ["US"]}}, "unknown setting legal_entity"),
        ({"global": GLOBAL, "nordics": {**NORDICS, "legal_entities": ["UK"]}}, "legal entity UK stands in the stacks"),
    ],
)
def test_a_mistake_in_the_stacks_stops_the_build_and_says_what_to_correct(
    configured: Callable[..., Dbt], stacks: dict[str, Any], told: str
) -> None:
    outcome = configured(stacks).run("parse")
    assert not outcome.success
    assert told in str(outcome.exception), json.dumps(str(outcome.exception))
