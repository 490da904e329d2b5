"""A real Tryton for the tests of this room: prepared once per machine, started once per worker, copied per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platforms.tryton.client import TrytonClient
from platforms.tryton.server import RunningServer, template


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A fresh firm for the tests of one file."""
    with RunningServer(tmp_path_factory.mktemp("tryton"), template()) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[TrytonClient]:
    """The integration user's client."""
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def admin(server: RunningServer) -> Iterator[TrytonClient]:
    """The administrator's client: the people of the firm."""
    with server.admin() as client:
        yield client
