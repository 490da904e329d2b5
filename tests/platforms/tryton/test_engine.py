"""The real engine into a real Tryton: what Tryton (or its books) refuse becomes an exception with an owner, the rest flows."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import date
from pathlib import Path

import duckdb
import pytest

from platforms.tryton.server import RunningServer
from platforms.tryton.server import firm as people
from reverse_etl.run import SyncReport
from tests.platforms.tryton import loop

pytestmark = pytest.mark.tryton
SEED = 77


def desire(folder: Path, *statements: str) -> None:
    """The desired rows of one seed, changed by these."""
    with duckdb.connect(str(loop.desire(folder, SEED))) as db:
        for statement in statements:
            db.execute(statement)


def run(folder: Path, server: RunningServer) -> dict[str, SyncReport]:
    return {report.sync: report for report in loop.apply(folder, SEED, server.url).syncs}


def exceptions(folder: Path) -> dict[str, tuple[str, str]]:
    """Open exceptions by key: owner and reason."""
    with contextlib.closing(sqlite3.connect(folder / f"journal{SEED}.sqlite")) as journal:
        rows = journal.execute("SELECT key, owner, reason FROM exceptions WHERE closed_at IS NULL").fetchall()
    return {key: (owner, reason) for key, owner, reason in rows}


def test_refusals_become_exceptions_in_plain_words_and_all_else_flows(server: RunningServer, tmp_path: Path) -> None:
    desire(
        tmp_path,
        f"update customer set vat = 'BE123' where key = 'S{SEED}_C7'",
        f"update invoice set day = '2025-02-14' where key = 'S{SEED}_I3'",
        f"update invoice set lines = replace(lines, 'SVC-FIXED', 'SVC-GONE') where key = 'S{SEED}_I5'",
    )
    with server.admin() as admin:
        people.close_period(admin, date(2025, 2, 14))
        first = run(tmp_path, server)
        # One customer refused: its project, and the two invoices that bill it, wait; two invoices are refused.
        assert (first["customer"].created, first["customer"].refused) == (loop.CUSTOMERS - 1, 1)
        assert (first["project"].created, first["project"].parked) == (loop.PROJECTS - 1, 1)
        assert (first["invoice"].refused, first["invoice"].parked) == (2, 1)
        assert first["invoice"].created == loop.INVOICES - 3
        told = exceptions(tmp_path)
        assert {owner for owner, _ in told.values()} == {"finance"}
        assert "BE123" in told[f"S{SEED}_C7"][1]
        assert "Finance decides: reopen period 2025-02" in told[f"S{SEED}_I3"][1]
        assert "SVC-GONE" in told[f"S{SEED}_I5"][1]

        # A customer is deactivated, then its next invoice comes due; the period is reopened, the VAT number corrected.
        [party] = admin.search("party.party", [["code", "=", f"S{SEED}_C2"]])
        people.deactivate_party(admin, party)
        people.reopen_period(admin, date(2025, 2, 14))
    desire(
        tmp_path,
        f"insert into invoice select 'S{SEED}_I99', * exclude key from invoice where key = 'S{SEED}_I2'",
        f"update invoice set day = '2025-02-15' where key = 'S{SEED}_I3'",
    )
    second = run(tmp_path, server)
    assert (second["customer"].created, second["project"].created) == (1, 1)
    assert exceptions(tmp_path).keys() == {f"S{SEED}_I99"}
    assert "is deactivated. Finance decides" in exceptions(tmp_path)[f"S{SEED}_I99"][1]
    counts = loop.counted(server, SEED)
    assert {what: counts[what] for what in loop.WANTED} == loop.WANTED
