"""How much one plan may change before a person is asked.

A brake looks only at what has not been let through before: entries that wait to be sent, and approved ones, passed it
already. When one is pulled the whole sync is held; `approve` lets exactly these changes through.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from reverse_etl.plan.diff import Tally
from reverse_etl.sync import Brakes


@dataclass(frozen=True, kw_only=True)
class BrakePulled:
    """One brake that holds a sync, with its numbers."""

    sync: str
    brake: str
    message: str

    def __str__(self) -> str:
        return f"{self.message}. Look at `tieout plan`, then `tieout approve {self.sync}` or change the model"


def pulled(sync: str, brakes: Brakes, tally: Tally) -> BrakePulled | None:
    """The first brake this plan pulls, or None. Edges: exactly the limit passes; no ratio on fewer than `min_known`."""
    creates = tally.fresh.get("create", 0)
    updates = tally.fresh.get("update", 0) + tally.fresh.get("adopt", 0)
    changes = creates + updates

    def brake(name: str, message: str) -> BrakePulled:
        return BrakePulled(sync=sync, brake=name, message=message)

    if brakes.max_changes is not None and changes > brakes.max_changes:
        return brake("max_changes", f"{changes} changes are more than max_changes {brakes.max_changes}")
    if brakes.max_creates is not None and creates > brakes.max_creates:
        return brake("max_creates", f"{creates} creates are more than max_creates {brakes.max_creates}")
    if brakes.max_change_ratio is not None and tally.known >= max(1, brakes.min_known):
        ratio = Decimal(updates) / Decimal(tally.known)
        if ratio > brakes.max_change_ratio:
            return brake(
                "max_change_ratio",
                f"{updates} updates of {tally.known} known records are {ratio:.0%}, "
                f"more than max_change_ratio {brakes.max_change_ratio:.0%}",
            )
    if brakes.max_amount is not None:
        for currency, total in sorted(tally.fresh_amounts.items()):
            if total > brakes.max_amount:
                return brake(
                    "max_amount", f"{total} {currency} in one plan is more than max_amount {brakes.max_amount}"
                )
    return None
