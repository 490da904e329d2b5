"""A toy platform: one table of notes behind real HTTP and TLS, and clients for it whose sleep is only written down."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from platforms.kit.context import ClientContext
from platforms.kit.errors import PlatformError
from platforms.kit.http import ApiClient
from platforms.kit.registry import Limits
from platforms.kit.sandbox.app import JsonResponse, SandboxApp, build_app, json_of, token_is_expired
from platforms.kit.sandbox.clock import SandboxClock
from platforms.kit.sandbox.faults import Faults
from platforms.kit.sandbox.registry import SandboxSpec
from platforms.kit.sandbox.server import RunningSandbox
from platforms.kit.sandbox.service import Refusal
from platforms.kit.sandbox.store import Store


class Notes:
    """The toy's rules: a note needs a text."""

    def __init__(self, state_dir: Path) -> None:
        self.store = Store(state_dir / "toy.sqlite")
        self.clock = SandboxClock(self.store)
        self.entered, self.release = threading.Event(), threading.Event()
        self.store.script("CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT, at TEXT);")

    def setup(self, seed: int) -> None:
        self.store.meta["password"] = f"password-of-seed-{seed}"

    def insert(self, object: str, values: Any, *, actor: str) -> str:
        if not values.get("text"):
            raise Refusal("MISSING", "a note needs a text", ("text",), 422)
        with self.store.transaction():
            number = self.store.next_number("note")
            self.store.write(
                "INSERT INTO note VALUES (?, ?, ?)", (number, values["text"], self.clock.now().isoformat())
            )
        return str(number)

    def count(self) -> int:
        found = self.store.one("SELECT count(*) AS n FROM note")
        assert found is not None
        return int(found["n"])


def create_app(service: Notes, faults: Faults) -> SandboxApp:
    def create(request: Request) -> Response:
        if token_is_expired(request):
            return JsonResponse({"error": "expired"}, 401)
        return JsonResponse({"id": service.insert("note", json_of(request), actor="api")}, 201)

    async def show(request: Request) -> Response:
        if token_is_expired(request):
            return JsonResponse({"error": "expired"}, 401)
        found = service.store.one("SELECT * FROM note WHERE id = ?", (request.path_params["id"],))
        return JsonResponse(found) if found else JsonResponse({"error": "no such note"}, 404)

    def block(request: Request) -> Response:
        service.entered.set()
        service.release.wait(10)  # holds the whole sandbox, as a long transaction does
        return JsonResponse({})

    routes = [
        Route("/block", block),
        Route("/Notes", create, methods=["POST"]),
        Route("/Notes/{id}", show, methods=["GET"]),
        Route("/echo/{word}", lambda request: JsonResponse({"word": request.path_params["word"]})),
    ]
    return build_app("toy", routes, service.store, faults, Limits(), id_header="x-toy-request")


TOY = SandboxSpec(
    name="toy",
    port_offset=90,
    open_service=Notes,  # type: ignore[arg-type]  # the toy has no buttons
    create_app=create_app,  # type: ignore[arg-type]  # takes its own service
    environment=lambda service, url, tls_url: {"CONNECTIONS__TOY__BASE_URL": url},
)


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[RunningSandbox]:
    with RunningSandbox(TOY, tmp_path / "state") as running:
        yield running


@pytest.fixture
def toy_spec() -> SandboxSpec:
    return TOY


class Naps(list[float]):
    """A sleep that only writes down for how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def naps() -> Naps:
    return Naps()


Connect = Callable[..., ApiClient]


@pytest.fixture
def connect(naps: Naps) -> Iterator[Connect]:
    """connect(url or answering function, auth=None, classify=..., **context) -> ApiClient"""
    opened: list[ApiClient] = []

    def make(
        where: str | Callable[[httpx.Request], httpx.Response],
        *,
        auth: httpx.Auth | None = None,
        classify: Callable[[httpx.Response], PlatformError | None] = lambda response: None,
        max_attempts: int = 6,
        **context: Any,
    ) -> ApiClient:
        transport = None if isinstance(where, str) else httpx.MockTransport(where)
        surroundings = ClientContext(
            connection="toy",
            transport=transport,
            sleep=naps,
            random=random.Random(7),
            clock=lambda: datetime(2026, 3, 1, tzinfo=UTC),
            **context,
        )
        url = where if isinstance(where, str) else "https://toy.example"
        client = ApiClient("toy", url, auth, classify, surroundings, max_attempts=max_attempts)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()
