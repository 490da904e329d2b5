"""How large a firm is, how long its history, and the dates that everything hangs on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

TODAY = date(2026, 10, 30)
"""A Friday: the day on which a newly populated firm stands."""

CUT = date(2026, 9, 20)
"""Until this Sunday the firm's people carried everything over by hand; since then nobody has."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The size of a firm.

    `consultants` log client time, `staff` are the leads, sales, finance and operations people beside them;
    `deal_hours` is the mean size of a deal, from which the number of deals follows.
    """

    name: str
    consultants: int
    leads: int
    staff: int
    months: int
    deal_hours: int
    accounts: int
    tasks_per_day: float
    price_rises: tuple[date, ...]

    @property
    def people(self) -> int:
        return self.consultants + self.leads + self.staff

    @property
    def start(self) -> date:
        """First day of recorded time: the first of a month."""
        at = TODAY.year * 12 + TODAY.month - 1 - self.months
        return date(at // 12, at % 12 + 1, 1)

    @property
    def first_deal(self) -> date:
        """Monday of the week in which the first deals were opened, so that work is under way on the first day."""
        day = self.start - timedelta(weeks=14)
        return day - timedelta(days=day.weekday())

    @property
    def deals_per_week(self) -> float:
        """Deals opened a week so that the won ones fill most of the consultants' hours."""
        return self.consultants * 36 * 0.86 / self.deal_hours / WIN_RATE


WIN_RATE = 0.45

SCALES = {
    scale.name: scale
    for scale in (
        Scale(name="tiny", consultants=5, leads=1, staff=2, months=3, deal_hours=110, accounts=12,
              tasks_per_day=1.3, price_rises=(date(2026, 9, 7),)),
        Scale(name="small", consultants=28, leads=5, staff=7, months=12, deal_hours=430, accounts=60,
              tasks_per_day=1.6, price_rises=(date(2026, 4, 1),)),
        Scale(name="medium", consultants=290, leads=45, staff=65, months=24, deal_hours=620, accounts=420,
              tasks_per_day=1.7, price_rises=(date(2025, 4, 1), date(2026, 4, 1))),
        Scale(name="large", consultants=3900, leads=480, staff=620, months=36, deal_hours=1300, accounts=3200,
              tasks_per_day=3.0, price_rises=(date(2024, 4, 1), date(2025, 4, 1), date(2026, 4, 1))),
    )
}  # fmt: skip


def scale_named(name: str) -> Scale:
    """The scale of that name; ValueError naming the known ones otherwise."""
    if name not in SCALES:
        raise ValueError(f"unknown scale {name!r}: use one of {', '.join(SCALES)}")
    return SCALES[name]
