"""An org for each test, and one that tests which only read may share."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from platforms.kit.context import ClientContext
from platforms.kit.sandbox.registry import open_ready
from platforms.kit.sandbox.server import RunningSandbox
from platforms.kit.secrets import Secret
from platforms.salesforce.client import SPEC, SalesforceClient
from platforms.salesforce.sandbox import SANDBOX
from platforms.salesforce.sandbox.schema import text
from platforms.salesforce.sandbox.service import SalesforceService

Connect = Callable[..., SalesforceClient]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SalesforceService]:
    """An org's rules without HTTP."""
    made = open_ready(SANDBOX, tmp_path, seed=7)
    assert isinstance(made, SalesforceService)
    yield made
    made.store.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningSandbox, sqlite3.Connection]]:
    """One running org with an external id field on accounts, and a copy of its fresh state."""
    with RunningSandbox("salesforce", tmp_path_factory.mktemp("org")) as running:
        assert isinstance(running.service, SalesforceService)
        running.service.add_field("Account", text("Ext_Key__c", 80, external_id=True, unique=True, label="Ext Key"))
        with closing(sqlite3.connect(":memory:")) as fresh:
            running.store.connection.backup(fresh)
            yield running, fresh


@pytest.fixture
def org(served: tuple[RunningSandbox, sqlite3.Connection]) -> RunningSandbox:
    """The running org as it was when it was fresh: starting a server for each test would take half a minute more."""
    running, fresh = served
    assert isinstance(running.service, SalesforceService)
    running.faults.use("none")
    fresh.backup(running.store.connection)
    running.service.forget()
    return running


@pytest.fixture
def rules(org: RunningSandbox) -> SalesforceService:
    """The rules behind the running org, for changing its objects and fields."""
    assert isinstance(org.service, SalesforceService)
    return org.service


@pytest.fixture
def connect(org: RunningSandbox) -> Iterator[Connect]:
    """A maker of clients for the running org; `settings` replace the org's own, `naps` notes the pauses."""
    made: list[SalesforceClient] = []

    def make(naps: list[float] | None = None, **settings: str) -> SalesforceClient:
        given = {name.rsplit("__", 1)[1].lower(): value for name, value in org.env.items()} | settings
        wrapped = {
            s.name: Secret(given[s.name]) if s.secret else given[s.name] for s in SPEC.settings if s.name in given
        }
        slept = naps if naps is not None else []
        context = ClientContext(connection="salesforce", sleep=slept.append, random=random.Random(7), timeout=10)
        made.append(SPEC.connect(wrapped, context))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(connect: Connect) -> SalesforceClient:
    return connect()


@pytest.fixture
def http(org: RunningSandbox) -> Iterator[httpx.Client]:
    """A bare HTTP client with a session, below /services/data/v67.0."""
    known = org.store.meta["credentials"]
    form = {
        "grant_type": "client_credentials",
        "client_id": known["client_id"],
        "client_secret": known["client_secret"],
    }
    token = httpx.post(f"{org.url}/services/oauth2/token", data=form).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{org.url}/services/data/v67.0", headers=headers) as made:
        yield made
