"""Known records kept in columns: a saving of time that must never be seen in what is planned."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from reverse_etl.journal import store
from reverse_etl.journal.store import Journal, JournalError, Known
from reverse_etl.plan import known
from reverse_etl.values import dump
from tests.unit.reverse_etl.conftest import Firm, counting, invoice, ticking
from tests.unit.reverse_etl.postgres import Cluster


@pytest.fixture
def firm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Firm:
    monkeypatch.setattr(known, "WORTH_KEEPING", 1)
    return Firm(tmp_path, Journal.in_memory(clock=ticking(), ids=counting()))


def test_kept_records_and_later_ones_plan_the_same_as_the_journal_alone(firm: Firm) -> None:
    folder = firm.folder / "known"
    shuffle = random.Random(7)
    table = {f"INV_{n}": invoice(f"INV_{n}") for n in range(30)}
    for _ in range(4):
        for key in shuffle.sample(sorted(table), 6):
            table[key] = invoice(key, shuffle.choice(["Acme", "", 'a "b"', None]), f"{shuffle.randint(0, 999)}.50")
        del table[shuffle.choice(sorted(table))]
        firm.desire(list(table.values()))
        alone = firm.engine().plan()
        assert firm.engine(known_folder=folder).plan().digest == alone.digest
        firm.run(known_folder=folder)
        assert firm.engine(known_folder=folder).plan().writes == 0
    assert [path.name for path in folder.iterdir()] == ["sync_shelf__invoice.parquet"]


def test_a_torn_file_or_one_of_another_journal_is_not_used(firm: Firm) -> None:
    folder = firm.folder / "known"
    firm.desire([invoice("INV_1")])
    firm.run()
    assert firm.engine(known_folder=folder).plan().writes == 0
    (kept,) = folder.iterdir()
    other = Firm(firm.folder, Journal.in_memory(ids=counting()))
    assert other.engine(known_folder=folder).plan().writes == 1, "another journal knows nothing of it"
    kept.write_bytes(b"PAR1")
    assert firm.engine(known_folder=folder).plan().writes == 0


def test_a_field_more_is_seen_although_records_were_kept_without_it(firm: Firm) -> None:
    folder = firm.folder / "known"
    firm.desire([invoice("INV_1")])
    firm.run()
    firm.engine(known_folder=folder).plan()
    firm.change(fields={**firm.syncs[0].fields, "currency": "currency"})
    report = firm.run(known_folder=folder)
    assert (report.updated, report.created) == (1, 0)


def test_records_come_in_bounded_batches_from_every_kind_of_journal(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BATCH", 7)
    remember(journal, 30)
    with journal.known_stream("s") as stream:
        assert [batch.num_rows for batch in stream] == [7, 7, 7, 7, 2]
    assert (journal.known_count("s"), journal.known_count("s", after=1)) == (30, 0)


def test_a_journal_that_breaks_off_in_the_middle_is_told_as_such(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BATCH", 7)
    journal = Journal.open(cluster.url())
    remember(journal, 30)

    def cut_while_read() -> None:
        with journal.known_stream("s") as stream, duckdb.connect() as db:
            stream.read_next_batch()
            with cluster.connect() as c:
                c.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction' and"
                    " query like '%tieout%'"
                )
            db.register("known", stream)
            db.execute("select count(*) from known")

    with pytest.raises(JournalError, match="cannot be read: terminating connection"):
        cut_while_read()
    journal.close()


def test_a_plan_that_outgrows_its_memory_spills_beside_others_and_says_the_same(firm: Firm) -> None:
    firm.desire([])
    with duckdb.connect(str(firm.snapshot)) as db:
        db.execute(
            f"insert into {firm.syncs[0].table} (external_id, name, _connection)"
            " select 'INV_' || i, i || repeat(' long name', 20), 'shelf' from range(15_000) as r(i)"
        )
    remember(firm.journal, 15_000, sync=firm.syncs[0].name, connection="shelf", name="another " * 20)
    roomy = firm.engine().plan()
    assert roomy.syncs[0].actions == {"create": 15_000}
    spill = firm.folder / "spill"
    spill.mkdir()
    with ThreadPoolExecutor(2) as pool:
        tight = list(pool.map(lambda _: firm.engine(memory_limit="48MB", threads=1, spill=spill).plan(), range(2)))
    assert [plan.digest for plan in tight] == [roomy.digest] * 2
    assert list(spill.iterdir()) == [], "what was spilled goes with its plan"
    starved = firm.engine(memory_limit="8MB", threads=4, spill=spill).plan().syncs[0]
    assert "comparing it needs more than its 8MB of memory" in starved.error


def remember(journal: Journal, count: int, sync: str = "s", connection: str = "c", name: str = "") -> None:
    with journal.write(sync) as tx:
        journal.remember(
            tx,
            [
                Known(
                    sync=sync,
                    connection=connection,
                    key=f"K{n}",
                    target_id=f"id{n}",
                    fields_json=dump({"name": f"{name}{n}"}),
                    target_version=None,
                    entry_id=f"e{n}",
                )
                for n in range(count)
            ],
        )
