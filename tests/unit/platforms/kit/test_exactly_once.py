"""Whatever a vendor does to a create, the client never does it twice and never lies about what it knows."""

from __future__ import annotations

import concurrent.futures
import random
from collections.abc import Callable
from pathlib import Path

import httpx
from hypothesis import given
from hypothesis import strategies as st

from platforms.kit.budget import Budget
from platforms.kit.context import ClientContext
from platforms.kit.errors import BadAnswer, NotSent, PlatformError, Refused, Retry, Uncertain, Wait
from platforms.kit.http import ApiClient
from platforms.kit.registry import Limits
from platforms.kit.sandbox.server import RunningSandbox

# What a vendor, or the way to it, may do to one request: (is it done?, what comes back).
Behaviour = tuple[bool, Callable[[httpx.Request], httpx.Response]]


def raising(kind: type[httpx.TransportError]) -> Callable[[httpx.Request], httpx.Response]:
    def fail(request: httpx.Request) -> httpx.Response:
        raise kind("trouble", request=request)

    return fail


BEHAVIOURS: dict[str, Behaviour] = {
    "done": (True, lambda _: httpx.Response(201, json={"id": "1"})),
    "done, reply lost": (True, raising(httpx.RemoteProtocolError)),
    "done, reply too late": (True, raising(httpx.ReadTimeout)),
    "done, answered 500": (True, lambda _: httpx.Response(500, json={})),
    "done, answered by a page": (True, lambda _: httpx.Response(200, html="<html></html>")),
    "done, body cut off": (
        True,
        lambda _: httpx.Response(201, content=b'{"id', headers={"Content-Type": "application/json"}),
    ),
    "refused connection": (False, raising(httpx.ConnectError)),
    "no connection in time": (False, raising(httpx.ConnectTimeout)),
    "busy": (False, lambda _: httpx.Response(429, headers={"Retry-After": "1"})),
    "down": (False, lambda _: httpx.Response(503)),
    "locked": (False, lambda _: httpx.Response(400, json={"code": "LOCKED"})),
    "invalid": (False, lambda _: httpx.Response(422, json={})),
    "broken while sending": (False, raising(httpx.WriteError)),
}


def classify(response: httpx.Response) -> PlatformError | None:
    locked = response.status_code == 400 and b"LOCKED" in response.content
    return Retry("locked by somebody else", code="LOCKED") if locked else None


def outcome_of(script: list[str], *, idempotent: bool) -> tuple[int, PlatformError | httpx.Response]:
    """Send one request through the scripted behaviours (the last one stays): how often it was done, and the outcome."""
    left, done = list(script), 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal done
        acted, respond = BEHAVIOURS[left.pop(0) if len(left) > 1 else left[0]]
        done += acted
        return respond(request)

    context = ClientContext(
        connection="toy",
        transport=httpx.MockTransport(answer),
        sleep=lambda seconds: None,
        random=random.Random(1),
    )
    with ApiClient("toy", "https://toy.example", None, classify, context) as client:
        try:
            response = client.request("POST", "x", json={}, idempotent=idempotent)
        except PlatformError as error:
            return done, error
    return done, response


scripts = st.lists(st.sampled_from(sorted(BEHAVIOURS)), min_size=1, max_size=8)


@given(scripts)
def test_a_create_is_done_at_most_once_and_its_outcome_is_never_a_lie(script: list[str]) -> None:
    done, outcome = outcome_of(script, idempotent=False)
    assert done <= 1
    if isinstance(outcome, httpx.Response):
        assert done == 1
    elif not isinstance(outcome, Uncertain):
        assert done == 0, f"{outcome!r} says that nothing was done"
        assert isinstance(outcome, Refused | Wait | NotSent | Retry)


@given(scripts)
def test_what_may_be_repeated_is_never_left_uncertain(script: list[str]) -> None:
    _, outcome = outcome_of(script, idempotent=True)
    assert isinstance(outcome, httpx.Response | Retry | Wait | NotSent | Refused)
    if isinstance(outcome, httpx.Response):
        assert outcome.status_code == 201
    if isinstance(outcome, BadAnswer):
        assert script != ["done"]


def test_a_shared_budget_keeps_below_the_vendors_concurrency_limit(toy: RunningSandbox, tmp_path: Path) -> None:
    toy.app.limits, toy.app.latency = Limits(concurrency=3), 0.01

    def work(worker: int) -> None:
        budget = Budget(tmp_path, "toy", concurrency=3)  # of its own files, like another process
        context = ClientContext(connection="toy", budget=budget)
        with ApiClient("toy", toy.url, None, lambda response: None, context) as client:
            for number in range(5):
                client.request("POST", "notes", json={"text": f"{worker}.{number}"}, idempotent=False)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert toy.app.calls()["by_status"] == {"201": 40}
