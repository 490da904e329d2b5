"""The journal: moves by the table, one open entry a record, nothing sent that is not on the disk, one run at a time."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert
from sqlalchemy.exc import IntegrityError

from reverse_etl.journal import schema
from reverse_etl.journal.states import MOVES, OPEN, IllegalMove, State
from reverse_etl.journal.store import Busy, Journal, JournalError, Known, Move
from tests.unit.reverse_etl.conftest import INVOICE, Firm, counting, invoice, open_journal, ticking

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def row(entry_id: str, key: str = "K1", state: State = State.pending, **more: Any) -> dict[str, Any]:
    values = {
        "entry_id": entry_id,
        "ordinal": int(entry_id.strip("e") or 0),
        "plan_id": "p",
        "run_id": "r",
        "sync": "s",
        "platform": "shelf",
        "connection": "c",
        "object": "o",
        "key": key,
        "verb": "create",
        "adopt": 0,
        "state": state.value,
        "hold_kind": None,
        "reason": None,
        "fields_json": "{}",
        "before_json": None,
        "desired_json": None,
        "desired_digest": "d",
        "target_id": None,
        "target_version": None,
        "amount": Decimal("12345678901234567.89"),
        "currency": "EUR",
        "owner": "o",
        "source_refs": None,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return {**values, **more}


def put(journal: Journal, *rows: dict[str, Any]) -> None:
    with journal.write("s") as tx:
        journal.insert_entries(tx, rows)


def state_of(journal: Journal, entry_id: str) -> State:
    (entry,) = journal.entries_by(entry_id=entry_id)
    return entry.state


def test_every_state_but_the_last_ones_leads_somewhere_and_none_is_out_of_reach() -> None:
    assert set(MOVES) == set(State)
    reached = {State.planned}
    while (more := reached | {to for state in reached for to in MOVES[state]}) != reached:
        reached = more
    assert reached == set(State)
    assert {state for state, targets in MOVES.items() if not targets} == {State.settled, State.superseded}


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(sorted(set(State) - {State.planned})), max_size=12))
def test_an_entry_moves_exactly_as_the_table_says(steps: list[State]) -> None:
    journal = Journal.in_memory(clock=ticking(), ids=counting())
    put(journal, row("e1"))
    at = State.pending
    for to in steps:
        if to in MOVES[at]:
            with journal.write("s") as tx:
                journal.move(tx, [Move(entry_id="e1", to=to)])
            at = to
        else:
            with pytest.raises(IllegalMove), journal.write("s") as tx:
                journal.move(tx, [Move(entry_id="e1", to=to)])
        assert state_of(journal, "e1") is at


def test_one_illegal_move_undoes_the_whole_transaction(journal: Journal) -> None:
    put(journal, row("e1"), row("e2", "K2", State.held))
    with (
        pytest.raises(IllegalMove, match="entry e2 is held, and sent is reached only from pending"),
        journal.write("s") as tx,
    ):
        journal.move(tx, [Move(entry_id="e1", to=State.sent), Move(entry_id="e2", to=State.sent)])
    assert state_of(journal, "e1") is State.pending


def test_a_new_entry_may_not_start_as_sent(journal: Journal) -> None:
    with pytest.raises(IllegalMove):
        put(journal, row("e1", state=State.sent))


def test_a_record_has_at_most_one_open_entry(journal: Journal) -> None:
    put(journal, row("e1"))
    with pytest.raises((JournalError, IntegrityError)):
        put(journal, row("e2"))
    with journal.write("s") as tx:
        journal.move(tx, [Move(entry_id="e1", to=State.superseded)])
    put(journal, row("e2"))
    assert State.superseded not in OPEN


def test_money_and_times_come_back_exact(journal: Journal) -> None:
    put(journal, row("e1"))
    (entry,) = journal.entries_by(entry_id="e1")
    assert (entry.amount, entry.created_at) == (Decimal("12345678901234567.89"), NOW)


def test_naive_times_are_refused(journal: Journal) -> None:
    with pytest.raises(Exception, match="aware"):
        put(journal, row("e1", created_at=NOW.replace(tzinfo=None)))


def test_the_revision_moves_with_every_write_and_only_then(journal: Journal) -> None:
    assert journal.revision("s") == 0
    put(journal, row("e1"))
    before = journal.revision("s")
    with journal.known_stream("s") as known, journal.open_stream("s") as entries:
        assert (known.read_all().num_rows, entries.read_all().num_rows) == (0, 1)
    assert (journal.revision("s"), before) == (1, 1)


def test_a_journal_from_the_future_is_left_alone(tmp_path: Path) -> None:
    journal = open_journal("sqlite", tmp_path)
    with journal.engine.begin() as tx:
        tx.execute(insert(schema.schema_versions).values(version=99, applied_at=NOW))
    journal.close()
    with pytest.raises(schema.JournalTooNew, match="version 99"):
        open_journal("sqlite", tmp_path)


def test_opening_twice_migrates_once(tmp_path: Path) -> None:
    open_journal("sqlite", tmp_path).close()
    open_journal("sqlite", tmp_path).close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        assert db.execute("select count(*) from schema_versions").fetchall() == [(len(schema.MIGRATIONS),)]


def test_intent_is_synced_to_the_disk(tmp_path: Path) -> None:
    journal = open_journal("sqlite", tmp_path)
    with journal.engine.connect() as c:
        assert c.exec_driver_sql("pragma synchronous").scalar() == 2
        assert c.exec_driver_sql("pragma journal_mode").scalar() == "wal"
    journal.close()


def test_a_full_disk_stops_everything_before_the_next_send(tmp_path: Path) -> None:
    firm = Firm(tmp_path, open_journal("sqlite", tmp_path))
    firm.desire([invoice(f"INV_{n:04}") for n in range(400)])
    firm.world.fault = lambda step: "ask"
    firm.run()
    firm.world.fault = lambda step: None
    firm.world.writes = 0
    with firm.journal.engine.connect() as c:
        pages = c.exec_driver_sql("pragma page_count").scalar() or 0

    @event.listens_for(firm.journal.engine, "connect")
    def _small(connection: Any, _record: Any) -> None:
        connection.execute(f"pragma max_page_count = {pages + 12}")

    firm.journal.engine.dispose()
    with pytest.raises(JournalError, match=r"cannot be written: database or disk is full. Nothing was sent after this"):
        firm.run()
    sent = firm.world.writes
    assert 0 < sent * firm.shelf.batch < 400
    marked = [e for e in firm.journal.entries_by(sync=INVOICE.name) if e.attempts]
    assert len(firm.world.log) <= len(marked), "nothing left without its intent on the disk"
    firm.journal.close()

    healed = Firm(tmp_path, Journal.open(f"sqlite:///{tmp_path}/journal.sqlite"), world=firm.world)
    report = healed.run()
    assert report.ok, report
    assert set(healed.world.by_key().values()) == {1}
    assert len(healed.world.by_key()) == 400
    healed.journal.close()


def test_a_second_run_of_the_same_sync_is_turned_away(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    with firm.journal.single_flight(INVOICE.name):
        report = firm.run()
    assert "at work on it" in (report.error or "")
    assert firm.world.writes == 0
    assert firm.run().created == 1


def _hold(folder: str, ready: Any) -> None:
    journal = open_journal("sqlite", Path(folder))
    with journal.single_flight("s"):
        ready.set()
        time.sleep(60)


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path), ready))
    holder.start()
    try:
        assert ready.wait(60)
        journal = open_journal("sqlite", tmp_path)
        with pytest.raises(Busy, match="another process"), journal.single_flight("s"):
            pass
        assert holder.pid is not None
        os.kill(holder.pid, 9)
        holder.join(10)
        with journal.single_flight("s", wait=5):
            pass
        journal.close()
    finally:
        holder.kill()


def test_twenty_thousand_entries_take_seconds(journal: Journal) -> None:
    started = time.monotonic()
    put(journal, *(row(f"e{n}", f"K{n}") for n in range(20_000)))
    entries = [entry for page in journal.pages("s", [State.pending]) for entry in page]
    with journal.write("s") as tx:
        moves = [Move(entry_id=e.entry_id, to=State.sent) for e in entries]
        journal.mark_sent(tx, batch_id="b", run_id="r", entries=entries, moves=moves, remote=None)
    with journal.write("s") as tx:
        journal.move(tx, [Move(entry_id=e.entry_id, to=State.confirmed, target_id=e.key) for e in entries])
        journal.remember(
            tx,
            [
                Known(
                    sync="s",
                    connection="c",
                    key=e.key,
                    target_id=e.key,
                    fields_json="{}",
                    target_version=None,
                    entry_id=e.entry_id,
                )
                for e in entries
            ],
        )
    assert journal.known_count("s") == 20_000
    assert time.monotonic() - started < 30
