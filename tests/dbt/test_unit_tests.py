"""dbt's own unit tests, on a warehouse that has every table and no row: dbt takes column types from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raw_warehouse import RawWarehouse

CONNECTED = {"salesforce": "salesforce", "kantata": "kantata", "netsuite": "netsuite"}


def test_every_unit_test_of_the_project_passes(
    new_dbt: Callable[[str], Any], failures_of: Callable[[Any], dict[str, str]], manifest: dict[str, Any]
) -> None:
    dbt = new_dbt("unit_tests")
    with RawWarehouse(dbt.warehouse, connections=CONNECTED):
        pass
    assert failures_of(dbt.build("resource_type:seed", "resource_type:model", tests=False)) == {}
    outcome = dbt.run("test", "--select", "test_type:unit")
    assert failures_of(outcome) == {}
    assert len(outcome.result.results) == len(manifest["unit_tests"])
