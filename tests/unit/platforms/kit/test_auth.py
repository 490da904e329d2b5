"""Tokens: fetched once for all threads, again when rejected or about to end, and never seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from platforms.kit.auth import Token, TokenAuth
from platforms.kit.errors import AskPerson, NotSent
from platforms.kit.http import ApiClient

Connect = Callable[..., ApiClient]


class Vendor:
    """Accepts only the token fetched last."""

    def __init__(self) -> None:
        self.fetched = 0
        self.valid = "token-0"
        self.lock = threading.Lock()

    def fetch(self, client: httpx.Client) -> Token:
        with self.lock:
            self.fetched += 1
            self.valid = f"token-{self.fetched}"
            return Token(access_token=self.valid)

    def answer(self, request: httpx.Request) -> httpx.Response:
        good = request.headers["Authorization"] == f"Bearer {self.valid}"
        return httpx.Response(200 if good else 401, json={"got": request.content.decode()})


def test_a_token_is_fetched_once_and_used_by_all(connect: Connect) -> None:
    vendor = Vendor()
    client = connect(vendor.answer, auth=TokenAuth(vendor.fetch))
    threads = [
        threading.Thread(target=client.request, args=("GET", "x"), kwargs={"idempotent": True}) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert vendor.fetched == 1
    assert client.calls.snapshot()["auth"] == 1


def test_a_rejected_token_is_fetched_again_once_and_the_request_repeated_whole(connect: Connect) -> None:
    vendor = Vendor()
    client = connect(vendor.answer, auth=TokenAuth(vendor.fetch))
    client.request("GET", "x", idempotent=True)
    vendor.valid = "revoked"
    response = client.request("POST", "x", json={"a": 1}, idempotent=False)
    assert client.json(response) == {"got": '{"a":1}'}
    assert vendor.fetched == 2


def test_a_token_rejected_twice_asks_a_person(connect: Connect) -> None:
    vendor = Vendor()
    client = connect(lambda request: httpx.Response(401, json={}), auth=TokenAuth(vendor.fetch))
    with pytest.raises(AskPerson):
        client.request("GET", "x", idempotent=True)
    assert vendor.fetched == 2


def test_a_token_about_to_end_is_fetched_before_it_does(connect: Connect) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    ends = now[0] + timedelta(minutes=60)
    auth = TokenAuth(lambda client: Token(access_token="a-token", expires_at=ends), clock=lambda: now[0])
    client = connect(lambda request: httpx.Response(200, json={}), auth=auth)
    client.request("GET", "x", idempotent=True)
    client.request("GET", "x", idempotent=True)
    assert client.calls.snapshot()["auth"] == 1
    now[0] = ends - timedelta(seconds=30)
    client.request("GET", "x", idempotent=True)
    assert client.calls.snapshot()["auth"] == 2


def test_a_network_error_while_fetching_means_the_request_never_left(connect: Connect, naps: list[float]) -> None:
    heard = []

    def fetch(client: httpx.Client) -> Token:
        raise httpx.ReadTimeout("the token endpoint is silent")

    client = connect(lambda request: heard.append(request) or httpx.Response(200), auth=TokenAuth(fetch))  # type: ignore[func-returns-value]  # appends and answers
    with pytest.raises(NotSent):
        client.request("POST", "x", json={}, idempotent=False)
    assert heard == []


def test_a_token_is_not_shown() -> None:
    assert "abcdef" not in repr(Token(access_token="abcdefgh"))
