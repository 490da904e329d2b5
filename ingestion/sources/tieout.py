"""Tieout's own journal, so that what was written, when and why can be modelled beside what the platforms say."""

from __future__ import annotations

from ingestion.tables import COUNT, ID, JSON, LEDGER, TEXT, TIME, Table, fields

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
                "fields_json": JSON,
                "before_json": JSON,
                "target_id": ID,
                "reason": TEXT,
                "owner": TEXT,
                "source_refs": JSON,
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
                "fields_json": JSON,
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
                "connection": TEXT,
                "key": TEXT,
                "kind": TEXT,
                "reason": TEXT,
                "owner": TEXT,
                "decision": TEXT,
                "decided_by": TEXT,
                "opened_at": TIME,
                "closed_at": TIME,
            }
        ),
    ),
    Table(
        name="runs",
        vendor_object="runs",
        description="One row per run of the loop.",
        key=("run_id",),
        columns=fields({"run_id": ID, "kind": TEXT, "status": TEXT, "started_at": TIME, "finished_at": TIME}),
    ),
    Table(
        name="plans",
        vendor_object="plans",
        description="One row per plan: how many changes of which sync, and whether it was approved.",
        key=("plan_id",),
        columns=fields({"plan_id": ID, "run_id": ID, "sync": TEXT, "state": TEXT, "created_at": TIME}),
    ),
    Table(
        name="events",
        vendor_object="events",
        description="One row per move of an entry from one state to the next, and why.",
        key=("event_id",),
        columns=fields(
            {
                "event_id": ID,
                "entry_id": ID,
                "run_id": ID,
                "at": TIME,
                "from_state": TEXT,
                "to_state": TEXT,
                "reason": TEXT,
            }
        ),
    ),
    Table(
        name="attempts",
        vendor_object="attempts",
        description="One row per request sent for an entry.",
        key=("attempt_id",),
        columns=fields(
            {
                "attempt_id": ID,
                "entry_id": ID,
                "run_id": ID,
                "outcome": TEXT,
                "reason": TEXT,
                "started_at": TIME,
                "finished_at": TIME,
            }
        ),
    ),
)
