"""A desk for ingestion tests: a running sandbox, a home, and a network that can be tampered with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from ingestion import connections, pipelines, sources
from ingestion.pipelines import LoadReport
from ingestion.reading import Options
from platforms.kit.sandbox.server import RunningSandbox

Tamper = Callable[[httpx.Request, httpx.Response], httpx.Response]


class Middleman(httpx.BaseTransport):
    """Passes requests on, and lets `tamper` change what comes back."""

    def __init__(self, tamper: Tamper) -> None:
        self.tamper = tamper
        self.inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self.inner.handle_request(request)
        response.read()
        return self.tamper(request, response)

    def close(self) -> None:
        self.inner.close()


def altered(response: httpx.Response, content: bytes, **headers: str) -> httpx.Response:
    """The same answer with another body."""
    kept = {k: v for k, v in response.headers.items() if k.lower() not in ("content-length", "content-encoding")}
    return httpx.Response(response.status_code, headers={**kept, **headers}, content=content)


class Desk:
    """One connection to a sandbox, and the warehouse it fills."""

    def __init__(self, platform: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.platform = platform
        self.home = folder / "home"
        self.home.mkdir()
        self.patch = patch
        patch.setenv("DLT_PROJECT_DIR", str(folder))
        self.sandbox = RunningSandbox(platform, folder / "sandbox")
        self.service: Any = self.sandbox.service
        for name, value in self.sandbox.env.items():
            patch.setenv(name, value)

    def also_as(self, name: str) -> None:
        """The same sandbox under another connection's name."""
        for variable, value in self.sandbox.env.items():
            setting = variable.split("__")[-1]
            self.patch.setenv(connections.environment_name(name, setting), value)
        self.patch.setenv(connections.environment_name(name, "platform"), self.platform)

    def source(self, connection: str = "", *, tamper: Tamper | None = None, **more: Any) -> Any:
        name = connection or self.platform
        transport = Middleman(tamper) if tamper else None
        options = more.pop("options", Options(sweep_every=1))

        def client() -> Any:
            made = connections.client(name, self.home, transport=transport)
            # Nobody waits in tests.
            object.__setattr__(made.api.context, "sleep", lambda seconds: None)
            return made

        return sources.source(name, home=self.home, client=client, options=options, **more)

    def load(self, connection: str = "", **more: Any) -> LoadReport:
        """Read what is new into the warehouse."""
        return pipelines.run(self.source(connection, **more), self.home, timeout=30)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Look into the warehouse."""
        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as db:
            return db.execute(sql).fetchall()

    def one(self, sql: str) -> Any:
        """The first value of the first row."""
        return self.query(sql)[0][0]
