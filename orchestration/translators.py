"""dlt resources and dbt nodes as Dagster sees them: key, group, owner, kinds, tags and freshness, decided here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject
from dagster_dlt import DagsterDltTranslator
from dagster_dlt.translator import DltResourceTranslatorData

from orchestration import keys, policies

DATA_PLATFORM = "team:data-platform"


class RawTableTranslator(DagsterDltTranslator):
    """An ingested table: keyed like the dbt source that reads it, so the two graphs join without annotations."""

    def get_asset_spec(self, data: DltResourceTranslatorData) -> dg.AssetSpec:
        """The spec of one dlt resource; `deps` are emptied because dlt's default adds a phantom upstream."""
        dataset = data.pipeline.dataset_name if data.pipeline else ""
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(
            key=keys.raw_key(dataset, data.resource.name),
            deps=[],
            group_name=dataset,
            kinds={"dlt", "duckdb", dataset.removeprefix(keys.RAW_PREFIX)},
            owners=[DATA_PLATFORM],
            tags={"tieout/layer": "raw", "tieout/platform": dataset.removeprefix(keys.RAW_PREFIX)},
            freshness_policy=policies.RAW_FRESHNESS,
        )


class ModelTranslator(DagsterDbtTranslator):
    """A dbt node: grouped by its folder, owned as its yml says (`config.meta.owner`), source tests shown as checks."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True, enable_source_metadata=False))

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """dagster-dbt's own spec with the house's group, owners and layer tag."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        props = self.get_resource_props(manifest, unique_id)
        if props["resource_type"] == "source":
            return spec
        group = keys.dbt_group(props)
        owner = str(props.get("config", {}).get("meta", {}).get("owner") or DATA_PLATFORM)
        return spec.replace_attributes(
            group_name=group,
            owners=spec.owners or [keys.team(owner)],
            tags={**spec.tags, "tieout/layer": group.split("_")[0]},
        )
