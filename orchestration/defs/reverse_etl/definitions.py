"""One write-back asset per sync model, made from the manifest: an analyst adds a model and its yml, and it is here.

The checks of a write-back stand on the asset itself: nothing uncertain, everything confirmed read back and equal, no row
lost between plan and outcome, and no more calls than the platform's largest batches need.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from orchestration import keys, manifest, policies, progress, write_back
from orchestration.translators import ModelTranslator
from reverse_etl.sync import SyncSettings, read_syncs

CALL_RATIO_GOAL = 1.05

_CHECKS = {
    "nothing_uncertain": "Every write has a receipt or was read back; none is in doubt.",
    "journal_settled": "Everything confirmed was read back and equals what was sent.",
    "nothing_lost": "Desired rows = created + updated + unchanged + held + parked + refused + still waiting, to the row.",
    "calls_near_fewest": "Write calls are within 5 % of the fewest the platform allows, retries apart.",
}


def spec_of(sync: SyncSettings, nodes: dict[str, Any], translator: ModelTranslator) -> dg.AssetSpec:
    """The asset spec of one sync: it depends on its model and on the write-backs whose records it refers to."""
    model = nodes[f"model.tieout.{sync.name}"]
    return dg.AssetSpec(
        key=keys.write_back_key(sync.name),
        deps=[translator.get_asset_key(model), *[keys.write_back_key(name) for name in sync.prerequisites]],
        description=(
            f"{sync.description.strip()}\n\nWrites {sync.object} to {sync.platform} ({sync.mode.value} by {sync.key_field}); "
            f"fields: {', '.join(sync.fields.values())}."
        ),
        group_name=f"{keys.WRITE_BACK_PREFIX}_{sync.platform}",
        kinds={sync.platform, "python"},
        owners=[keys.team(sync.owner)],
        tags={"tieout/layer": "reverse_etl", "tieout/platform": sync.platform, "tieout/criticality": sync.criticality.value},
        freshness_policy=policies.WRITE_BACK_FRESHNESS,
    )


def write_back_asset(sync: SyncSettings, spec: dg.AssetSpec) -> dg.AssetsDefinition:
    """The asset that plans, journals, sends and settles one sync."""

    @dg.multi_asset(
        name=f"write_back__{sync.name.removeprefix('sync_')}",
        specs=[spec],
        check_specs=[
            dg.AssetCheckSpec(name=name, asset=spec.key, description=text) for name, text in _CHECKS.items()
        ],
        pool=f"{keys.WRITE_BACK_POOL}_{sync.platform}",
        op_tags={"tieout/platform": sync.platform},
    )
    def write(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        report = write_back.engine().run_sync(sync.name, run_id=context.run_id)
        document = report.to_json()
        write_back.remember(context.run_id, sync.name, document)
        if report.write_calls or report.refused or report.uncertain:
            progress.say(f"  {report.headline()}")
        context.log.info(report.headline())
        yield dg.MaterializeResult(asset_key=spec.key, metadata=metadata_of(report))
        yield from checks_of(report, spec.key)

    return write


def metadata_of(report: Any) -> dict[str, Any]:
    """Counts by outcome, money by currency, calls against the fewest possible, a preview, a link to the records."""
    found: dict[str, Any] = {
        name: dg.MetadataValue.int(getattr(report, name))
        for name in ("desired", "created", "updated", "unchanged", "held", "parked", "refused", "uncertain", "settled")
    }
    for currency, amount in sorted(report.amounts.items()):
        found[f"amount/{currency}"] = dg.MetadataValue.text(f"{amount:,.2f}")
    found["calls/writes"] = dg.MetadataValue.int(report.write_calls)
    found["calls/fewest_possible"] = dg.MetadataValue.int(report.call_floor)
    found["calls/reads"] = dg.MetadataValue.int(report.read_calls)
    found["seconds"] = dg.MetadataValue.float(round(report.seconds, 3))
    sample: pd.DataFrame = report.sample
    if len(sample):
        found["preview"] = dg.MetadataValue.md(markdown(sample))
    if report.link:
        found["records"] = dg.MetadataValue.url(report.link)
    return found


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table (pandas' own needs a further package)."""
    header = "| " + " | ".join(str(column) for column in frame.columns) + " |"
    rule = "|" + "---|" * len(frame.columns)
    body = ["| " + " | ".join("" if pd.isna(v) else str(v).replace("|", "\\|") for v in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join([header, rule, *body])


def checks_of(report: Any, key: dg.AssetKey) -> Iterator[dg.AssetCheckResult]:
    """The results of the four checks, with the figures they were judged by."""
    yield dg.AssetCheckResult(
        asset_key=key, check_name="nothing_uncertain", passed=report.uncertain == 0, metadata={"uncertain": report.uncertain}
    )
    yield dg.AssetCheckResult(
        asset_key=key, check_name="journal_settled", passed=report.unsettled == 0, metadata={"unsettled": report.unsettled}
    )
    yield dg.AssetCheckResult(
        asset_key=key, check_name="nothing_lost", passed=report.is_conserved, metadata={"balance": report.balance()}
    )
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name="calls_near_fewest",
        passed=report.write_calls <= max(1, report.call_floor * CALL_RATIO_GOAL) + report.forced_retries,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"write_calls": report.write_calls, "fewest": report.call_floor, "forced_retries": report.forced_retries},
    )


def build() -> list[dg.AssetsDefinition]:
    """One asset per sync of the manifest."""
    loaded = manifest.load()
    translator = ModelTranslator()
    return [write_back_asset(sync, spec_of(sync, loaded["nodes"], translator)) for sync in read_syncs(loaded)]


manifest.prepare()
defs = dg.Definitions(assets=build())
