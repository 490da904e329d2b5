"""A fresh ledger per test; a served one where HTTP matters."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from platforms.kit.context import ClientContext
from platforms.kit.sandbox.registry import open_ready
from platforms.kit.sandbox.server import RunningSandbox
from platforms.kit.secrets import Secret
from platforms.netsuite.client import NetSuiteClient
from platforms.netsuite.sandbox import SANDBOX, NetSuiteService, credentials

SECRETS = ("private_key", "consumer_key", "consumer_secret", "token_id", "token_secret")


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a ledger that was set up and served once, to copy from: keys and certificates take their time."""
    folder = tmp_path_factory.mktemp("ready")
    with RunningSandbox("netsuite", folder) as sandbox:
        service = cast(NetSuiteService, sandbox.service)
        settings = {**credentials(service), "base_url": sandbox.url}
        with NetSuiteClient(settings, ClientContext(connection="books")) as client:
            client.ping()
    return folder


@pytest.fixture
def fresh(ready: Path, tmp_path: Path) -> Path:
    """A test's own copy of a ledger nobody has written to."""
    shutil.copytree(ready, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def ledger(fresh: Path, tmp_path: Path) -> Iterator[NetSuiteService]:
    """The rules without HTTP."""
    service = cast(NetSuiteService, open_ready(SANDBOX, tmp_path, 7))
    yield service
    service.store.close()


@pytest.fixture
def running(fresh: Path, tmp_path: Path) -> Iterator[RunningSandbox]:
    """A served ledger."""
    with RunningSandbox("netsuite", tmp_path) as sandbox:
        yield sandbox


Connect = Callable[..., NetSuiteClient]


@pytest.fixture
def connect(running: RunningSandbox) -> Iterator[Connect]:
    """`connect(actor='integration', flow='oauth2_m2m', tls=False, **settings)`: a client of the served ledger."""
    clients: list[NetSuiteClient] = []

    def make(actor: str = "integration", flow: str = "oauth2_m2m", tls: bool = False, **changes: str) -> NetSuiteClient:
        known: dict[str, Any] = {
            **credentials(cast(NetSuiteService, running.service), actor),
            "base_url": running.tls_url if tls else running.url,
            "auth_flow": flow,
            **changes,
        }
        settings = {name: Secret(value) if name in SECRETS else value for name, value in known.items()}
        context = ClientContext(
            connection="books",
            sleep=lambda seconds: None,
            random=random.Random(1),
            verify=str(running.ca_path) if tls else True,
        )
        client = NetSuiteClient(settings, context)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


class Firm:
    """A few records to write about."""

    def __init__(self, service: NetSuiteService) -> None:
        self.service = service

    def customer(self, entity: str = "UK", **values: Any) -> str:
        body = {"companyName": "Acme", "subsidiary": {"externalId": entity}, "terms": {"externalId": "NET30"}, **values}
        return self.service.insert("customer", body, actor="finance")

    def job(self, customer: str, **values: Any) -> str:
        return self.service.insert("job", {"companyName": "Rollout", "parent": customer, **values}, actor="finance")

    def invoice(self, customer: str, *amounts: Any, approve: bool = True, **values: Any) -> str:
        lines = [{"item": {"externalId": "SVC-TIME"}, "quantity": 1, "rate": amount} for amount in amounts]
        body = {"entity": customer, "item": {"items": lines}, **values}
        id = self.service.insert("invoice", body, actor="integration")
        if approve:
            self.service.act("invoice.approve", id, actor="finance")
        return id

    def pay(self, customer: str, amount: Any, *applied: tuple[str, Any], **values: Any) -> str:
        body = {
            "customer": customer,
            "payment": amount,
            "apply": [{"doc": invoice, "amount": part} for invoice, part in applied],
            **values,
        }
        return self.service.insert("customerPayment", body, actor="finance")

    def document(self, id: str) -> dict[str, Any]:
        return next(iter(self.service.rows("transaction", "id = ?", (int(id),))))


@pytest.fixture
def firm(request: pytest.FixtureRequest) -> Firm:
    """Of the served ledger where a test uses one, else of the bare one."""
    if "running" in request.fixturenames:
        return Firm(cast(NetSuiteService, request.getfixturevalue("running").service))
    return Firm(request.getfixturevalue("ledger"))
