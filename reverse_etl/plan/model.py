"""A plan as a value: what each sync would do, in numbers and samples, printable as table, JSON and HTML."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from reverse_etl.plan.brakes import BrakePulled
from reverse_etl.values import dump, load

ACTIONS = ("create", "update", "adopt", "held", "refused", "in_doubt")
"""What can become of a desired record that is not unchanged."""


class ConservationBroken(Exception):
    """desired = unchanged + create + update + adopt + held + refused + in_doubt does not hold: an engine fault."""


@dataclass(frozen=True, kw_only=True)
class SyncPlan:
    """What one sync would do now.

    Every desired record is in exactly one of `unchanged` and the `actions`; `retired` ones are known but no longer
    desired, and are left alone. `amounts` are per action and currency. `error` replaces everything else.
    """

    sync: str
    platform: str
    object: str
    desired: int = 0
    unchanged: int = 0
    actions: Mapping[str, int] = field(default_factory=dict)
    retired: int = 0
    known: int = 0
    amounts: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    digest: str = ""
    brake: BrakePulled | None = None
    sample: tuple[Mapping[str, Any], ...] = ()
    revision: int = 0
    error: str = ""

    def check(self) -> None:
        """Raise ConservationBroken unless every desired record is accounted for once."""
        total = self.unchanged + sum(self.actions.values())
        if self.unchanged < 0 or total != self.desired or set(self.actions) - set(ACTIONS):
            raise ConservationBroken(
                f"{self.sync}: {self.desired} desired, but {self.unchanged} unchanged + {dict(self.actions)} = {total}"
            )

    @property
    def writes(self) -> int:
        """Records that would be written: none while a brake holds."""
        return 0 if self.brake else sum(self.actions.get(a, 0) for a in ("create", "update", "adopt"))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be done now, over all chosen syncs, in the order of doing."""

    created_at: datetime
    syncs: tuple[SyncPlan, ...]

    @property
    def digest(self) -> str:
        """The same for the same changes, whatever the order of rows; changes when any of them does."""
        return hashlib.sha256("\n".join(f"{s.sync} {s.digest} {s.error}" for s in self.syncs).encode()).hexdigest()

    @property
    def writes(self) -> int:
        return sum(s.writes for s in self.syncs)

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(s.error for s in self.syncs if s.error)

    def to_dict(self) -> dict[str, Any]:
        return {
            "created_at": self.created_at,
            "digest": self.digest,
            "syncs": [
                {
                    "sync": s.sync,
                    "platform": s.platform,
                    "object": s.object,
                    "desired": s.desired,
                    "unchanged": s.unchanged,
                    **{action: s.actions.get(action, 0) for action in ACTIONS},
                    "retired": s.retired,
                    "known": s.known,
                    "amounts": {a: {c: str(v) for c, v in by.items()} for a, by in s.amounts.items()},
                    "brake": str(s.brake) if s.brake else None,
                    "digest": s.digest,
                    "error": s.error or None,
                    "sample": list(s.sample),
                }
                for s in self.syncs
            ],
        }

    def to_json(self) -> str:
        return dump(self.to_dict())

    def to_text(self, *, samples: int = 5) -> str:
        """A table for a terminal, then the first changes of each sync, field by field."""
        head = ("sync", "desired", "same", *ACTIONS, "retired", "amount")
        rows = [head, *(_row(s) for s in self.syncs)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [
            "  ".join(
                cell.ljust(w) if i in (0, len(head) - 1) else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        for s in self.syncs:
            if s.error:
                lines.append(f"! {s.error}")
            if s.brake:
                lines.append(f"! {s.sync} is held: {s.brake}")
        for s in self.syncs:
            for change in s.sample[:samples]:
                lines.append(f"  {_sign(change)} {s.sync} {change['key']}{_why(change)}")
                lines.extend(f"      {name}: {old} -> {new}" for name, old, new in field_changes(change))
        lines.append(f"plan {self.digest[:12]}: {self.writes} writes")
        return "\n".join(lines)

    def to_html(self, *, samples: int = 20) -> str:
        """One self-contained page."""
        e = html.escape
        head = ("sync", "desired", "same", *ACTIONS, "retired", "amount")
        table = "".join("<tr>" + "".join(f"<td>{e(cell)}</td>" for cell in _row(s)) + "</tr>" for s in self.syncs)
        notes = "".join(
            f"<p class=stop>{e(s.error or f'{s.sync} is held: {s.brake}')}</p>"
            for s in self.syncs
            if s.error or s.brake
        )
        changes = "".join(
            f"<h2>{e(s.sync)}</h2><ul>"
            + "".join(
                f"<li><b>{e(c['action'])}</b> {e(c['key'])}{e(_why(c))}<ul>"
                + "".join(
                    f"<li>{e(n)}: <del>{e(str(o))}</del> <ins>{e(str(w))}</ins></li>" for n, o, w in field_changes(c)
                )
                + "</ul></li>"
                for c in s.sample[:samples]
            )
            + "</ul>"
            for s in self.syncs
            if s.sample
        )
        return (
            "<!doctype html><meta charset=utf-8><title>Plan</title>"
            "<style>body{font:14px sans-serif}td,th{padding:2px 8px;text-align:right}td:first-child{text-align:left}"
            ".stop{color:#a00}</style>"
            f"<h1>Plan {self.digest[:12]}</h1><p>{e(self.created_at.isoformat())}, {self.writes} writes</p>"
            f"<table><tr>{''.join(f'<th>{h}</th>' for h in head)}</tr>{table}</table>{notes}{changes}"
        )

    def __str__(self) -> str:
        return self.to_text()


def field_changes(change: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(field, before, wanted) of one change; before is '' for new records."""
    before = load(change["before_json"]) if change.get("before_json") else {}
    for name, wanted in load(change["fields_json"]).items():
        yield name, before.get(name, ""), wanted


def _row(s: SyncPlan) -> tuple[str, ...]:
    totals: dict[str, Decimal] = {}
    for action in ("create", "update", "adopt"):
        for currency, value in s.amounts.get(action, {}).items():
            totals[currency] = totals.get(currency, Decimal(0)) + value
    money = ", ".join(f"{value:,.2f} {currency}".strip() for currency, value in sorted(totals.items()))
    counts = [s.desired, s.unchanged, *(s.actions.get(a, 0) for a in ACTIONS), s.retired]
    return (s.sync, *map(str, counts), money)


def _sign(change: Mapping[str, Any]) -> str:
    return {"create": "+", "update": "~", "adopt": "&", "held": "=", "refused": "x", "in_doubt": "?"}[change["action"]]


def _why(change: Mapping[str, Any]) -> str:
    reason = change.get("why_held") or change.get("open_reason")
    return f" ({reason})" if reason else ""
