"""The demo's last screen: what happened, in a finance lead's words, from the snapshot and the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestration import report, warehouse


def ties_out() -> bool:
    """True when every project of every currency ties out to the cent and no source entry is billed twice."""
    rows = warehouse.rows("select tie_out_difference, double_claims from marts.fct_tie_out")
    return bool(rows) and all(row["tie_out_difference"] == 0 and row["double_claims"] == 0 for row in rows)


def text(outcomes: Sequence[Any], *, seconds: float) -> str:
    """The whole screen."""
    merged = report.merged(outcomes)
    tie_out = warehouse.rows("select * from marts.fct_tie_out order by stack, currency")
    invoices = warehouse.rows(
        "select currency, state, count(*) as invoices, sum(total_amount) as total, sum(paid_amount) as paid, sum(open_amount) as open"
        " from canonical.canonical__invoice where invoice_type = 'invoice' and not is_deleted and not is_voided"
        " and external_key in (select key from staging.stg_tieout__known_records where sync = 'sync_netsuite__invoice' and entry_id is not null)"
        " group by all order by all"
    )
    lines = warehouse.rows(
        "select lines.currency, count(*) as lines, sum(lines.amount) as amount from canonical.canonical__invoice_line as lines"
        " join canonical.canonical__invoice as invoices using (invoice_id)"
        " where lines.source_reference is not null and not invoices.is_voided and not invoices.is_deleted and invoices.external_key in"
        " (select key from staging.stg_tieout__known_records where sync = 'sync_netsuite__invoice' and entry_id is not null)"
        " group by all order by all"
    )
    deals = warehouse.rows(
        "select opportunity_name, owner_name, days_waiting, amount, currency, reason from marts.fct_won_deals_awaiting_project order by days_waiting desc limit 12"
    )
    unbilled = warehouse.rows(
        "select reason_class, reason, currency, count(*) as items, sum(amount) as amount from marts.fct_unbilled_work group by all order by all"
    )
    parts = [
        "=" * report.WIDTH,
        "WHAT TIEOUT DID",
        report.table(
            "",
            ["", "created", "updated", "waiting or held", "refused"],
            [
                [
                    name.removeprefix("sync_").replace("__", " ").replace("_", " "),
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
                [r["currency"], r["state"], r["invoices"], report.money(r["total"]), report.money(r["paid"]), report.money(r["open"])]
                for r in invoices
            ],
            right=["invoices", "total with tax", "paid", "open"],
        ),
        report.waiting_text(deals),
        report.unbilled_text(unbilled),
        report.tie_out_text(tie_out),
        f"Tie-out difference: {', '.join(report.money(row['tie_out_difference'], row['currency']) for row in tie_out)}.   {seconds:.0f} s in all.",
        "=" * report.WIDTH,
    ]
    return "\n\n".join(parts)
