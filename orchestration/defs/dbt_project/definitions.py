"""Every dbt model, seed and test of the project, as assets and checks. One dbt call a run; tests block what follows."""

# No postponed annotations here: Dagster reads the config class from the signature.
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import DbtProject, dbt_assets

from ingestion import pipelines
from orchestration import dbt_build, keys, manifest, stacks
from orchestration.home import DBT_PROJECT_DIR, home
from orchestration.translators import ModelTranslator

# Neither holds anything that a load could have changed.
DEFINED_BY_CODE = ("config.materialized:view", "resource_type:seed")


def build_arguments(*, everything: bool, views_are_current: bool, full_refresh: bool = False) -> list[str]:
    """The dbt command line of a build: models and tests in dependency order, tests blocking what follows.

    While the project is unchanged, views and seeds that exist need not be made again.
    """
    excluded = [] if everything else ["resource_type:unit_test", "resource_type:exposure"]
    if views_are_current and not everything:
        excluded.extend(DEFINED_BY_CODE)
    return [
        "build",
        *(["--full-refresh"] if full_refresh else []),
        *(["--exclude", " ".join(excluded)] if excluded else []),
    ]


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
    project=DbtProject(project_dir=DBT_PROJECT_DIR, profiles_dir=DBT_PROJECT_DIR, target_path=stacks.target_path()),
    pool=keys.WAREHOUSE_POOL,
    name="dbt_models",
)
def dbt_models(context: dg.AssetExecutionContext, config: BuildConfig) -> Iterator[Any]:
    """Build the selected models under the warehouse's turn, then publish the snapshot that readers and plans use."""
    root = home().root
    made = root / "views.sha256"
    loaded = manifest.load()
    now = fingerprint(loaded)
    current = pipelines.home_of(root).published.exists() and made.exists() and made.read_text() == now
    arguments = build_arguments(
        everything=config.everything, views_are_current=current, full_refresh=config.full_refresh
    )
    assets, checks = _by_unique_id(loaded)
    if context.is_subset:
        chosen = [uid for uid, key in assets.items() if key in context.selected_asset_keys]
        chosen += [uid for uid, key in checks.items() if key in context.selected_asset_check_keys]
        arguments += ["--indirect-selection", "empty", "--select", " ".join(_selectors(loaded, chosen))]
    with pipelines.warehouse_turn(root, what="dbt build"):
        results = dbt_build.run(
            arguments, warehouse=pipelines.home_of(root).warehouse, logs=root / "logs", manifest_stamp=now
        )
        yield from results_of(results, assets, checks, context)
        bad = list(dbt_build.failures(results, _names(loaded)))
        if bad:
            raise dg.Failure(description="; ".join(bad[:20]), metadata={"failures": len(bad)}, allow_retries=False)
        pipelines.publish(root)
        if not current and len(context.selected_asset_keys) == len(context.assets_def.keys):
            made.write_text(now)


def results_of(
    results: Sequence[dbt_build.NodeResult],
    assets: Mapping[str, dg.AssetKey],
    checks: Mapping[str, dg.AssetCheckKey],
    context: dg.AssetExecutionContext,
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Materializations of the models that were made and results of the tests that ran, where they were asked for."""
    asked = context.selected_asset_check_keys
    for result in results:
        if (key := assets.get(result.unique_id)) and result.status == "success":
            metadata: dict[str, Any] = {"seconds": dg.MetadataValue.float(round(result.seconds, 3))}
            if result.rows is not None:
                metadata["dagster/partition_row_count"] = dg.MetadataValue.int(result.rows)
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
    for result in results:
        check = checks.get(result.unique_id)
        if check in asked and check is not None and result.status in ("pass", "warn", "fail", "error"):
            warns = result.status == "warn"
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=result.status == "pass",
                severity=dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR,
                description=result.message or None,
                metadata={"failing_rows": result.failures},
            )


def _by_unique_id(loaded: Mapping[str, Any]) -> tuple[dict[str, dg.AssetKey], dict[str, dg.AssetCheckKey]]:
    translator = ModelTranslator()
    nodes = {**loaded["nodes"], **loaded["sources"]}
    kinds = ("model", "seed", "snapshot")
    ours = dbt_models.keys  # a model added since this code location was loaded is built, and shown after a reload
    assets = {uid: translator.get_asset_key(node) for uid, node in nodes.items() if node["resource_type"] in kinds}
    assets = {uid: key for uid, key in assets.items() if key in ours}
    known = {(key.name, key.asset_key): key for key in dbt_models.check_keys}
    checks = {}
    for uid, node in loaded["nodes"].items():
        if node["resource_type"] != "test":
            continue
        for parent in [node.get("attached_node"), *node["depends_on"]["nodes"]]:
            if parent in nodes and (node["name"], translator.get_asset_key(nodes[parent])) in known:
                checks[uid] = known[(node["name"], translator.get_asset_key(nodes[parent]))]
                break
    return assets, checks


def _selectors(loaded: Mapping[str, Any], unique_ids: Sequence[str]) -> list[str]:
    """dbt selectors of exactly these nodes."""
    return [f"fqn:{'.'.join(loaded['nodes'][uid]['fqn'])}" for uid in unique_ids if uid in loaded["nodes"]]


def _names(loaded: Mapping[str, Any]) -> dict[str, str]:
    """Node id -> name; unit tests with the model they test."""
    names = {uid: node["name"] for uid, node in loaded["nodes"].items()}
    return names | {uid: f"{unit['model']}::{unit['name']}" for uid, unit in loaded.get("unit_tests", {}).items()}


defs = dg.Definitions(assets=[dbt_models])
