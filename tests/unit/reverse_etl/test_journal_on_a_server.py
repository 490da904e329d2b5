"""A journal that a team shares on PostgreSQL: what only a server can get wrong."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.exceptions.desk import Case, Trouble, open_cases
from reverse_etl.journal import schema
from reverse_etl.journal.states import IllegalMove, State
from reverse_etl.journal.store import Busy, Journal, JournalError, Move
from reverse_etl.targets.base import Receipt, WriteRow
from tests.unit.reverse_etl.conftest import INVOICE, Firm, counting, invoice, ticking
from tests.unit.reverse_etl.postgres import Cluster
from tests.unit.reverse_etl.shelf import Shelf
from tests.unit.reverse_etl.test_journal import NOW, put, row, state_of

SPAWN = multiprocessing.get_context("spawn")
RECORDS = 120


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.url()


def test_money_keeps_every_digit_and_times_are_aware_whatever_zone_the_server_has(url: str, cluster: Cluster) -> None:
    journal = Journal.open(url)
    amount = Decimal("-12345678901234567890123.123456789012345")
    put(journal, row("e1", amount=amount, created_at=datetime.fromisoformat("2026-03-29T03:30:00.000001+02:00")))
    (entry,) = journal.entries_by(entry_id="e1")
    assert entry.amount == amount
    assert entry.created_at == datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=UTC)
    assert entry.created_at.tzinfo is UTC
    with journal.read() as c:
        assert c.exec_driver_sql("show timezone").scalar() == "Asia/Kolkata", "the test would show nothing otherwise"
        kinds = dict(
            c.exec_driver_sql(
                "select column_name, data_type from information_schema.columns where table_name = 'entries'"
                " and table_schema = current_schema() and column_name in ('amount', 'created_at')"
            )
            .tuples()
            .all()
        )
    assert kinds == {"amount": "numeric", "created_at": "timestamp with time zone"}
    journal.close()


def test_a_commit_waits_for_the_disk_although_the_server_says_it_need_not(url: str) -> None:
    journal = Journal.open(url)
    with journal.write("s") as tx:
        assert tx.exec_driver_sql("show synchronous_commit").scalar() == "on"
    journal.close()


def test_the_password_is_in_no_message(url: str, cluster: Cluster) -> None:
    with pytest.raises(JournalError) as told:
        Journal.open(url.replace(f":{cluster.port}/", ":1/"))
    assert cluster.password not in str(told.value)
    assert "cannot be opened" in str(told.value)


def test_what_a_platform_says_is_kept_whatever_is_in_it(journal: Journal) -> None:
    put(journal, row("e1"))
    said = "broken \x00 half \ud800 end"
    case = Case(
        sync="s", platform="p", connection="c", object="o", key="K1", kind=Trouble.refused, reason=said, owner="o"
    )
    with journal.write("s") as tx:
        journal.move(tx, [Move(entry_id="e1", to=State.refused, reason=said)])
        open_cases(journal, tx, [case])
    (entry,) = journal.entries_by(entry_id="e1")
    assert entry.reason is not None
    assert (entry.reason.startswith("broken "), entry.reason.endswith(" end")) == (True, True)


def test_processes_that_open_a_new_journal_at_once_set_it_up_once(url: str) -> None:
    start = threading.Barrier(6)

    def opened(_: int) -> None:
        start.wait(30)
        Journal.open(url).close()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(opened, range(6))) == [None] * 6
    journal = Journal.open(url)
    with journal.read() as c:
        assert c.exec_driver_sql("select count(*) from schema_versions").scalar() == len(schema.MIGRATIONS)
    journal.close()


def test_of_two_that_send_the_same_entries_one_wins_and_the_other_sends_nothing(url: str) -> None:
    """Even without a lock between them: the move to `sent` is made once."""
    first, second = Journal.open(url), Journal.open(url)
    put(first, *(row(f"e{n}", f"K{n}") for n in range(1, 201)))
    start = threading.Barrier(2)
    won: list[str] = []
    turned_away: list[BaseException] = []

    def send(name: str, journal: Journal, backwards: bool) -> None:
        entries = journal.page("s", [State.pending])
        if backwards:
            entries = entries[::-1]
        moves = [Move(entry_id=e.entry_id, to=State.sent) for e in entries]
        start.wait(30)
        try:
            with journal.write("s") as tx:
                journal.mark_sent(tx, batch_id=name, run_id=name, entries=entries, moves=moves, remote=None)
            won.append(name)
        except (IllegalMove, JournalError) as fault:
            turned_away.append(fault)

    threads = [
        threading.Thread(target=send, args=("a", first, False)),
        threading.Thread(target=send, args=("b", second, True)),
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert (len(won), len(turned_away)) == (1, 1), turned_away
    assert isinstance(turned_away[0], IllegalMove)
    entries = first.entries_by(state=State.sent.value)
    assert {(e.batch_id, e.attempts) for e in entries} == {(won[0], 1)}
    assert len(entries) == 200
    first.close()
    second.close()


class ToldShelf(Shelf):
    """A platform that writes down what reaches it where every process can read it."""

    diary: Path

    def _one(self, row: WriteRow) -> Receipt:
        handle = os.open(self.diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{row.key}\n".encode())
        os.close(handle)
        return super()._one(row)


def _apply(url: str, folder: str, diary: str, start: Any, reports: Any) -> None:
    journal = Journal.open(url)
    firm = Firm(Path(folder), journal)
    shelf = ToldShelf(firm.world)
    shelf.diary = Path(diary)
    firm.shelf = shelf
    engine = firm.engine()
    engine.lock_wait = 60.0
    start.wait(120)
    report = engine.apply().syncs[0]
    reports.put((report.created, report.settled, report.error))
    journal.close()


def test_two_processes_that_apply_at_once_send_no_entry_twice(url: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        Firm(folder, Journal.in_memory()).desire([invoice(f"INV_{n}") for n in range(RECORDS)])
    Journal.open(url).close()
    start, reports = SPAWN.Barrier(2), SPAWN.Queue()
    diary = tmp_path / "diary"
    processes = [
        SPAWN.Process(target=_apply, args=(url, str(folder), str(diary), start, reports)) for folder in folders
    ]
    try:
        for one in processes:
            one.start()
        told = [reports.get(timeout=180) for _ in processes]
    finally:
        for one in processes:
            one.join(60)
            one.kill()
    assert Counter(diary.read_text().split()) == Counter({f"INV_{n}": 1 for n in range(RECORDS)})
    assert sorted(told) == [(0, 0, None), (RECORDS, RECORDS, None)]
    journal = Journal.open(url)
    assert journal.counts() == {(INVOICE.name, "shelf", "settled"): RECORDS}
    assert {e.attempts for e in journal.entries_by(sync=INVOICE.name)} == {1}
    journal.close()


def test_a_run_whose_lock_was_cut_sends_nothing_more(url: str, cluster: Cluster, tmp_path: Path) -> None:
    journal = Journal.open(url, clock=ticking(), ids=counting())
    firm = Firm(tmp_path, journal)
    firm.desire([invoice(f"INV_{n}") for n in range(40)])

    def cut(step: str) -> None:
        if step == "write" and firm.world.writes == 2:
            with cluster.connect() as c:
                c.execute("select pg_terminate_backend(%s)", [journal._leases[INVOICE.name]])

    firm.world.fault = cut
    with pytest.raises(JournalError, match=r"the lock of this run was lost.*Nothing was sent after this"):
        firm.run()
    assert firm.world.writes == 2
    firm.world.fault = lambda step: None
    report = firm.run()
    assert report.ok, report
    assert dict(firm.world.by_key()) == {f"INV_{n}": 1 for n in range(40)}
    journal.close()


def _hold(url: str, ready: Any) -> None:
    with Journal.open(url).single_flight("s"):
        ready.set()
        threading.Event().wait(120)


def test_a_killed_holder_lets_go_on_a_server_too(url: str) -> None:
    ready = SPAWN.Event()
    holder = SPAWN.Process(target=_hold, args=(url, ready))
    holder.start()
    try:
        assert ready.wait(120)
        journal = Journal.open(url)
        for patience in (0.0, 0.05):
            with pytest.raises(Busy, match="another process"), journal.single_flight("s", wait=patience):
                pass
        with journal.single_flight("another sync"):
            pass
        holder.kill()
        with journal.single_flight("s", wait=30):
            put(journal, row("e1"))
        assert state_of(journal, "e1") is State.pending
        with journal.read() as c:
            assert c.exec_driver_sql("show lock_timeout").scalar() == "0", "a lock's settings stay with its connection"
        journal.close()
    finally:
        holder.kill()
        holder.join(30)


def test_a_look_is_of_one_moment_although_others_write_meanwhile(url: str) -> None:
    journal, other = Journal.open(url), Journal.open(url)
    put(journal, row("e1", created_at=NOW))
    with journal.read() as c:
        before = c.exec_driver_sql("select count(*) from entries").scalar()
        put(other, row("e2", "K2"))
        assert c.exec_driver_sql("select count(*) from entries").scalar() == before
    journal.close()
    other.close()
