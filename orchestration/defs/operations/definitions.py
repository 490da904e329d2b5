"""When things run by themselves: one sensor per connection for speed, a sweep for certainty, a nightly rebuild.

A sensor asks its platform one cheap question and, when something moved, runs just the slice that it concerns: the
tables that changed, the models built from them, and the write-backs fed by those models. The sweep does not trust
sensors (rule S-9).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from ingestion import pipelines
from orchestration import execution, keys, manifest, policies, stacks
from orchestration.decisive import decisive_names
from orchestration.defs.dbt_project.definitions import dbt_models
from orchestration.home import home

SLICE_TAG = "tieout/slice"

_LATER = dg.AssetSelection.checks(
    *[key for key in dbt_models.check_keys if key.name not in decisive_names(manifest.load())]
)

# In one process: starting a step in a process of its own costs 5 s each, and the slice has about six.
LOOP_JOB = dg.define_asset_job(
    name=execution.LOOP_JOB,
    selection=dg.AssetSelection.all() - _LATER,
    description="Read every platform, build, and write back: one pass of `tieout run`, with the decisive tests.",
    executor_def=dg.in_process_executor,
)
SLICE_JOB = dg.define_asset_job(
    name="slice",
    selection=dg.AssetSelection.all() - _LATER,
    description="The part of the loop that one platform's change concerns; started by a change sensor.",
    executor_def=dg.in_process_executor,
)
NIGHTLY_JOB = dg.define_asset_job(
    name=execution.NIGHTLY_JOB,
    selection=dg.AssetSelection.all(),
    description="The whole loop with every test, unit tests included, and every view made again.",
    executor_def=dg.in_process_executor,
    config={"ops": {"dbt_models": {"config": {"everything": True}}}},
)

nightly = dg.ScheduleDefinition(
    name="nightly_build",
    job=NIGHTLY_JOB,
    cron_schedule=policies.NIGHTLY_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every test once a day; full id sweeps fall due in it.",
)
sweep = dg.ScheduleDefinition(
    name="sweep",
    job=LOOP_JOB,
    cron_schedule=policies.SWEEP_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="S-9: everything changed since the last sweep, minus the overlap, every 15 minutes.",
)

_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def slice_of(graph: AssetGraph, dataset: str, tables: Iterable[str]) -> list[dg.AssetKey]:
    """Keys that a change in `tables` concerns: those tables, our journal, and everything downstream of them."""
    ours = graph.materializable_asset_keys
    changed = {keys.raw_key(dataset, table) for table in tables} & ours
    journal = {key for key in ours if key.path[0] == keys.JOURNAL_DATASET}
    downstream = dg.AssetSelection.assets(*changed).downstream().resolve(graph) if changed else set()
    return sorted((downstream | changed | journal) & ours, key=lambda key: key.to_user_string())


def _is_built() -> bool:
    """Whether a whole loop ever came to its end: a slice builds on the tables of every platform."""
    return pipelines.home_of(home().root).published.exists()


@dg.sensor(
    name="first_loop",
    job=LOOP_JOB,
    minimum_interval_seconds=policies.SENSOR_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="On a new installation, starts the whole loop once; should it fail, the sweep tries again.",
)
def first_loop(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    if _is_built():
        return dg.SkipReason("the first loop was built")
    return dg.RunRequest(run_key="first")


def change_sensor(connection: str) -> dg.SensorDefinition:
    """The sensor of one connection. Its cursor is the platform's own state as last acted upon, so nothing is missed
    when the daemon was down, and the run key carries the attempt (a used run key would silence the sensor for good)."""

    @dg.sensor(
        name=f"{connection}_changes",
        job=SLICE_JOB,
        minimum_interval_seconds=policies.SENSOR_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Sees a change in {connection} with one cheap call and runs the slice that it concerns.",
    )
    def changes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if not _is_built():
            return dg.SkipReason("nothing was built yet: the whole loop comes first, started by the sensor first_loop")
        running = context.instance.get_runs(
            filters=dg.RunsFilter(statuses=_ACTIVE, tags={SLICE_TAG: connection}), limit=1
        )
        if running:
            return dg.SkipReason(f"run {running[0].run_id} is still working on the last change")
        seen = json.loads(context.cursor) if context.cursor else {}
        found = pipelines.changes(connection, home().root)
        assert context.repository_def is not None  # evaluated by the daemon and by tests with our definitions
        attempt = int(seen.get("attempt", 0)) + 1
        if not found.tables:
            return dg.SkipReason(f"nothing changed since {found.since or 'the first load'}")
        if seen.get("state") == found.state and seen.get("tries", 0) >= 3:
            return dg.SkipReason(
                "this change was tried three times; the sweep and the run's own error tell why it stays"
            )
        tries = seen.get("tries", 0) + 1 if seen.get("state") == found.state else 1
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=f"{connection}:{attempt}",
                    asset_selection=slice_of(
                        context.repository_def.asset_graph, pipelines.dataset_of(connection), found.tables
                    ),
                    tags={SLICE_TAG: connection, "tieout/tables": ",".join(sorted(found.tables))[:200]},
                )
            ],
            cursor=json.dumps({"state": found.state, "attempt": attempt, "tries": tries}),
        )

    return changes


defs = dg.Definitions(
    jobs=[LOOP_JOB, SLICE_JOB, NIGHTLY_JOB],
    schedules=[sweep, nightly],
    sensors=[first_loop, *(change_sensor(name) for name in stacks.all_connections())],
)
