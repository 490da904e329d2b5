"""Tieout's own journal, so that what was written, when and why can be modelled beside what the platforms say.

Read by table name from any database SQLAlchemy knows (`TIEOUT_JOURNAL_URL`, else journal.sqlite in the home), without
the engine that writes it. A journal that is not there yet gives empty tables; a column it does not have stays null.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from ingestion.reading import Row, Run, Window
from ingestion.tables import COUNT, ID, LEDGER, TEXT, TIME, Table, fields

PAGE = 5_000


TABLES: tuple[Table, ...] = (
    Table(
        name="entries",
        vendor_object="entries",
        description="One row per intended write: its fields, its state, and what came of it.",
        key=("entry_id",),
        cursor="updated_at",
        columns=fields(
            {
                "entry_id": ID,
                "plan_id": ID,
                "run_id": ID,
                "sync": TEXT,
                "platform": TEXT,
                "connection": TEXT,
                "object": TEXT,
                "key": TEXT,
                "verb": TEXT,
                "state": TEXT,
                "fields_json": TEXT,
                "before_json": TEXT,
                "target_id": ID,
                "reason": TEXT,
                "owner": TEXT,
                "source_refs": TEXT,
                "attempts": COUNT,
                "amount": LEDGER,
                "currency": TEXT,
                "created_at": TIME,
                "sent_at": TIME,
                "confirmed_at": TIME,
                "settled_at": TIME,
                "updated_at": TIME,
            }
        ),
    ),
    Table(
        name="known_records",
        vendor_object="known_records",
        description="One row per record Tieout wrote or adopted: what it holds as far as we know.",
        key=("sync", "connection", "key"),
        cursor="written_at",
        columns=fields(
            {
                "sync": TEXT,
                "connection": TEXT,
                "key": TEXT,
                "target_id": ID,
                "fields_json": TEXT,
                "target_version": TEXT,
                "entry_id": ID,
                "written_at": TIME,
            }
        ),
    ),
    Table(
        name="exceptions",
        vendor_object="exceptions",
        description="One row per thing that only a person can decide, and the decision.",
        key=("exception_id",),
        columns=fields(
            {
                "exception_id": ID,
                "sync": TEXT,
                "platform": TEXT,
                "connection": TEXT,
                "object": TEXT,
                "key": TEXT,
                "entry_id": ID,
                "target_id": ID,
                "kind": TEXT,
                "code": TEXT,
                "reason": TEXT,
                "cause": TEXT,
                "owner": TEXT,
                "decision": TEXT,
                "decided_by": TEXT,
                "note": TEXT,
                "attempts": COUNT,
                "opened_at": TIME,
                "last_seen_at": TIME,
                "closed_at": TIME,
            }
        ),
    ),
    Table(
        name="runs",
        vendor_object="runs",
        description="One row per run of the loop, and how it ended.",
        key=("run_id",),
        columns={
            **fields({"run_id": ID, "kind": TEXT}),
            "outcome": ("status", TEXT),
            **fields({"report_json": TEXT, "started_at": TIME, "finished_at": TIME}),
        },
    ),
    Table(
        name="plans",
        vendor_object="plans",
        description="One row per plan: how many changes of which sync, its digest, and the brake that stopped it.",
        key=("plan_id",),
        columns=fields(
            {
                "plan_id": ID,
                "run_id": ID,
                "sync": TEXT,
                "state": TEXT,
                "digest": TEXT,
                "counts_json": TEXT,
                "brake": TEXT,
                "created_at": TIME,
            }
        ),
    ),
    Table(
        name="events",
        vendor_object="events",
        description="One row per thing that happened: to an entry, a sync or a connection; who did it, and the detail.",
        key=("event_id",),
        cursor="at",
        columns=fields(
            {
                "event_id": ID,
                "run_id": ID,
                "sync": TEXT,
                "connection": TEXT,
                "entry_id": ID,
                "kind": TEXT,
                "actor": TEXT,
                "from_state": TEXT,
                "to_state": TEXT,
                "reason": TEXT,
                "detail_json": TEXT,
                "at": TIME,
            }
        ),
    ),
    Table(
        name="attempts",
        vendor_object="attempts",
        description="One row per entry and attempt to send it, with the vendor's answer.",
        key=("attempt_id",),
        columns={
            **fields({"attempt_id": ID, "entry_id": ID, "run_id": ID, "batch_id": ID, "request_id": TEXT}),
            **fields({"outcome": TEXT, "code": TEXT}),
            "message": ("reason", TEXT),
            **fields({"attempt": COUNT}),
            "sent_at": ("started_at", TIME),
            "answered_at": ("finished_at", TIME),
        },
    ),
)


class JournalReader:
    """Reads the journal's tables through SQLAlchemy, in one snapshot per table."""

    omits_nulls = True

    def __init__(self, engine: sa.Engine | None, run: Run) -> None:
        self.engine = engine
        self.run = run

    def now(self) -> datetime:
        return self.run.loaded_at

    def describe(self, table: Table) -> Mapping[str, str] | None:
        return None

    def expected(self, kind: pa.DataType) -> frozenset[str]:
        return frozenset()

    def read(self, table: Table, window: Window, fields: Sequence[str]) -> Iterator[Sequence[Row] | bytes]:
        if self.engine is None or not sa.inspect(self.engine).has_table(table.vendor_object):
            return
        found = sa.Table(table.vendor_object, sa.MetaData(), autoload_with=self.engine)
        query = sa.select(*(found.c[name] for name in fields if name in found.c))
        if window.since is not None and table.cursor and table.cursor in found.c:
            since: Any = window.since
            if self.engine.dialect.name == "sqlite":  # the journal keeps times as ISO text of one width
                since = since.isoformat(timespec="microseconds")
            query = query.where(found.c[table.cursor] >= since)
        with self.engine.connect() as connection:
            for page in connection.execute(query).mappings().partitions(PAGE):
                rows = [dict(row) for row in page]
                if table.name == "attempts":
                    rows = [{**row, "attempt_id": f"{row['entry_id']}:{row['attempt']}"} for row in rows]
                yield rows

    def ids(self, table: Table) -> Iterator[Sequence[str]]:
        return iter(())

    def count(self, table: Table) -> int | None:
        return None

    def gone(self, table: Table, window: Window) -> Iterable[str]:
        return ()

    def deletion(self, table: Table) -> tuple[str | None, str] | None:
        return None


def default_client(home: Path) -> sa.Engine | None:
    """The journal's engine; None when there is no journal yet (opening SQLite would create one)."""
    url = sa.make_url(os.environ.get("TIEOUT_JOURNAL_URL") or f"sqlite:///{home / 'journal.sqlite'}")
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        return None
    return sa.create_engine(url)


def open_reader(client: Any, run: Run) -> JournalReader:
    """The reader of one run."""
    return JournalReader(client, run)
