"""Reading ahead, exact numbers, and secrets that cannot be printed."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platforms.kit import jsonio
from platforms.kit.paging import pages, prefetch
from platforms.kit.secrets import MaskingFilter, Secret, mask


def test_pages_follow_until_there_is_no_next() -> None:
    assert list(pages(1, lambda page: page + 1 if page < 4 else None)) == [1, 2, 3, 4]


@given(st.lists(st.integers()), st.integers(1, 4))
def test_reading_ahead_changes_neither_order_nor_content(items: list[int], depth: int) -> None:
    assert list(prefetch(items, depth)) == items


def test_the_next_page_is_fetched_while_this_one_is_worked_on() -> None:
    second_asked = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        second_asked.set()
        yield 2

    reading = prefetch(source())
    assert next(reading) == 1
    assert second_asked.wait(5)
    assert list(reading) == [2]


def test_no_more_is_read_ahead_than_asked_for() -> None:
    asked: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            asked.append(number)
            yield number

    reading = prefetch(source(), depth=2)
    assert next(reading) == 0
    time.sleep(0.02)
    assert len(asked) <= 4
    reading.close()  # type: ignore[attr-defined]  # a generator


def test_an_error_of_the_source_comes_where_its_item_would_have_come() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise LookupError("page 2 is gone")

    reading = prefetch(source())
    assert next(reading) == 1
    with pytest.raises(LookupError, match="page 2"):
        next(reading)


def test_stopping_early_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    for item in prefetch(source()):
        if item == 3:
            break
    assert closed.wait(5)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_survives_json_digit_for_digit(value: Decimal) -> None:
    text = jsonio.dumps({"v": value})
    again = jsonio.loads(text)["v"]
    assert Decimal(again) == value
    assert isinstance(again, Decimal | int)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{", "", b"\xff"])
def test_what_is_not_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any ValueError, its text is the library's
        jsonio.loads(text)


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("hunter-2-hunter-2")
    assert f"{secret} {secret!r} {secret:>5} {[secret]}".count("hunter") == 0
    assert secret.reveal() == "hunter-2-hunter-2"
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_every_form_of_a_secret_is_masked() -> None:
    Secret("-----BEGIN KEY-----\nMIIabcdefgh123\nMIIijklmnop456\n-----END KEY-----")
    Secret("a b/c+secret")
    assert mask("MIIijklmnop456 a b/c+secret a%20b%2Fc%2Bsecret a+b%2Fc%2Bsecret") == "*** *** *** ***"


def test_the_logging_filter_masks_arguments_and_tracebacks() -> None:
    Secret("planted-in-a-log")
    record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", ("planted-in-a-log",), None)
    assert MaskingFilter().filter(record)
    assert record.getMessage() == "got ***"
