"""One set of assets per platform: every table that dlt loads from it, whichever connections feed it.

Fetching runs outside the warehouse's turn and the load inside it (`ingestion.pipelines.run`), so platforms overlap.
"""

# No postponed annotations here: Dagster reads the config class from the signature.
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dlt import dlt_assets

from ingestion import connections, pipelines, sources
from orchestration import keys, progress, stacks
from orchestration.home import home
from orchestration.translators import RawTableTranslator


def connections_of(platform: str) -> list[str]:
    """Connections that feed a platform's dataset; our own journal feeds `raw_tieout`."""
    if platform == keys.JOURNAL:
        return [keys.JOURNAL]
    return [name for name in stacks.all_connections() if connections.platform_of(name) == platform]


def platforms_read() -> list[str]:
    """Platforms that some connection is of, sorted."""
    return sorted({connections.platform_of(name) for name in stacks.all_connections()})


class ReadConfig(dg.Config):
    """What a person may set when starting a load by hand."""

    full: bool = False
    """Read everything again instead of what changed."""


def raw_assets(platform: str) -> dg.AssetsDefinition:
    """The raw tables of one platform."""
    translator = RawTableTranslator()
    first = (connections_of(platform) or [platform])[0]

    @dlt_assets(
        dlt_source=sources.source(first, home=home().root),
        dlt_pipeline=pipelines.pipeline(first, platform, home().root),
        dagster_dlt_translator=translator,
        name=f"ingest_{platform}",
        pool=f"read_{platform}",
    )
    def load(context: dg.AssetExecutionContext, config: ReadConfig) -> Iterator[dg.MaterializeResult[Any]]:
        chosen = {key.path[-1] for key in context.selected_asset_keys} if context.is_subset else None
        reports = []
        for connection in connections_of(platform):
            source = sources.source(
                connection, home=home().root, only=sorted(chosen) if chosen is not None else None, full=config.full
            )
            report = pipelines.run(source, home().root)
            reports.append(report)
            told = f"  {connection}: {report.total_rows} rows new or changed"
            told += f", {sum(report.deleted.values())} gone" if any(report.deleted.values()) else ""
            told += f", {len(report.quarantined)} quarantined" if report.quarantined else ""
            progress.say(told)
            for change in report.schema_changes:
                context.log.warning("%s: %s", connection, change)
        for key in sorted(context.selected_asset_keys, key=lambda key: key.to_user_string()):
            yield dg.MaterializeResult(asset_key=key, metadata=metadata_of(reports, key.path[-1]))

    return load


def metadata_of(reports: list[pipelines.LoadReport], table: str) -> dict[str, Any]:
    """What came into one table, over the connections that feed it."""
    found: dict[str, Any] = {
        "dagster/partition_row_count": dg.MetadataValue.int(sum(report.rows.get(table, 0) for report in reports)),
        "rows_read": dg.MetadataValue.int(sum(report.read.get(table, 0) for report in reports)),
        "rows_gone": dg.MetadataValue.int(sum(report.deleted.get(table, 0) for report in reports)),
        "quarantined": dg.MetadataValue.int(
            sum(1 for report in reports for row in report.quarantined if row["table"] == table)
        ),
    }
    for report in reports:
        found[f"{report.connection}/as_of"] = dg.MetadataValue.text(str(report.server_time or "unknown"))
        found[f"{report.connection}/calls"] = dg.MetadataValue.json(report.calls)
        found[f"{report.connection}/seconds"] = dg.MetadataValue.json(report.seconds)
    return found


defs = dg.Definitions(
    assets=[raw_assets(platform) for platform in [*platforms_read(), keys.JOURNAL]],
)
