"""Known records kept in columns: a saving of time that must never be seen in what is planned."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from reverse_etl.journal.store import Journal
from reverse_etl.plan import known
from tests.unit.reverse_etl.conftest import Firm, counting, invoice, ticking


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
