"""A NetSuite account to practise on: SuiteTalk REST and SuiteQL over a ledger in one SQLite file."""

from __future__ import annotations

from typing import Any, cast

from platforms.kit.sandbox.app import SandboxApp
from platforms.kit.sandbox.faults import Faults
from platforms.kit.sandbox.registry import SandboxSpec
from platforms.netsuite.sandbox.app import create_app
from platforms.netsuite.sandbox.service import NetSuiteService, open_service
from platforms.netsuite.sandbox.setup import ACCOUNT
from platforms.netsuite.sandbox.signing import host_label

__all__ = ["SANDBOX", "NetSuiteService", "credentials"]


def credentials(service: NetSuiteService, actor: str = "integration") -> dict[str, str]:
    """Everything one identity of this account logs in with, by setting name of a connection (both flows)."""
    meta = service.store.meta
    token_id, token = next((id, t) for id, t in meta["netsuite.tokens"].items() if t["actor"] == actor)
    client_id, client = next((id, c) for id, c in meta["netsuite.clients"].items() if c["actor"] == actor)
    return {
        "account_id": meta["netsuite.account"],
        "consumer_key": token["consumer_key"],
        "consumer_secret": token["consumer_secret"],
        "token_id": token_id,
        "token_secret": token["token_secret"],
        "client_id": client_id,
        "certificate_id": client["certificate_id"],
        "private_key": client["private_key"],
    }


def app_of(service: Any, faults: Faults) -> SandboxApp:
    """The HTTP of an opened ledger."""
    return create_app(cast(NetSuiteService, service), faults)


def environment(service: Any, url: str, tls_url: str) -> dict[str, str]:
    """What points Tieout at this sandbox: OAuth 2.0 over plain HTTP on this machine."""
    known = credentials(service)
    settings = {
        "base_url": url,
        "auth_flow": "oauth2_m2m",
        **{name: known[name] for name in known},
    }
    return {f"CONNECTIONS__NETSUITE__{name.upper()}": value for name, value in settings.items()}


SANDBOX = SandboxSpec(
    name="netsuite",
    port_offset=2,
    open_service=open_service,
    create_app=app_of,
    environment=environment,
    hosts=tuple(f"{host_label(ACCOUNT)}.{kind}.api.netsuite.com" for kind in ("suitetalk", "restlets")),
)
