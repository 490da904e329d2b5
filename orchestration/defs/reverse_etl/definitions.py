"""One write-back asset per sync model, made from the manifest: an analyst adds a model and its yml, and it is here.

The checks of a write-back stand on the asset itself: nothing uncertain, everything confirmed read back and equal,
nothing left waiting, and no more calls than the platform's largest batches need.
"""

# No postponed annotations here: Dagster checks the context annotation of the signature.
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from orchestration import keys, manifest, policies, progress, write_back
from orchestration.translators import ModelTranslator
from platforms.kit.secrets import mask
from reverse_etl.run import SyncReport
from reverse_etl.sync import SyncSettings, read_syncs

CALL_RATIO_GOAL = 1.05

_CHECKS = {
    "nothing_uncertain": "Every write has a receipt or was read back; none is in doubt.",
    "journal_settled": "Everything confirmed was read back and equals what was sent.",
    "nothing_waiting": "Everything that may be sent was sent; no platform was out of reach.",
    "calls_near_fewest": "Write calls are within 5 % of the fewest the platform allows, retries apart.",
}


def spec_of(sync: SyncSettings, nodes: dict[str, Any], translator: ModelTranslator) -> dg.AssetSpec:
    """The asset spec of one sync: it depends on its model and on the write-backs whose records it refers to."""
    model = nodes[f"model.tieout.{sync.name}"]
    return dg.AssetSpec(
        key=keys.write_back_key(sync.name),
        deps=[translator.get_asset_key(model), *[keys.write_back_key(name) for name in sync.prerequisites]],
        description=(
            f"{sync.description.strip()}\n\nWrites {sync.object} to {sync.platform}, "
            f"{sync.mode.value} by {sync.key_field}; fields: {', '.join(sync.fields.values())}."
        ),
        group_name=f"{keys.WRITE_BACK_PREFIX}_{sync.platform}",
        kinds={sync.platform, "python"},
        owners=[keys.team(sync.owner)],
        tags={
            "tieout/layer": "reverse_etl",
            "tieout/platform": sync.platform,
            "tieout/criticality": sync.criticality.value,
        },
        freshness_policy=policies.WRITE_BACK_FRESHNESS,
    )


def write_back_asset(sync: SyncSettings, spec: dg.AssetSpec) -> dg.AssetsDefinition:
    """The asset that plans, journals, sends and settles one sync."""

    @dg.multi_asset(
        name=f"write_back__{sync.name.removeprefix('sync_')}",
        specs=[spec],
        check_specs=[dg.AssetCheckSpec(name=name, asset=spec.key, description=text) for name, text in _CHECKS.items()],
        pool=f"{keys.WRITE_BACK_POOL}_{sync.platform}",
        op_tags={"tieout/platform": sync.platform},
    )
    def write(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        engine = write_back.engine()
        report = engine.run_sync(sync.name)
        write_back.remember(context.run_id, sync.name, report.to_dict())
        told = headline(report)
        if report.calls_used or not report.ok or report.refused:
            progress.say(f"  {told}")
        context.log.info(told)
        if report.error:
            raise dg.Failure(description=report.error, metadata={"sync": sync.name})
        yield dg.MaterializeResult(asset_key=spec.key, metadata=metadata_of(report))
        unsettled = sum(n for (_, _, state), n in engine.journal.counts(sync.name).items() if state == "confirmed")
        yield from checks_of(report, unsettled, spec.key)

    return write


def headline(report: SyncReport) -> str:
    """One line for a log or a terminal: what was done, what waits, what it cost, what went wrong."""
    names = ("created", "updated", "held", "parked", "pending", "refused", "uncertain", "mismatched", "drifted")
    counts = ", ".join(f"{getattr(report, name)} {name}" for name in names if getattr(report, name))
    calls = f"; {report.calls_used} write calls, fewest possible {report.calls_floor}" if report.calls_used else ""
    brake = f"; {report.brake}" if report.brake else ""
    troubles = "".join(f"; {trouble}" for trouble in report.troubles)
    return f"{report.sync}: {counts or 'nothing to do'}{calls}{brake}{troubles}"


def metadata_of(report: SyncReport) -> dict[str, Any]:
    """Counts by outcome, money by currency, calls against the fewest possible, a preview, a link to the records."""
    counts = (
        "desired",
        "created",
        "updated",
        "unchanged",
        "held",
        "parked",
        "pending",
        "refused",
        "uncertain",
        "settled",
    )
    found: dict[str, Any] = {name: dg.MetadataValue.int(getattr(report, name)) for name in counts}
    for currency, amount in report.amounts.items():
        found[f"amount/{currency}"] = dg.MetadataValue.text(f"{amount:,.2f}")
    found["calls/writes"] = dg.MetadataValue.int(report.calls_used)
    found["calls/fewest_possible"] = dg.MetadataValue.int(report.calls_floor)
    found["calls/reads"] = dg.MetadataValue.int(report.reads)
    found["seconds"] = dg.MetadataValue.float(round(report.seconds, 3))
    frame = report.frame()
    if len(frame):
        found["preview"] = dg.MetadataValue.md(mask(markdown(frame)))
        links = [link for link in frame["link"] if link]
        if links:
            found["records"] = dg.MetadataValue.url(str(links[0]))
    return found


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table (pandas' own needs a further package)."""
    lines = ["| " + " | ".join(str(column) for column in frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    for row in frame.astype(object).where(frame.notna(), "").itertuples(index=False):
        lines.append("| " + " | ".join(str(value).replace("|", "\\|")[:80] for value in row) + " |")
    return "\n".join(lines)


def checks_of(report: SyncReport, unsettled: int, key: dg.AssetKey) -> Iterator[dg.AssetCheckResult]:
    """The results of the checks, with the figures they were judged by."""

    def result(name: str, passed: bool, *, warn: bool = False, **figures: Any) -> dg.AssetCheckResult:
        severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
        return dg.AssetCheckResult(asset_key=key, check_name=name, passed=passed, severity=severity, metadata=figures)

    yield result("nothing_uncertain", report.uncertain == 0, uncertain=report.uncertain)
    yield result(
        "journal_settled", unsettled == 0 and report.mismatched == 0, unsettled=unsettled, mismatched=report.mismatched
    )
    yield result(
        "nothing_waiting",
        report.pending == 0 and not report.troubles,
        pending=report.pending,
        troubles=list(report.troubles),
    )
    ratio = float(report.calls_ratio) if report.calls_ratio is not None else 1.0
    yield result(
        "calls_near_fewest",
        ratio <= CALL_RATIO_GOAL,
        warn=True,
        used=report.calls_used,
        fewest=report.calls_floor,
        ratio=ratio,
    )


def build() -> list[dg.AssetsDefinition]:
    """One asset per sync of the manifest."""
    loaded = manifest.load()
    translator = ModelTranslator()
    return [write_back_asset(sync, spec_of(sync, loaded["nodes"], translator)) for sync in read_syncs(loaded)]


manifest.prepare()
defs = dg.Definitions(assets=build())
