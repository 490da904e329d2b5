"""Asset keys, groups and owners: the one place where the graph's names are decided.

raw_<platform>/<table>          a table that dlt loads; also the dbt source, so the graph joins itself
<schema>/<model>                a dbt model, keyed as dagster-dbt does by default
reverse_etl/<sync>              the write-back of one sync model
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

WRITE_BACK_PREFIX = "reverse_etl"
RAW_PREFIX = "raw_"
JOURNAL = "tieout"
JOURNAL_DATASET = "raw_tieout"
WAREHOUSE_POOL = "warehouse"
WRITE_BACK_POOL = "write_back"


def raw_key(dataset: str, table: str) -> dg.AssetKey:
    """Key of an ingested table: dataset = DuckDB schema = dbt source."""
    return dg.AssetKey([dataset, table])


def write_back_key(sync: str) -> dg.AssetKey:
    """Key of the asset that writes `sync` back to its platform."""
    return dg.AssetKey([WRITE_BACK_PREFIX, sync])


def dbt_group(props: Mapping[str, Any]) -> str:
    """Group of a dbt node by its folder: staging_<platform>, canonical, marts_<concern>, sync_<platform>, ..."""
    if props.get("resource_type") == "seed":
        return "seeds"
    layer, *rest = props.get("fqn", ["", "models"])[1:-1] or ["models"]
    if layer == WRITE_BACK_PREFIX:
        return "_".join(["sync", *rest[:1]])
    if layer in ("staging", "marts") and rest:
        return f"{layer}_{rest[0]}"
    return layer


def team(owner: str) -> str:
    """A team owner as Dagster spells it: `finance-operations` -> `team:finance-operations`."""
    return owner if owner.startswith("team:") or "@" in owner else f"team:{owner}"
