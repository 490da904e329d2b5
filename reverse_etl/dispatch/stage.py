"""A plan becomes journal entries, in one transaction: what is new goes in, what it replaces is superseded.

An entry that already says what is desired stays as it is, with its id, attempts and approval. Entries in doubt are
never touched here; they have been read back before, or wait for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select, update

from reverse_etl.exceptions.desk import Trouble, close_cases
from reverse_etl.journal import schema
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Journal, Move
from reverse_etl.plan.diff import Diff
from reverse_etl.plan.model import SyncPlan
from reverse_etl.sync import SyncSettings
from reverse_etl.values import dump

WRITES = ("create", "update", "adopt")


def stage(journal: Journal, sync: SyncSettings, diff: Diff, plan: SyncPlan, *, run_id: str) -> str:
    """Write the plan of one sync into the journal; returns the plan's id. All of it or nothing."""
    plan_id = journal.ids()
    with journal.write(sync.name) as tx:
        journal.insert_plan(
            tx,
            {
                "plan_id": plan_id,
                "run_id": run_id,
                "sync": sync.name,
                "digest": plan.digest,
                "created_at": journal.clock(),
                "counts_json": dump(
                    {"desired": plan.desired, "unchanged": plan.unchanged, "retired": plan.retired, **plan.actions}
                ),
                "types_json": dump(diff.kinds),
                "brake": str(plan.brake) if plan.brake else None,
            },
        )
        for entry_ids in diff.replaced():
            _supersede(journal, tx, sync.name, entry_ids, plan_id)
        journal.insert_entries(tx, _new_entries(journal, tx, sync, diff, plan, plan_id, run_id))
    return plan_id


def _supersede(journal: Journal, tx: Connection, sync: str, entry_ids: list[str], plan_id: str) -> None:
    reason = f"replaced by plan {plan_id}"
    journal.move(tx, [Move(entry_id=i, to=State.superseded, reason=reason) for i in entry_ids])
    e = schema.entries
    records: list[tuple[str, str]] = []
    for start in range(0, len(entry_ids), 10_000):
        query = select(e.c.connection, e.c.key).where(e.c.entry_id.in_(entry_ids[start : start + 10_000]))
        records.extend(tx.execute(query).tuples())
    kinds = (Trouble.refused, Trouble.ask_person, Trouble.conflict, Trouble.duplicate)
    close_cases(journal, tx, sync, records, "source changed", kinds)


def _new_entries(
    journal: Journal, tx: Connection, sync: SyncSettings, diff: Diff, plan: SyncPlan, plan_id: str, run_id: str
) -> Iterator[dict[str, Any]]:
    ordinal = journal.next_ordinal(tx)
    now = journal.clock()
    for part in diff.changes():
        for row in part:
            held = row["action"] == "held"
            if not held and row["action"] not in WRITES:
                continue
            hold_kind, reason = row["hold_kind"], row["why_held"]
            if not held:
                hold_kind, reason = ("brake", plan.brake.message) if plan.brake else (None, None)
            if row["is_carried"] and not _carry(journal, tx, row, hold_kind, reason, plan_id):
                continue
            yield {
                "entry_id": journal.ids(),
                "ordinal": ordinal,
                "plan_id": plan_id,
                "run_id": run_id,
                "sync": sync.name,
                "platform": sync.platform,
                "connection": row["connection"],
                "object": sync.object,
                "key": row["key"],
                "verb": row["verb"],
                "adopt": int(row["adopt"]),
                "state": State.held.value if hold_kind else State.pending.value,
                "hold_kind": hold_kind,
                "reason": reason,
                "fields_json": row["fields_json"],
                "before_json": row["before_json"],
                "desired_json": row["desired_json"],
                "desired_digest": row["desired_digest"],
                "target_id": row["target_id"],
                "target_version": row["target_version"],
                "amount": Decimal(row["amount"]) if row["amount"] is not None else None,
                "currency": row["currency"],
                "owner": sync.owner,
                "source_refs": row["source_refs"],
                "created_at": now,
                "updated_at": now,
            }
            ordinal += 1


def _carry(
    journal: Journal, tx: Connection, row: dict[str, Any], hold_kind: str | None, reason: str | None, plan_id: str
) -> bool:
    """An open entry already says the same. Adjust what holds it; True = it had to make room for a new one."""
    entry_id, state = row["open_id"], row["open_state"]
    if hold_kind is None:
        if state == State.held.value:
            journal.move(tx, [Move(entry_id=entry_id, to=State.pending, reason="no longer held")])
        return False
    if state == State.held.value:
        if (row["open_hold_kind"], row["open_reason"]) != (hold_kind, reason):
            e = schema.entries
            tx.execute(
                update(e)
                .where(e.c.entry_id == entry_id)
                .values(hold_kind=hold_kind, reason=reason, updated_at=journal.clock())
            )
        return False
    if hold_kind == "brake":
        # It passed the brakes when it was staged, and waits to be sent.
        return False
    journal.move(tx, [Move(entry_id=entry_id, to=State.superseded, reason=f"held by plan {plan_id}")])
    return True
