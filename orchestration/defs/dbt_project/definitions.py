"""Every dbt model, seed and test of the project, as assets and checks. One dbt call a run; its tests block what follows."""

# No postponed annotations here: Dagster reads the config class from the signature.
import os
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, DbtProject, dbt_assets

from ingestion import pipelines
from orchestration import keys, manifest
from orchestration.home import DBT_EXECUTABLE, DBT_PROJECT_DIR, home
from orchestration.translators import ModelTranslator


def build_arguments(*, full_refresh: bool = False) -> list[str]:
    """The dbt command line of a build. `dbt build` runs unit tests, models and data tests in dependency order."""
    return ["build", *(["--full-refresh"] if full_refresh else [])]


class BuildConfig(dg.Config):
    """What a person may set when starting a build by hand."""

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
    with pipelines.warehouse_turn(root, what="dbt build"):
        os.environ["TIEOUT_WAREHOUSE"] = str(pipelines.home_of(root).warehouse)
        invocation = dbt.cli(build_arguments(full_refresh=config.full_refresh), context=context)
        yield from invocation.stream()
        pipelines.publish(root)


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
