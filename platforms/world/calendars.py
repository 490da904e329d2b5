"""Working days: public holidays by country, the days a person is away, and counting in working days.

Nothing is stored; a calendar is computed from the country and the year, a person's absences from the seed.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

from platforms.world import draw

DAY_MINUTES = 480
"""A full working day: eight hours, in minutes."""

ONE = timedelta(days=1)


def easter(year: int) -> date:
    """Easter Sunday of a Gregorian year (the anonymous algorithm of Meeus, Jones and Butcher)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (a + 11 * h) // 319
    r = (2 * e + 2 * i - k - h + m + 32) % 7
    month = (h - m + r + 90) // 25
    return date(year, month, (h - m + r + month + 19) % 32)


def _nth(year: int, month: int, weekday: int, nth: int) -> date:
    """The nth weekday of a month; -1 is the last one."""
    if nth > 0:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))
    last = date(year + month // 12, month % 12 + 1, 1) - ONE
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def _observed(day: date) -> date:
    """United States practice: a holiday on Saturday is kept on Friday, on Sunday on Monday."""
    return day - ONE if day.weekday() == 5 else day + ONE if day.weekday() == 6 else day


@lru_cache(maxsize=256)
def holidays(country: str, year: int) -> frozenset[date]:
    """Public holidays that fall in `year` for US, GB or DE; other countries keep the German ones."""
    sunday = easter(year)
    if country == "US":
        thanks = _nth(year, 11, 3, 4)
        days = {_observed(date(year, month, day)) for month, day in ((1, 1), (7, 4), (12, 25))}
        days |= {_nth(year, 1, 0, 3), _nth(year, 5, 0, -1), _nth(year, 9, 0, 1), thanks, thanks + ONE}
        return frozenset(days)
    if country == "GB":
        days = {sunday - 2 * ONE, sunday + ONE, _nth(year, 5, 0, 1), _nth(year, 5, 0, -1), _nth(year, 8, 0, -1)}
        for fixed in (date(year, 1, 1), date(year, 12, 25), date(year, 12, 26)):
            while fixed.weekday() >= 5 or fixed in days:
                fixed += ONE
            days.add(fixed)
        return frozenset(days)
    return frozenset(
        {date(year, 1, 1), date(year, 5, 1), date(year, 10, 3), date(year, 12, 25), date(year, 12, 26)}
        | {sunday + n * ONE for n in (-2, 1, 39, 50)}
    )


@lru_cache(maxsize=65536)
def is_working_day(country: str, day: date) -> bool:
    """True when offices in the country are open: a weekday that is no public holiday."""
    return day.weekday() < 5 and day not in holidays(country, day.year)


def add_working_days(country: str, day: date, days: int) -> date:
    """The day `days` working days after `day` (before, when negative); zero gives the next working day from `day`."""
    step = ONE if days >= 0 else -ONE
    while days == 0 and not is_working_day(country, day):
        day += ONE
    for _ in range(abs(days)):
        day += step
        while not is_working_day(country, day):
            day += step
    return day


def nth_working_day(country: str, year: int, month: int, nth: int) -> date:
    """The nth working day of a month, counted from one."""
    return add_working_days(country, add_working_days(country, date(year, month, 1), 0), nth - 1)


def month_start(day: date) -> date:
    """First day of the month of `day`."""
    return day.replace(day=1)


def next_month(day: date) -> date:
    """First day of the month after the one of `day`."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def month_end(day: date) -> date:
    """Last day of the month of `day`."""
    return next_month(day) - ONE


def add_months(day: date, months: int) -> date:
    """First day of the month `months` after that of `day`."""
    at = day.year * 12 + day.month - 1 + months
    return date(at // 12, at % 12 + 1, 1)


def monday(day: date) -> date:
    """Monday of the week of `day`."""
    return day - timedelta(days=day.weekday())


def days(first: date, last: date) -> list[date]:
    """Every calendar day from `first` to `last`, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@lru_cache(maxsize=32768)
def leave(seed: int, person: str, year: int) -> frozenset[date]:
    """The weekdays of `year` that a person takes off: two weeks in summer, one more week, some a week at year's end."""
    summer = monday(date(year, 6, 15)) + timedelta(weeks=draw.whole(seed, 0, 11, "summer", person, year))
    week = monday(date(year, 2, 10)) + timedelta(
        weeks=draw.pick(seed, (0, 2, 4, 7, 9, 11, 32, 34, 36, 38), "week", person, year)
    )
    off = {summer + timedelta(days=n) for n in range(12)} | {week + timedelta(days=n) for n in range(5)}
    if draw.chance(seed, 0.5, "christmas", person, year):
        off |= {date(year, 12, day) for day in range(23, 32)}
    return frozenset(day for day in off if day.weekday() < 5)


def absence(seed: int, person: str, country: str, day: date) -> str:
    """Why a person does not work on a day: 'weekend', 'holiday', 'leave', 'sick', or '' when at work."""
    if day.weekday() >= 5:
        return "weekend"
    if not is_working_day(country, day):
        return "holiday"
    if day in leave(seed, person, day.year):
        return "leave"
    return "sick" if draw.chance(seed, 0.014, "sick", person, day) else ""
