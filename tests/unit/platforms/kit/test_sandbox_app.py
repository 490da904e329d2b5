"""A sandbox's HTTP, seen from outside: routing, limits, ids, time, and what befalls a reply."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from platforms.kit.registry import Limits
from platforms.kit.sandbox.server import RunningSandbox


@pytest.fixture
def client(toy: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=toy.url, trust_env=False) as opened:
        yield opened


def test_paths_match_in_any_case_and_with_a_trailing_slash_and_values_keep_theirs(client: httpx.Client) -> None:
    for path in ("/echo/MiXed", "/ECHO/MiXed/", "/Echo/MiXed"):
        assert client.get(path).json() == {"word": "MiXed"}


def test_unknown_paths_and_methods_are_told_apart(client: httpx.Client) -> None:
    assert client.get("/nothing").status_code == 404
    assert client.delete("/notes").status_code == 405


def test_a_refusal_by_the_rules_becomes_an_answer(client: httpx.Client) -> None:
    refused = client.post("/notes", json={})
    assert (refused.status_code, "MISSING" in refused.text) == (422, True)
    assert client.post("/notes", content=b"{broken").status_code == 400


def test_every_answer_has_its_own_id_and_the_sandboxes_time(client: httpx.Client) -> None:
    first, second = client.get("/echo/a"), client.get("/echo/a")
    assert first.headers["x-toy-request"] != second.headers["x-toy-request"]
    assert first.headers["date"] == "Mon, 05 Jan 2026 08:00:00 GMT"
    assert len(first.headers.get_list("date")) == 1


def test_requests_are_counted_by_template_and_status(toy: RunningSandbox, client: httpx.Client) -> None:
    for word in ("a", "b"):
        client.get(f"/echo/{word}")
    client.get("/nothing")
    counted = client.get("/_sandbox/calls").json()
    assert counted["by_route"] == {"GET (no such route)": 1, "GET /echo/{word}": 2}
    assert counted["by_status"] == {"200": 2, "404": 1}
    client.delete("/_sandbox/calls")
    assert client.get("/_sandbox/calls").json()["total"] == 0


def test_health_names_the_sandbox(client: httpx.Client) -> None:
    assert client.get("/_sandbox/health").json()["name"] == "toy"
    assert client.get("/_sandbox/nothing").status_code == 404


def test_more_than_the_rate_is_turned_away(toy: RunningSandbox, client: httpx.Client) -> None:
    client.post("/_sandbox/limits", json={"requests_per_second": 1, "burst": 3})
    assert [client.get("/echo/a").status_code for _ in range(5)] == [200, 200, 200, 429, 429]


@contextlib.contextmanager
def kept_connections(toy: RunningSandbox, number: int) -> Iterator[list[http.client.HTTPConnection]]:
    """Connections that have been used already, so that requests on them arrive together."""
    kept = [http.client.HTTPConnection(toy.url.removeprefix("http://"), timeout=10) for _ in range(number)]
    for connection in kept:
        connection.request("GET", "/echo/hello")
        connection.getresponse().read()
    yield kept
    for connection in kept:
        connection.close()


def test_more_than_the_concurrency_is_turned_away(toy: RunningSandbox) -> None:
    with kept_connections(toy, 6) as kept:
        toy.app.limits, toy.app.latency = Limits(concurrency=2), 0.3
        for connection in kept:
            connection.request("GET", "/echo/x")
        answers = [connection.getresponse() for connection in kept]
        statuses = [answer.status for answer in answers]
        assert [answer.read() != b"" for answer in answers] == [True] * 6
        assert (statuses.count(200), statuses.count(429)) == (2, 4)
        kept[0].request("GET", "/echo/x")
        assert kept[0].getresponse().status == 200  # the places are given back


def test_requests_that_wait_behind_a_long_one_are_under_way_too(toy: RunningSandbox) -> None:
    with kept_connections(toy, 7) as kept:
        toy.app.limits = Limits(concurrency=2)
        kept[0].request("GET", "/block")
        notes: Any = toy.service
        assert notes.entered.wait(10)
        for connection in kept[1:]:
            connection.request("GET", "/echo/waiting")
        notes.release.set()
        statuses = [connection.getresponse().status for connection in kept]
    assert statuses[0] == 200
    assert (statuses[1:].count(200), statuses[1:].count(429)) == (2, 4)


@pytest.mark.parametrize("tls", [False, True])
def test_a_lost_reply_is_done_and_then_silence(toy: RunningSandbox, tls: bool) -> None:
    base, verify = (toy.tls_url, toy.ssl_context()) if tls else (toy.url, True)
    with httpx.Client(base_url=base, verify=verify, trust_env=False) as client:
        toy.faults.once("lose_reply")
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            client.post("/notes", json={"text": "done all the same"})
        assert client.get("/notes/1").json()["text"] == "done all the same"


def test_a_duplicate_delivery_is_done_twice_and_answered_once(toy: RunningSandbox, client: httpx.Client) -> None:
    toy.faults.once("duplicate")
    assert client.post("/notes", json={"text": "x"}).json() == {"id": "2"}
    assert toy.service.count() == 2  # type: ignore[attr-defined]  # the toy's own


def test_an_expired_token_is_told_once(toy: RunningSandbox, client: httpx.Client) -> None:
    toy.faults.once("expire_token")
    statuses = [client.post("/notes", json={"text": "x"}).status_code for _ in range(2)]
    assert statuses == [401, 201]


def test_a_throttled_request_is_not_done(toy: RunningSandbox, client: httpx.Client) -> None:
    toy.faults.once("throttle")
    assert client.post("/notes", json={"text": "x"}).status_code == 429
    assert toy.service.count() == 0  # type: ignore[attr-defined]  # the toy's own


def test_a_kept_connection_is_answered_without_the_40_ms_of_delayed_packets(client: httpx.Client) -> None:
    client.get("/echo/a")
    started = time.perf_counter()
    for _ in range(50):
        client.get("/echo/a")
    assert (time.perf_counter() - started) / 50 < 0.02
