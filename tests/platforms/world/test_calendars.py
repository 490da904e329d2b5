"""Calendars: holidays, absences, and counting in working days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platforms.world import calendars, draw

DAYS = st.dates(date(2020, 1, 1), date(2035, 12, 31))
COUNTRIES = st.sampled_from(["US", "GB", "DE"])


@pytest.mark.parametrize(
    ("country", "day"),
    [
        ("US", date(2026, 7, 3)),  # Independence Day falls on a Saturday
        ("US", date(2026, 11, 26)),
        ("GB", date(2026, 12, 28)),  # Boxing Day falls on a Saturday
        ("GB", date(2026, 4, 3)),
        ("DE", date(2026, 5, 14)),
        ("DE", date(2026, 10, 3)),
    ],
)
def test_known_holidays_are_kept(country: str, day: date) -> None:
    assert day in calendars.holidays(country, day.year)


@pytest.mark.parametrize(
    ("year", "day"), [(2024, date(2024, 3, 31)), (2025, date(2025, 4, 20)), (2026, date(2026, 4, 5))]
)
def test_easter_is_where_it_is(year: int, day: date) -> None:
    assert calendars.easter(year) == day


@given(COUNTRIES, DAYS, st.integers(-40, 40))
@settings(max_examples=150, deadline=None)
def test_counting_working_days_goes_there_and_back(country: str, day: date, count: int) -> None:
    start = calendars.add_working_days(country, day, 0)
    there = calendars.add_working_days(country, start, count)
    assert calendars.is_working_day(country, there)
    assert calendars.add_working_days(country, there, -count) == start


@given(COUNTRIES, DAYS, st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_between_two_days_lie_as_many_working_days_as_were_counted(country: str, day: date, count: int) -> None:
    end = calendars.add_working_days(country, day, count)
    between = calendars.days(day + timedelta(days=1), end)
    assert sum(calendars.is_working_day(country, d) for d in between) == count


@given(DAYS)
@settings(max_examples=100, deadline=None)
def test_months_follow_each_other_without_a_gap(day: date) -> None:
    assert calendars.month_start(day) <= day <= calendars.month_end(day)
    assert calendars.month_end(day) + timedelta(days=1) == calendars.next_month(day)
    assert calendars.add_months(calendars.next_month(day), -1) == calendars.month_start(day)


@given(st.integers(0, 10_000), st.text("abc", min_size=1, max_size=5), COUNTRIES, DAYS)
@settings(max_examples=150, deadline=None)
def test_nobody_is_on_leave_on_a_weekend_and_absences_do_not_change(
    seed: int, who: str, country: str, day: date
) -> None:
    why = calendars.absence(seed, who, country, day)
    assert why == calendars.absence(seed, who, country, day)
    assert (why == "weekend") == (day.weekday() >= 5)
    if why == "":
        assert calendars.is_working_day(country, day)


@given(st.integers(), st.integers(0, 50), st.integers(0, 50), st.text(max_size=8))
def test_draws_are_functions_of_their_keys_and_stay_in_bounds(seed: int, low: int, more: int, key: str) -> None:
    assert low <= draw.whole(seed, low, low + more, key) <= low + more
    assert draw.unit(seed, key) == draw.unit(seed, key)
    assert 0 <= draw.unit(seed, key) < 1
