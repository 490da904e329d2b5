"""Reports for people: what a run did, how things stand, where a record came from. Pure text from documents."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestration import warehouse
from orchestration.home import home

WIDTH = 118

TIE_OUT = "select * from marts.fct_tie_out order by stack, currency"
WAITING_DEALS = """
select opportunity_name, owner_name, days_waiting, amount, currency, reason
from marts.fct_won_deals_awaiting_project order by days_waiting desc
"""
UNBILLED_WORK = """
select reason_class, reason, currency, count(*) as items, sum(amount) as amount
from marts.fct_unbilled_work group by all order by all
"""


def money(amount: Decimal | int | None, currency: str = "") -> str:
    """`1,234.50 EUR`; nothing for None."""
    if amount is None:
        return ""
    return f"{amount:,.2f} {currency}".strip()


def by_currency(amounts: Mapping[str, Any]) -> str:
    """`1,234.50 EUR, 20.00 USD`, sorted by currency."""
    return ", ".join(money(Decimal(str(amount)), currency) for currency, amount in sorted(amounts.items()))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> str:
    """A plain table of fixed width, for terminals and logs alike."""
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=not drawn.columns
        )
    for row in rows:
        drawn.add_row(*["" if value is None else str(value) for value in row])
    paper = io.StringIO()
    Console(width=WIDTH, file=paper, force_terminal=False, color_system=None).print(drawn)
    return "\n".join(line.rstrip() for line in paper.getvalue().rstrip().splitlines())


SYNC_COLUMNS = ("created", "updated", "unchanged", "held", "parked", "pending", "refused", "uncertain", "settled")


def run_document(outcomes: Sequence[Any]) -> dict[str, Any]:
    """What one or more passes did, as JSON-ready data."""
    return {
        "success": all(outcome.success for outcome in outcomes),
        "write_calls": sum(outcome.write_calls for outcome in outcomes),
        "passes": [
            {
                "run_id": outcome.run_id,
                "success": outcome.success,
                "failures": list(outcome.failures),
                "write_calls": outcome.write_calls,
                "syncs": outcome.reports,
            }
            for outcome in outcomes
        ],
    }


def merged(outcomes: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Per sync over all passes: what was written adds up; what is still waiting is as the last pass left it."""
    total: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        for name, report in outcome.reports.items():
            entry = total.setdefault(
                name, {column: 0 for column in SYNC_COLUMNS} | {"amounts": {}, "calls_used": 0, "calls_floor": 0}
            )
            for column in ("created", "updated", "settled"):
                entry[column] += report.get(column, 0)
            for column in ("unchanged", "held", "parked", "pending", "refused", "uncertain"):
                entry[column] = report.get(column, 0)
            for calls in ("calls_used", "calls_floor"):
                entry[calls] += report.get(calls, 0)
            for currency, amount in report.get("amounts", {}).items():
                entry["amounts"][currency] = Decimal(str(entry["amounts"].get(currency, 0))) + Decimal(str(amount))
    return total


def run_text(outcomes: Sequence[Any]) -> str:
    """Per sync what was created, updated and left waiting, calls against the fewest possible, and money by currency."""
    parts = []
    reports = merged(outcomes)
    shown = ["created", "updated", "unchanged", "waiting", "refused", "uncertain"]
    if reports:
        rows = []
        for name, report in reports.items():
            counts = {**report, "waiting": report["held"] + report["parked"] + report["pending"]}
            calls = f"{report['calls_used']}/{report['calls_floor']}" if report["calls_used"] else ""
            rows.append([plain(name), *[counts[column] or "" for column in shown], calls])
        title = f"Written back in {len(outcomes)} pass{'es' if len(outcomes) != 1 else ''}"
        columns = ["sync", *shown, "calls/fewest"]
        parts.append(table(title, columns, rows, right=columns[1:]))
        money_rows = [
            [plain(name), by_currency(report["amounts"])] for name, report in reports.items() if report["amounts"]
        ]
        if money_rows:
            parts.append(table("", ["money written", "by currency"], money_rows))
        parts.append(f"{sum(outcome.write_calls for outcome in outcomes)} write calls")
    for outcome in outcomes:
        parts.extend(f"FAILED {failure}" for failure in outcome.failures)
    return "\n\n".join(parts) or "done"


def plain(sync: str) -> str:
    """`sync_kantata__external_payment` -> `kantata external payment`."""
    return sync.removeprefix("sync_").replace("__", " ").replace("_", " ")


