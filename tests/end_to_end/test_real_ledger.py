"""The loop over a real Tryton, as `make demo STACK=...` shows it: an ERP that strangers wrote keeps the books.

Each stack is run once through the command line; then its own tables are asked, beside Tieout and without it.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from orchestration.home import DBT_PROJECT_DIR, PROJECT_ROOT

# One after the other: each takes both processors for minutes.
pytestmark = [pytest.mark.tryton, pytest.mark.timeout(2400)]


class Shown:
    """A stack that was shown: what the demo said, Tryton's own tables, and the published warehouse."""

    def __init__(self, stack: str, folder: Path, said: str) -> None:
        self.settings = yaml.safe_load((DBT_PROJECT_DIR / "stacks" / f"{stack}.yml").read_text())
        self.folder = folder
        self.said = said

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        """Rows of Tryton's own tables; amounts are exact texts there."""
        database = sqlite3.connect(self.folder / "sandbox" / "tryton" / "db" / "firm.sqlite")
        try:
            return database.execute(question).fetchall()
        finally:
            database.close()

    def query(self, question: str) -> list[tuple[Any, ...]]:
        """Rows of the published warehouse."""
        with duckdb.connect(str(self.folder / "published.duckdb"), read_only=True) as database:
            return database.execute(question).fetchall()

    def journal(self, question: str) -> list[tuple[Any, ...]]:
        """Rows of the journal."""
        database = sqlite3.connect(self.folder / "journal.sqlite")
        try:
            return database.execute(question).fetchall()
        finally:
            database.close()


@pytest.fixture(scope="module", params=["tryton", "mixed"])
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp(request.param) / "home"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CONNECTIONS__", "TIEOUT_", "DAGSTER_"))}
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "demo", "--stack", request.param, "--scale", "tiny", "--home", str(folder)],
        cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False, timeout=2200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return Shown(request.param, folder, done.stdout)


def test_the_loop_closes_and_ties_out_to_the_cent(shown: Shown) -> None:
    rows = shown.query("select stack, currency, tie_out_difference, paid_amount from marts.fct_tie_out")
    # work of projects that name no legal entity belongs to no stack, and still ties out
    assert {stack for stack, *_ in rows if stack} == set(shown.settings["stacks"])
    assert {difference for _, _, difference, _ in rows} == {Decimal(0)}
    ledger = [stack for stack, settings in shown.settings["stacks"].items() if settings["accounting"] == "tryton"]
    assert sum(paid for stack, _, _, paid in rows if stack in ledger) > 0, "nothing was paid: the loop did not close"


def test_the_trial_balance_agrees_with_the_receivables_to_the_cent(shown: Shown) -> None:
    lines = shown.ask(
        "SELECT l.debit, l.credit, t.receivable FROM account_move_line l JOIN account_move m ON m.id = l.move"
        " JOIN account_account a ON a.id = l.account LEFT JOIN account_account_type t ON t.id = a.type"
        " WHERE m.state = 'posted'"
    )
    signed = [(exact(debit) - exact(credit), receivable) for debit, credit, receivable in lines]
    assert lines
    assert sum(amount for amount, _ in signed) == 0, "debit is credit"
    owed = sum((amount for amount, receivable in signed if receivable), Decimal(0))
    stacks = [stack for stack, settings in shown.settings["stacks"].items() if settings["accounting"] == "tryton"]
    ((shows,),) = shown.query(
        f"select sum(open_amount) from marts.fct_receivables where stack in ({', '.join(repr(s) for s in stacks)})"
    )
    print(f"receivable by Tryton's trial balance {owed}, by Tieout {shows}")
    assert owed == shows
    assert owed > 0


def exact(value: Any) -> Decimal:
    """Tryton keeps amounts as text or as bytes of text on SQLite."""
    return Decimal(value.decode() if isinstance(value, bytes) else str(value or 0))


def test_every_source_is_on_one_line_and_every_reference_on_one_record(shown: Shown) -> None:
    invoices = [
        reference for (reference,) in shown.ask("SELECT reference FROM account_invoice WHERE reference LIKE 'INV%'")
    ]
    assert invoices
    assert len(invoices) == len(set(invoices))
    notes = [
        note
        for (note,) in shown.ask(
            "SELECT l.note FROM account_invoice_line l JOIN account_invoice i ON i.id = l.invoice"
            " WHERE i.reference LIKE 'INV%' AND i.state <> 'cancelled' AND l.note IS NOT NULL"
        )
    ]
    assert notes
    assert len(notes) == len(set(notes)), "an hour that is billed twice"
    assert all(re.fullmatch(r"\w+:\w+:\d+", note) for note in notes)
    keys = [(comment or "").split("\n")[0] for (comment,) in shown.ask("SELECT comment FROM project_work")]
    ours = [key for key in keys if key.startswith(("PRJ_", "TSK_"))]
    assert len(ours) == len(set(ours))
    codes = [code for (code,) in shown.ask("SELECT code FROM party_party WHERE code LIKE 'ACC_%'")]
    assert len(codes) == len(set(codes))


def test_the_deal_hears_of_the_payment(shown: Shown) -> None:
    """The CRM shows what the ledger booked: as a note on Tryton's deal, in the fields of Salesforce's."""
    if shown.settings["stacks"].get("boutique"):
        told = shown.ask(
            "SELECT message FROM ir_note WHERE resource LIKE 'sale.opportunity,%' AND message LIKE 'Tieout%'"
        )
        assert any("paid" in message.lower() for (message,) in told), told
    else:
        written = shown.journal(
            "SELECT count(*) FROM entries WHERE sync = 'sync_salesforce__opportunity' AND state IN ('confirmed', 'settled')"
        )
        assert written[0][0] > 0


def test_nothing_is_left_open_in_the_journal_and_what_waits_has_a_reason(shown: Shown) -> None:
    states = dict(shown.journal("SELECT state, count(*) FROM entries GROUP BY state"))
    assert not states.get("uncertain") and not states.get("sent"), states
    waiting = shown.journal(
        "SELECT sync, key, reason FROM entries WHERE state IN ('held', 'parked') AND reason IS NULL"
    )
    assert waiting == []
    mismatched = shown.journal(
        "SELECT key, reason FROM exceptions WHERE kind = 'mismatch' AND closed_at IS NULL AND platform = 'tryton'"
    )
    assert mismatched == [], "what was read back is what was sent"
