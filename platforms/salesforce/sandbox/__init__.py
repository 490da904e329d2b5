"""A Salesforce org on this machine: the vendor's paths, shapes, rules and refusals, stateful and seeded."""

from __future__ import annotations

from platforms.kit.sandbox.registry import SandboxSpec
from platforms.salesforce.sandbox.app import create_app
from platforms.salesforce.sandbox.service import SalesforceService, open_service
from platforms.salesforce.sandbox.setup import private_key_pem


def _environment(service: SalesforceService, url: str, tls_url: str) -> dict[str, str]:
    """Settings of the connection `salesforce`: client credentials, and the key of the JWT flow beside them."""
    known = service.store.meta["credentials"]
    settings = {
        "BASE_URL": url,
        "AUTH_FLOW": "client_credentials",
        "CLIENT_ID": known["client_id"],
        "CLIENT_SECRET": known["client_secret"],
        "USERNAME": known["username"],
        "PRIVATE_KEY": private_key_pem(int(service.store.meta["sandbox.seed"])),
        "API_VERSION": "67.0",
    }
    return {f"CONNECTIONS__SALESFORCE__{name}": value for name, value in settings.items()}


SANDBOX = SandboxSpec(
    name="salesforce",
    port_offset=0,
    open_service=open_service,
    create_app=create_app,
    environment=_environment,
    hosts=("login.salesforce.com", "test.salesforce.com", "northwind.my.salesforce.com"),
)
