"""The demo's last screen: what happened, in a finance lead's words, from the snapshot and the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestration import report, warehouse

# Invoices that the ledger shows and that our journal says we made.
_OURS = """
from canonical.canonical__invoice as invoices
join staging.stg_tieout__entries as entries
    on invoices.connection = entries.connection and invoices.external_key = entries.key
    and entries.verb = 'create' and entries.state in ('confirmed', 'settled')
"""
INVOICES = f"""
select invoices.currency, invoices.state, count(*) as invoices, sum(invoices.total_amount) as total,
    sum(invoices.paid_amount) as paid, sum(invoices.open_amount) as open
{_OURS} where not invoices.is_deleted and not invoices.is_voided group by all order by all
"""
LINES = f"""
select lines.currency, count(*) as lines, sum(lines.amount) as amount
{_OURS} join canonical.canonical__invoice_line as lines using (invoice_id)
where lines.source_reference is not null and not invoices.is_voided and not invoices.is_deleted
group by all order by all
"""


HELD = """
select sync, reason, owner, currency, count(*) as records, sum(amount) as amount
from staging.stg_tieout__entries where state in ('held', 'parked') group by all order by all
"""


def ties_out() -> bool:
    """True when every project of every currency ties out to the cent and no source entry is billed twice."""
    rows = warehouse.rows("select tie_out_difference, double_claims from marts.fct_tie_out")
    return bool(rows) and all(row["tie_out_difference"] == 0 and row["double_claims"] == 0 for row in rows)


def text(outcomes: Sequence[Any], *, seconds: float) -> str:
    """The whole screen."""
    merged = report.merged(outcomes)
    tie_out = warehouse.rows(report.TIE_OUT)
    invoices = warehouse.rows(INVOICES)
    lines = warehouse.rows(LINES)
    deals = warehouse.rows(report.WAITING_DEALS)[:12]
    unbilled = warehouse.rows(report.UNBILLED_WORK)
    differences = ", ".join(report.money(row["tie_out_difference"], row["currency"]) for row in tie_out)
    parts = [
        "=" * report.WIDTH,
        "WHAT TIEOUT DID",
        report.table(
            "",
            ["", "created", "updated", "waiting or held", "refused"],
            [
                [
                    report.plain(name),
                    done["created"] or "",
                    done["updated"] or "",
                    (done["held"] + done["parked"]) or "",
                    done["refused"] or "",
                ]
                for name, done in merged.items()
            ],
            right=["created", "updated", "waiting or held", "refused"],
        ),
        report.table(
            "Billing lines drafted by Tieout, still standing in the ledger",
            ["currency", "lines", "net amount"],
            [[row["currency"], row["lines"], report.money(row["amount"])] for row in lines],
            right=["lines", "net amount"],
        ),
        report.table(
            "Their invoices, as finance and customers left them",
            ["currency", "state", "invoices", "total with tax", "paid", "open"],
            [
                [
                    r["currency"],
                    r["state"],
                    r["invoices"],
                    report.money(r["total"]),
                    report.money(r["paid"]),
                    report.money(r["open"]),
                ]
                for r in invoices
            ],
            right=["invoices", "total with tax", "paid", "open"],
        ),
        report.waiting_text(deals),
        report.held_text(warehouse.rows(HELD)),
        report.unbilled_text(unbilled),
        report.tie_out_text(tie_out),
        f"Tie-out difference: {differences}.   {seconds:.0f} s in all.",
        "=" * report.WIDTH,
    ]
    return "\n\n".join(parts)
