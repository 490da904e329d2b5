"""A sensor sees a change on its platform and asks for just the slice that it concerns; without a change it rests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration import execution
from tests.end_to_end.harness import Firm

pytestmark = pytest.mark.timeout(1200)

# Platform -> (object, columns to change, tables that must be in the slice, write-backs that must be in it).
CHANGES = {
    "salesforce": ("Opportunity", {"NextStep": "call them"}, {"opportunity"}, {"sync_kantata__workspace"}),
    "kantata": ("workspaces", {"title": "Renamed by its lead"}, {"workspaces"}, {"sync_salesforce__opportunity"}),
    "netsuite": ("customer", {"comments": "pays on Fridays"}, {"customer"}, {"sync_netsuite__customer"}),
}


@pytest.fixture(scope="module")
def firm(looped: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    with Firm.copy_of(looped, tmp_path_factory.mktemp("sensors")) as firm, firm.here():
        yield firm


def tick(platform: str, cursor: str | None = None) -> Any:
    """What the sensor of a platform answers now, given the cursor it left last time."""
    repository = execution.definitions().get_repository_def()
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=repository) as context,
    ):
        return repository.get_sensor_def(f"{platform}_changes")(context)


@pytest.mark.parametrize("platform", sorted(CHANGES))
def test_a_change_becomes_the_slice_that_it_concerns_and_a_rest_becomes_none(firm: Firm, platform: str) -> None:
    quiet = tick(platform)
    assert isinstance(quiet, dg.SkipReason), quiet
    assert "nothing changed" in str(quiet.skip_message)

    object, values, tables, syncs = CHANGES[platform]
    service: Any = firm.running[platform].service
    # Changes count in whole seconds of the platform's own clock.
    service.clock.tick(2000)
    row = next(iter(service.rows(object, *(('"IsWon" = 1',) if object == "Opportunity" else ()))))
    service.update(object, str(row.get("Id") or row["id"]), values, actor=None if platform == "kantata" else "")

    result = tick(platform)
    assert isinstance(result, dg.SensorResult), result
    (request,) = result.run_requests or ()
    chosen = {key.to_user_string() for key in request.asset_selection or ()}
    assert {f"raw_{platform}/{table}" for table in tables} <= chosen
    assert {f"reverse_etl/{sync}" for sync in syncs} <= chosen
    others = {key for key in chosen if key.startswith("raw_")} - {f"raw_{platform}/{table}" for table in tables}
    assert all(key.startswith((f"raw_{platform}/", "raw_tieout/")) for key in others), (
        "other platforms are not read again"
    )
    assert len(chosen) < len(execution.asset_keys()), "a slice, not the whole loop"

    again = tick(platform, result.cursor)
    assert isinstance(again, dg.SensorResult), "until it was read, the change is there"
    assert (again.run_requests or ())[0].run_key != request.run_key, "a used run key would silence the sensor"


def test_a_change_that_cannot_be_read_is_not_tried_for_ever(firm: Firm) -> None:
    service: Any = firm.running["salesforce"].service
    service.clock.tick(2000)
    row = next(iter(service.rows("Account")))
    service.update("Account", str(row["Id"]), {"Phone": "+44 20 7946 0001"}, actor="")
    cursor, tries = None, 0
    while isinstance(result := tick("salesforce", cursor), dg.SensorResult):
        cursor, tries = result.cursor, tries + 1
        assert tries < 10
    assert tries == 3
    assert "three times" in str(result.skip_message)
