"""Every dbt model, seed and test of the project, as assets and checks. One dbt call a run; its tests block what follows."""

# No postponed annotations here: Dagster reads the config class from the signature.
import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, DbtProject, dbt_assets

from ingestion import pipelines
from orchestration import keys, manifest
from orchestration.home import DBT_EXECUTABLE, DBT_PROJECT_DIR, home
from orchestration.translators import ModelTranslator


VIEWS = "config.materialized:view"


def build_arguments(*, everything: bool, views_are_current: bool, full_refresh: bool = False) -> list[str]:
    """The dbt command line of a build. `dbt build` runs models and tests in dependency order; its tests block what follows.

    A view holds no data: while the project is unchanged and the view exists, making it again changes nothing.
    """
    excluded = [] if everything else ["resource_type:unit_test", "resource_type:exposure"]
    if views_are_current and not everything:
        excluded.append(VIEWS)
    return ["build", *(["--full-refresh"] if full_refresh else []), *(["--exclude", " ".join(excluded)] if excluded else [])]


def fingerprint(compiled: Mapping[str, Any]) -> str:
    """The same for the same models, macros and configuration; changes when any view could."""
    digest = hashlib.sha256()
    for group in ("nodes", "macros"):
        for unique_id, node in sorted(compiled[group].items()):
            told = [unique_id, node.get("checksum", {}).get("checksum") or node.get("macro_sql", "")]
            told += [str(node.get("config", {}).get("materialized")), str(node.get("schema"))]
            digest.update("\x1f".join(told).encode())
    return digest.hexdigest()


class BuildConfig(dg.Config):
    """What a person may set when starting a build by hand."""

    everything: bool = False
    """Run every test, unit tests included, and make every view again."""
    full_refresh: bool = False


@dbt_assets(
    manifest=manifest.prepare(),
    dagster_dbt_translator=ModelTranslator(),
    project=DbtProject(project_dir=DBT_PROJECT_DIR, profiles_dir=DBT_PROJECT_DIR),
    pool=keys.WAREHOUSE_POOL,
    name="dbt_models",
)
def dbt_models(context: dg.AssetExecutionContext, dbt: DbtCliResource, config: BuildConfig) -> Iterator[Any]:
    """Build the selected models under the warehouse's turn, then publish the snapshot that readers and plans use."""
    root = home().root
    made = root / "views.sha256"
    now = fingerprint(manifest.load())
    current = pipelines.home_of(root).published.exists() and made.exists() and made.read_text() == now
    arguments = build_arguments(everything=config.everything, views_are_current=current, full_refresh=config.full_refresh)
    with pipelines.warehouse_turn(root, what="dbt build"):
        os.environ["TIEOUT_WAREHOUSE"] = str(pipelines.home_of(root).warehouse)
        invocation = dbt.cli(arguments, context=context)
        yield from invocation.stream()
        pipelines.publish(root)
        if not current and len(context.selected_asset_keys) == len(context.assets_def.keys):
            made.write_text(now)


defs = dg.Definitions(
    assets=[dbt_models],
    resources={
        "dbt": DbtCliResource(
            project_dir=str(DBT_PROJECT_DIR),
            profiles_dir=str(DBT_PROJECT_DIR),
            dbt_executable=str(DBT_EXECUTABLE),  # the environment need not be activated
        )
    },
)