def status_document() -> dict[str, Any]:
    """Entries by sync and state, held and refused with reasons, the tie-out, deals and work that wait."""
    from orchestration import write_back

    counts = write_back.journal(home().journal_url).counts()
    entries = [
        {"sync": sync, "connection": connection, "state": state, "entries": count}
        for (sync, connection, state), count in sorted(counts.items())
    ]
    document: dict[str, Any] = {
        "entries": entries,
        "uncertain": sum(row["entries"] for row in entries if row["state"] in ("uncertain", "sent")),
        "exceptions": [group.__dict__ for group in write_back.desk().groups()],
        "tie_out": [],
        "won_deals_awaiting_project": [],
        "unbilled_work": [],
    }
    try:
        document["tie_out"] = warehouse.rows(TIE_OUT)
        document["won_deals_awaiting_project"] = warehouse.rows(WAITING_DEALS)
        document["unbilled_work"] = warehouse.rows(UNBILLED_WORK)
    except warehouse.NotBuiltYet as missing:
        document["note"] = str(missing)
    return document


_TIE_OUT_ROWS = {
    "approved_amount": "approved work in the PSA",
    "billed_amount": "  of it billed",
    "unbilled_amount": "  of it not billed yet, each with a reason",
    "ledger_line_amount": "ledger lines that name it",
    "invoice_net_amount": "invoices in the ledger, net",
    "psa_invoice_amount": "their mirrors in the PSA",
    "paid_amount": "paid",
    "credited_amount": "credited",
    "open_amount": "open",
    "tie_out_difference": "DIFFERENCE",
}


def tie_out_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The finance lead's table, a column per stack and currency: PSA, ledger, payments, and what must be 0.00."""
    stacks = {row["stack"] for row in rows}
    heads = [row["currency"] if len(stacks) == 1 else f"{row['stack'] or 'no stack'} {row['currency']}" for row in rows]
    body = [[label, *[money(row[name]) for row in rows]] for name, label in _TIE_OUT_ROWS.items()]
    return table("Tie-out, by currency", ["", *heads], body, right=heads)


def waiting_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Won deals without a project, and why."""
    if not rows:
        return "Every won deal has its project."
    return table(
        "Won deals without a project",
        ["deal", "owner", "days", "amount", "why"],
        [
            [
                r["opportunity_name"],
                r["owner_name"],
                r["days_waiting"],
                money(r["amount"], r["currency"] or ""),
                r["reason"],
            ]
            for r in rows
        ],
        right=["days", "amount"],
    )


def held_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """What is ready but not sent, by its reason and with its owner."""
    if not rows:
        return "Nothing is held."
    return table(
        "Held, and why",
        ["what", "records", "amount", "owner", "why"],
        [
            [
                plain(r["sync"]),
                r["records"],
                money(r["amount"], r["currency"]) if r["amount"] else "",
                r["owner"],
                r["reason"],
            ]
            for r in rows
        ],
        right=["records", "amount"],
    )


def unbilled_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Work with money that is on no invoice, by reason."""
    return table(
        "Work not invoiced, by reason",
        ["class", "reason", "items", "amount"],
        [[r["reason_class"], r["reason"], r["items"], money(r["amount"], r["currency"] or "")] for r in rows],
        right=["items", "amount"],
    )


def status_text(document: Mapping[str, Any]) -> str:
    """`tieout status` as a person reads it."""
    parts = [
        table(
            "Journal",
            ["sync", "connection", "state", "entries"],
            [[row["sync"], row["connection"], row["state"], row["entries"]] for row in document["entries"]],
            right=["entries"],
        )
    ]
    if document["tie_out"]:
        parts.append(tie_out_text(document["tie_out"]))
    if document["won_deals_awaiting_project"]:
        parts.append(waiting_text(document["won_deals_awaiting_project"]))
    if document["unbilled_work"]:
        parts.append(unbilled_text(document["unbilled_work"]))
    if document.get("note"):
        parts.append(document["note"])
    parts.append(
        f"{document['uncertain']} uncertain, {sum(group['count'] for group in document['exceptions'])} open exceptions"
    )
    return "\n\n".join(parts)


def exceptions_text(rows: Sequence[Any]) -> str:
    """Open exceptions, one line each."""
    if not rows:
        return "no open exceptions"
    return table(
        "Exceptions",
        ["id", "sync", "key", "kind", "owner", "opened", "reason"],
        [
            [
                r.exception_id,
                r.sync.removeprefix("sync_"),
                r.key,
                r.kind,
                r.owner,
                f"{r.opened_at:%Y-%m-%d %H:%M}",
                r.reason,
            ]
            for r in rows
        ],
    )
