"""A Kantata sandbox, with and without HTTP, with a small firm in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from platforms.kantata.client import KantataClient
from platforms.kantata.sandbox.service import Service, open_service
from platforms.kit.registry import Limits
from platforms.kit.sandbox.registry import open_ready, sandbox
from platforms.kit.sandbox.server import RunningSandbox, certificate
from tests.platforms.kantata.firm import Firm, build_firm, connect


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A fresh account without HTTP."""
    made = open_service(tmp_path)
    made.setup(7)
    return made


@pytest.fixture
def firm(service: Service) -> Firm:
    return build_firm(service)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a fresh account, certificates included: making it takes longer than most tests."""
    state = tmp_path_factory.mktemp("fresh")
    open_ready(sandbox("kantata"), state, 7).store.close()
    certificate(state)
    return state


@pytest.fixture
def running(fresh: Path, tmp_path: Path) -> Iterator[RunningSandbox]:
    """A served account without rate limits."""
    state = Path(shutil.copytree(fresh, tmp_path / "served"))
    with RunningSandbox("kantata", state, limits=Limits()) as made:
        yield made


@pytest.fixture
def served(running: RunningSandbox) -> Firm:
    assert isinstance(running.service, Service)
    return build_firm(running.service)


@pytest.fixture
def client(running: RunningSandbox) -> Iterator[KantataClient]:
    with connect(running) as made:
        yield made


@pytest.fixture
def raw(running: RunningSandbox) -> Iterator[httpx.Client]:
    """A plain HTTP client with the integration's token."""
    token = running.env["CONNECTIONS__KANTATA__TOKEN"]
    with httpx.Client(
        base_url=f"{running.url}/api/v1", headers={"Authorization": f"Bearer {token}"}, trust_env=False
    ) as made:
        yield made
