"""The graph that a person sees in the UI: whole, without loose ends, every node saying what it is and whose it is.

`graph.txt` beside this file lists every key, job, schedule and sensor, so that a renamed or lost one shows in review.
TIEOUT_RENEW=1 writes it anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from orchestration import keys, manifest, stacks
from orchestration.home import PROJECT_ROOT
from orchestration.translators import ModelTranslator
from reverse_etl.sync import read_syncs

SNAPSHOT = Path(__file__).parent / "graph.txt"


def loose_ends(graph: Any) -> list[str]:
    """Keys that something depends on and that nothing makes: a renamed dataset, a phantom upstream."""
    return sorted(key.to_user_string() for key in graph.get_all_asset_keys() - graph.materializable_asset_keys)


def test_there_are_no_loose_ends(graph: Any) -> None:
    assert loose_ends(graph) == []


def test_every_asset_says_what_it_is_and_whose(graph: Any) -> None:
    silent = {
        quality: [k.to_user_string() for k in graph.materializable_asset_keys if not getattr(graph.get(k), quality)]
        for quality in ("description", "owners", "kinds", "group_name")
    }
    assert silent == {quality: [] for quality in silent}
    assert [k for k in graph.materializable_asset_keys if graph.get(k).group_name == "default"] == []


def test_all_read_tables_reach_a_write_back(graph: Any) -> None:
    ends = {key for key in graph.materializable_asset_keys if key.path[0] == keys.WRITE_BACK_PREFIX}
    upstream = dg.AssetSelection.assets(*ends).upstream().resolve(graph)
    for platform in set(stacks.connections().values()):
        assert any(key.path[0] == f"raw_{platform}" for key in upstream), platform


def test_there_is_one_write_back_per_sync_model(graph: Any) -> None:
    found = {key.path[-1] for key in graph.materializable_asset_keys if key.path[0] == keys.WRITE_BACK_PREFIX}
    assert found == {sync.name for sync in read_syncs(manifest.load())}


def test_every_write_back_has_its_checks_and_its_freshness(graph: Any) -> None:
    checks = {(check.asset_key, check.name) for check in graph.asset_check_keys}
    for key in graph.materializable_asset_keys:
        if key.path[0] == keys.WRITE_BACK_PREFIX:
            assert {(key, "nothing_uncertain"), (key, "journal_settled")} <= checks, key
        if key.path[0] == keys.WRITE_BACK_PREFIX or key.path[0].startswith("raw_"):
            assert graph.get(key).freshness_policy is not None, key


def test_the_graph_is_the_one_that_was_agreed(graph: Any, definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    lines = [f"asset     {key.to_user_string()}" for key in graph.materializable_asset_keys]
    lines += [f"job       {job.name}" for job in repository.get_all_jobs() if not job.name.startswith("__")]
    lines += [f"schedule  {schedule.name}" for schedule in repository.schedule_defs]
    lines += [f"sensor    {sensor.name}" for sensor in repository.sensor_defs]
    text = "\n".join(sorted(lines)) + "\n"
    if os.environ.get("TIEOUT_RENEW"):
        SNAPSHOT.write_text(text)
    agreed = SNAPSHOT.read_text()
    gone, new = (
        sorted({*agreed.splitlines()} - {*text.splitlines()}),
        sorted({*text.splitlines()} - {*agreed.splitlines()}),
    )
    assert not (gone or new), f"gone: {gone}, new: {new}; if that is meant, TIEOUT_RENEW=1 pytest {Path(__file__).name}"


def test_a_renamed_dataset_would_be_seen(definitions: dg.Definitions) -> None:
    """What the first two tests are for: the same graph with one dataset renamed where dbt reads it has loose ends."""
    renamed = json.loads(json.dumps(manifest.load()))
    platform = sorted(stacks.connections().values())[0]
    for source in renamed["sources"].values():
        if source["source_name"] == f"raw_{platform}":
            source["source_name"] = f"raw_{platform}_renamed"

    @dbt_assets(manifest=renamed, dagster_dbt_translator=ModelTranslator(), name="dbt_models")
    def models(context):  # type: ignore[no-untyped-def]  # Dagster reads the annotation; postponed, it is a string
        """The project as it would be."""

    others = [
        asset
        for asset in definitions.assets or []
        if isinstance(asset, dg.AssetsDefinition) and asset.node_def.name != "dbt_models"
    ]
    broken = dg.Definitions(assets=[models, *others]).resolve_asset_graph()
    assert loose_ends(broken), "the renamed dataset must leave keys that nothing makes"
    assert all(end.startswith(f"raw_{platform}_renamed/") for end in loose_ends(broken))


def test_dagster_itself_finds_the_definitions_valid(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "dagster"), "definitions", "validate", "-w", "workspace.yaml"],
        cwd=PROJECT_ROOT, env={**os.environ, "DAGSTER_HOME": "", "TIEOUT_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr
