"""What is sent again, what never is, and what every failure is called."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from platforms.kit.auth import BearerAuth
from platforms.kit.errors import (
    AskPerson,
    BadAnswer,
    Conflict,
    Gone,
    NotSent,
    PlatformError,
    Refused,
    Retry,
    Uncertain,
    Wait,
)
from platforms.kit.http import ApiClient
from platforms.kit.sandbox.server import RunningSandbox
from platforms.kit.secrets import Secret

Connect = Callable[..., ApiClient]


def answers(*responses: httpx.Response | Exception) -> Callable[[httpx.Request], httpx.Response]:
    """A vendor that gives these answers in turn and keeps giving the last one; `.heard` holds the requests."""
    left = list(responses)

    def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        response = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(response, Exception):
            raise response
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)

    heard: list[httpx.Request] = []
    answer.heard = heard  # type: ignore[attr-defined]  # handed along for the test to look at
    return answer


def ok(body: Any = None) -> httpx.Response:
    return httpx.Response(200, json=body if body is not None else {"ok": True})


# -- over real HTTP --------------------------------------------------------------------------------------------------


def test_a_lost_reply_on_a_create_is_uncertain_and_is_not_sent_again(toy: RunningSandbox, connect: Connect) -> None:
    toy.faults.once("lose_reply")
    with pytest.raises(Uncertain):
        connect(toy.url).request("POST", "notes", json={"text": "one"}, idempotent=False)
    assert toy.service.count() == 1  # type: ignore[attr-defined]  # the toy's own
    assert toy.app.calls()["by_route"] == {"POST /Notes": 1}


def test_a_lost_reply_on_a_create_over_tls_is_uncertain_too(toy: RunningSandbox, connect: Connect) -> None:
    toy.faults.once("lose_reply")
    with pytest.raises(Uncertain):
        connect(toy.tls_url, verify=str(toy.ca_path)).request("POST", "notes", json={"text": "x"}, idempotent=False)
    assert toy.app.calls()["by_route"] == {"POST /Notes": 1}


def test_a_lost_reply_on_a_kept_connection_is_uncertain_too(toy: RunningSandbox, connect: Connect) -> None:
    client = connect(toy.url)
    client.request("POST", "notes", json={"text": "one"}, idempotent=False)
    toy.faults.once("lose_reply")
    with pytest.raises(Uncertain):
        client.request("POST", "notes", json={"text": "two"}, idempotent=False)
    assert toy.service.count() == 2  # type: ignore[attr-defined]  # the toy's own


def test_a_lost_reply_on_a_read_is_asked_again(toy: RunningSandbox, connect: Connect, naps: list[float]) -> None:
    client = connect(toy.url)
    client.request("POST", "notes", json={"text": "one"}, idempotent=False)
    toy.faults.once("lose_reply", times=2)
    assert client.json(client.request("GET", "notes/1", idempotent=True))["text"] == "one"
    assert len(naps) == 2
    assert client.calls.snapshot()["by_outcome"]["GET RemoteProtocolError"] == 2


def test_a_create_turned_away_before_acting_is_sent_again(toy: RunningSandbox, connect: Connect) -> None:
    toy.faults.once("throttle", times=2)
    connect(toy.url).request("POST", "notes", json={"text": "one"}, idempotent=False)
    assert toy.service.count() == 1  # type: ignore[attr-defined]  # the toy's own
    assert toy.app.calls()["by_status"] == {"201": 1, "429": 2}


def test_a_create_answered_503_is_uncertain(toy: RunningSandbox, connect: Connect) -> None:
    toy.faults.once("unavailable")
    with pytest.raises(Uncertain):
        connect(toy.url).request("POST", "notes", json={"text": "one"}, idempotent=False)


def test_nobody_listening_is_not_sent_after_a_few_tries(connect: Connect, naps: list[float]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for idempotent in (True, False):
        naps.clear()
        with pytest.raises(NotSent) as caught:
            connect(f"http://127.0.0.1:{port}").request("POST", "notes", json={}, idempotent=idempotent)
        assert len(naps) == 5
        assert "base_url" in caught.value.next_step


def test_an_unknown_host_is_not_sent(connect: Connect) -> None:
    with pytest.raises(NotSent):
        connect("https://no-such-host.invalid").request("POST", "notes", json={}, idempotent=False)


def test_a_certificate_nobody_vouches_for_is_not_sent_and_names_the_setting(
    toy: RunningSandbox, connect: Connect, naps: list[float]
) -> None:
    with pytest.raises(NotSent) as caught:
        connect(toy.tls_url).request("GET", "notes/1", idempotent=True)
    assert "ca_bundle" in caught.value.next_step
    assert naps == []  # it will not be trusted a second later either


@pytest.fixture
def mute_server() -> Iterator[str]:
    """Accepts, reads the request and never answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                kept.append(listener.accept()[0])
            except OSError:  # closed by the test's end
                return

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    for sock in kept:
        sock.close()


def test_an_answer_that_never_comes_is_uncertain_for_a_create_and_retry_for_a_read(
    mute_server: str, connect: Connect
) -> None:
    client = connect(mute_server, max_attempts=2, timeout=0.05)
    with pytest.raises(Uncertain):
        client.request("POST", "notes", json={}, idempotent=False)
    with pytest.raises(Retry):
        client.request("GET", "notes/1", idempotent=True)


# -- answers --------------------------------------------------------------------------------------------------------


def test_retry_after_in_seconds_is_honoured(connect: Connect, naps: list[float]) -> None:
    vendor = answers(httpx.Response(429, headers={"Retry-After": "17"}), ok())
    connect(vendor).request("POST", "x", json={}, idempotent=False)
    assert len(naps) == 1
    assert 17 <= naps[0] <= 18


def test_retry_after_as_a_date_counts_from_the_servers_own_clock(connect: Connect, naps: list[float]) -> None:
    headers = {"Date": "Mon, 05 Jan 2026 08:00:00 GMT", "Retry-After": "Mon, 05 Jan 2026 08:00:30 GMT"}
    connect(answers(httpx.Response(503, headers=headers), ok())).request("GET", "x", idempotent=True)
    assert 30 <= naps[0] <= 31


def test_a_pause_longer_than_two_minutes_is_left_to_the_caller(connect: Connect, naps: list[float]) -> None:
    with pytest.raises(Wait) as caught:
        connect(answers(httpx.Response(429, headers={"Retry-After": "3600"}))).request("GET", "x", idempotent=True)
    assert caught.value.retry_after == 3600
    assert naps == []


def test_being_slowed_down_is_survived_longer_than_failing(connect: Connect, naps: list[float]) -> None:
    busy = [httpx.Response(429)] * 12
    connect(answers(*busy, ok())).request("POST", "x", json={}, idempotent=False)
    assert len(naps) == 12
    with pytest.raises(Retry):
        connect(answers(httpx.Response(500))).request("GET", "x", idempotent=True)


def test_pauses_grow_and_are_spread_by_chance(connect: Connect, naps: list[float]) -> None:
    with pytest.raises(Retry):
        connect(answers(httpx.Response(500))).request("GET", "x", idempotent=True)
    assert len(naps) == 5
    assert all(0 <= nap <= 0.5 * 2**n for n, nap in enumerate(naps, start=1))
    assert len(set(naps)) == 5


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (401, AskPerson),
        (403, AskPerson),
        (404, Gone),
        (409, Conflict),
        (422, Refused),
        (302, BadAnswer),
    ],
)
def test_a_refusal_is_classified_by_what_to_do_next_and_not_repeated(
    status: int, kind: type[PlatformError], connect: Connect, naps: list[float]
) -> None:
    response = httpx.Response(status, json={"why": "no"}, headers={"X-Request-Id": "r-1"})
    with pytest.raises(kind) as caught:
        connect(answers(response)).request("GET", "x", idempotent=True)
    assert (caught.value.status, caught.value.request_id, caught.value.connection) == (status, "r-1", "toy")
    assert naps == []


def test_the_vendors_reading_goes_before_the_status(connect: Connect, naps: list[float]) -> None:
    def classify(response: httpx.Response) -> PlatformError | None:
        return Retry("locked", code="LOCKED") if response.status_code == 400 else None

    client = connect(answers(httpx.Response(400, json={}), ok()), classify=classify)
    client.request("POST", "x", json={}, idempotent=False)  # a 4xx says that nothing was done
    assert len(naps) == 1


def test_a_clear_refusal_in_a_500_stays_a_refusal(connect: Connect) -> None:
    client = connect(answers(httpx.Response(500, json={})), classify=lambda response: Refused("period closed"))
    with pytest.raises(Refused):
        client.request("POST", "x", json={}, idempotent=False)


def test_html_is_no_answer(connect: Connect) -> None:
    page = httpx.Response(200, html="<html>Please   log in</html>")
    with pytest.raises(BadAnswer, match=r"toy\.example answered 200 with text/html.*<html>Please log in</html>"):
        connect(answers(page)).request("GET", "x", idempotent=True)


def test_html_after_a_create_is_uncertain(connect: Connect) -> None:
    with pytest.raises(Uncertain):
        connect(answers(httpx.Response(200, html="<html></html>"))).request("POST", "x", json={}, idempotent=False)


def test_a_maintenance_page_is_tried_again(connect: Connect, naps: list[float]) -> None:
    connect(answers(httpx.Response(503, html="<html>back soon</html>"), ok())).request("GET", "x", idempotent=True)
    assert len(naps) == 1


def test_json_that_is_none_is_bad_for_a_read_and_uncertain_for_a_create(connect: Connect) -> None:
    broken = httpx.Response(200, content=b'{"id": 1', headers={"Content-Type": "application/json"})
    client = connect(answers(broken))
    response = client.request("GET", "x", idempotent=True)
    with pytest.raises(BadAnswer):
        client.json(response)
    with pytest.raises(Uncertain):
        connect(answers(broken)).request("POST", "x", json={}, idempotent=False)


def test_numbers_come_and_go_exactly(connect: Connect) -> None:
    vendor = answers(httpx.Response(200, content=b'{"a": 0.10, "b": 3}', headers={"Content-Type": "application/json"}))
    client = connect(vendor)
    response = client.request("POST", "x", json={"amount": Decimal("1234567890123456.70")}, idempotent=True)
    assert vendor.heard[0].content == b'{"amount":1234567890123456.70}'  # type: ignore[attr-defined]  # see answers
    assert client.json(response) == {"a": Decimal("0.10"), "b": 3}
    assert str(client.json(response)["a"]) == "0.10"


def test_an_empty_answer_has_no_json(connect: Connect) -> None:
    client = connect(answers(httpx.Response(204)))
    assert client.json(client.request("PATCH", "x", json={}, idempotent=True)) is None


# -- addresses and secrets -------------------------------------------------------------------------------------------


def test_a_link_to_another_host_is_not_followed_with_credentials(connect: Connect) -> None:
    client = connect(answers(ok()))
    with pytest.raises(BadAnswer, match=r"evil\.example"):
        client.request("GET", "https://evil.example/next", idempotent=True)
    client.trust("https://files.example")
    client.request("GET", "https://files.example/next?page=2", idempotent=True)


def test_the_query_of_a_next_page_link_is_kept(connect: Connect) -> None:
    vendor = answers(ok())
    connect(vendor).request("GET", "https://toy.example/x?page=2", params={}, idempotent=True)
    assert vendor.heard[0].url.query == b"page=2"  # type: ignore[attr-defined]  # see answers


@pytest.mark.parametrize("url", ["http://toy.example", "https://me:secret@toy.example", "toy.example", "ftp://x"])
def test_an_address_that_would_expose_credentials_is_refused_naming_the_setting(url: str, connect: Connect) -> None:
    with pytest.raises(AskPerson) as caught:
        connect(url)
    assert "CONNECTIONS__TOY__BASE_URL" in caught.value.next_step
    assert "secret" not in str(caught.value)


def test_a_missing_ca_file_names_the_setting(connect: Connect) -> None:
    with pytest.raises(AskPerson) as caught:
        connect("https://toy.example", verify="/no/such/file.pem")
    assert "CONNECTIONS__TOY__CA_BUNDLE" in caught.value.next_step


def test_no_secret_and_no_query_reaches_an_error_or_a_log(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    token = Secret("very/secret+token-4711")
    echo = httpx.Response(400, text="bad token very/secret+token-4711 or very%2Fsecret%2Btoken-4711")
    with caplog.at_level(logging.DEBUG), pytest.raises(Refused) as caught:
        connect(answers(echo), auth=BearerAuth(token)).request("GET", "x", params={"q": "Alice"}, idempotent=True)
    everything = f"{caught.value} {caught.value!r} {caplog.text} {token!r} {token} {token:>9}"
    assert "token-4711" not in everything
    assert "Alice" not in everything
    assert "toy GET /x -> 400" in caplog.text


def test_calls_are_counted_by_what_they_are_for(connect: Connect) -> None:
    client = connect(answers(ok()))
    client.request("GET", "x", idempotent=True)
    client.request("POST", "query", json={}, idempotent=True, kind="read")
    client.request("POST", "x", json={}, idempotent=False)
    client.request("GET", "job/1", idempotent=True, kind="poll")
    counted = client.calls.snapshot()
    assert (counted["reads"], counted["writes"], counted["polls"], counted["total"]) == (2, 1, 1, 4)
    assert counted["by_outcome"] == {"GET 200": 2, "POST 200": 2}


def test_the_servers_clock_is_noted(toy: RunningSandbox, connect: Connect) -> None:
    client = connect(toy.url)
    assert client.server_time is None
    client.request("GET", "echo/x", idempotent=True)
    assert client.server_time == toy.service.clock.now().replace(microsecond=0)


def test_plain_http_where_tls_was_expected_is_told_at_once(
    toy: RunningSandbox, connect: Connect, naps: list[float]
) -> None:
    with pytest.raises(NotSent, match="not a TLS server"):
        connect(toy.url.replace("http:", "https:")).request("GET", "notes/1", idempotent=True)
    assert naps == []
