"""One module per platform: its tables (`TABLES`) and its reader (`open_reader`). Found by name, never listed.

    source("salesforce", home=...)          everything new on that connection
    source("kantata", tables=["invoices"])  only some tables, and what rides with them

A source is made without credentials or network; the client is made when the first table is read.
"""

from __future__ import annotations

import copy
import importlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingestion import connections, pipelines
from ingestion.errors import ConfigError
from ingestion.reading import Options, Reader, Run, read_table
from ingestion.tables import CONNECTION, LOADED_AT, OBSERVED, QUARANTINE, Table
from platforms.kit.context import utc_now

# New tables and columns are taken and reported; another type for a known column is refused.
CONTRACT = {"tables": "evolve", "columns": "evolve", "data_type": "freeze"}


def tables(platform: str) -> tuple[Table, ...]:
    """The tables of one platform, without the two every dataset has."""
    found = importlib.import_module(f"ingestion.sources.{platform}").TABLES
    assert isinstance(found, tuple)
    return found


def source(
    connection: str,
    *,
    home: Path | str | None = None,
    only: Sequence[str] | None = None,
    full: bool = False,
    client: Callable[[], Any] | None = None,
    clock: Callable[[], datetime] = utc_now,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    options: Options | None = None,
) -> Any:
    """The dlt source of one connection: a resource per table, named as the dataset (`raw_<platform>`).

    `only` names the tables to read (with those that ride with them); `full` reads everything again. `client` makes the
    platform's client (default: from the configuration), at the first read. Raises ConfigError for an unknown connection
    or table. Run it with `ingestion.pipelines.run(source)`.
    """
    import dlt

    platform = "tieout" if connection == "tieout" else connections.platform_of(connection)
    module = importlib.import_module(f"ingestion.sources.{platform}")
    chosen = _chosen(module.TABLES, only, connection)
    place = pipelines.home_of(home)
    run_id = new_id()
    local = getattr(module, "default_client", None)
    usual = (lambda: local(place.root)) if local else (lambda: connections.client(connection, place.root, clock=clock))
    make_client = client or usual
    run = Run(
        connection=connection,
        platform=platform,
        run_id=run_id,
        loaded_at=clock(),
        folder=pipelines.folder_after(place.root, connection, run_id),
        memory=pipelines.folder_memory(place.root, connection),
        options=options or read_options(connection),
        full=full,
        tables=module.TABLES,
        after_load=tuple(getattr(module, "AFTER_LOAD", ())),
        open_reader=lambda: _open(module, make_client, run),
    )
    return _source(dlt, platform, chosen, run)


def _open(module: Any, make_client: Callable[[], Any], run: Run) -> Reader:
    run.client = make_client()
    reader: Reader = module.open_reader(run.client, run)
    return reader


def _source(dlt: Any, platform: str, chosen: tuple[Table, ...], run: Run) -> Any:
    from dlt.common.storages.load_package import load_package_state

    before: dict[str, dict[str, Any]] = {}

    def rows_of(table: Table) -> Callable[[], Iterator[pa.Table]]:
        def rows() -> Iterator[pa.Table]:
            state = dlt.current.resource_state(table.name)
            before[table.name] = copy.deepcopy(dict(state))
            yield from read_table(table, run, state, parent=before.get(table.rides_with or ""))

        return rows

    def quarantine() -> Iterator[pa.Table]:
        state = dlt.current.resource_state(QUARANTINE.name)
        if run.quarantine:
            yield pa.concat_tables(run.quarantine)
        elif not state.get("made"):
            yield QUARANTINE.schema.empty_table()
        state["made"] = True

    def observed() -> Iterator[pa.Table]:
        assert run.until  # asks the platform for its clock when no table did
        row = {
            "observed_at": run.observed_at,
            "run_id": run.run_id,
            "load_id": load_package_state()["load_id"],
            CONNECTION: run.connection,
            LOADED_AT: run.loaded_at,
        }
        yield pa.Table.from_pylist([row], schema=OBSERVED.schema)

    resources = [_resource(dlt, table, rows_of(table)) for table in chosen]
    resources += [_resource(dlt, QUARANTINE, quarantine), _resource(dlt, OBSERVED, observed)]
    made = dlt.source(lambda: resources, name=pipelines.dataset_name(platform))()
    made.tieout_run = run
    return made


def _resource(dlt: Any, table: Table, rows: Callable[[], Iterator[pa.Table]]) -> Any:
    from dlt.common.libs.pyarrow import py_arrow_to_table_schema_columns

    hints = py_arrow_to_table_schema_columns(table.schema)
    if table.cursor_column:
        hints[table.cursor_column]["dedup_sort"] = "desc"
    rows.__doc__ = table.description
    return dlt.resource(
        rows,
        name=table.name,
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        primary_key=(CONNECTION, *table.key),
        columns=hints,
        schema_contract=CONTRACT,
    )


def _chosen(all_tables: tuple[Table, ...], only: Sequence[str] | None, connection: str) -> tuple[Table, ...]:
    if only is None:
        return all_tables
    known = {table.name: table for table in all_tables}
    unknown = sorted(set(only) - known.keys() - {OBSERVED.name, QUARANTINE.name})
    if unknown:
        raise ConfigError(
            f"there is no table {', '.join(unknown)}; there are {', '.join(sorted(known))}.",
            connection=connection,
            next_step="Name one of these.",
        )
    wanted = {known[name].rides_with or name for name in only if name in known}
    return tuple(table for table in all_tables if table.name in wanted or table.rides_with in wanted)


def read_options(connection: str) -> Options:
    """How the connection is read, from `[ingestion.<connection>]` or `[ingestion]` of dlt's configuration.

    overlap_seconds, sweep_every, extra_columns, accept_removed (lists, or text separated by commas), largest_loss.
    """
    default = Options()
    read = connections.ingestion_setting
    overlap = read(connection, "overlap_seconds")
    every = read(connection, "sweep_every")
    loss = read(connection, "largest_loss")
    return Options(
        overlap=timedelta(seconds=_number(connection, "overlap_seconds", overlap)) if overlap else default.overlap,
        sweep_every=int(_number(connection, "sweep_every", every)) if every else default.sweep_every,
        extra_columns=_listed(read(connection, "extra_columns")),
        accept_removed=_listed(read(connection, "accept_removed")),
        largest_loss=_number(connection, "largest_loss", loss) if loss else default.largest_loss,
    )


def _listed(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    parts = value.split(",") if isinstance(value, str) else list(value)
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _number(connection: str, setting: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{setting} must be a number, not {value!r}.",
            connection=connection,
            setting=setting,
            next_step=f"Correct {setting} under [ingestion.{connection}] or [ingestion].",
        ) from None
