"""What a fresh account has: the account, the integration user with its token, the custom fields Tieout asks for.

Everything else (people, roles, clients, rates) is the firm's and comes from whoever lives in the sandbox.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platforms.kantata.sandbox.service import Service

ACCOUNT_ID = 7010001
INTEGRATION_EMAIL = "tieout.integration@example.com"
# (subject, name, value_type): docs/connect asks an administrator to create exactly these.
CUSTOM_FIELDS = (
    ("Workspace", "Billing Type", "string"),
    ("Workspace", "Legal Entity", "string"),
    ("Workspace", "Billing Status", "string"),
    ("Workspace", "Invoiced", "currency"),
    ("Workspace", "Paid", "currency"),
    ("Workspace", "Open", "currency"),
    ("Workspace", "Overdue", "currency"),
    ("WorkspaceGroup", "VAT Number", "string"),
    ("WorkspaceGroup", "Currency", "string"),
)


def secret(seed: int, what: str) -> str:
    """A credential that follows from the seed and looks like no other text, so that a leak can be searched for."""
    return hashlib.sha256(f"kantata:{what}:{seed}".encode()).hexdigest()


def set_up(service: Service, seed: int) -> None:
    """Fill an empty store; does nothing on one that is set up."""
    if "account_id" in service.store.meta:
        return
    meta = service.store.meta
    with service.store.transaction():
        meta["seed"] = seed
        meta["account_id"] = ACCOUNT_ID
        meta["account_currency"] = "USD"
        meta["utc_offset_minutes"] = -8 * 60
        meta["client_id"] = secret(seed, "client_id")[:40]
        meta["client_secret"] = secret(seed, "client_secret")
        meta["token"] = secret(seed, "token")
        meta["limited_token"] = secret(seed, "limited_token")
        admin = service.insert(
            "users",
            {"full_name": "Tieout Integration", "email_address": INTEGRATION_EMAIL, "headline": "Integration"},
            actor="0",
        )
        service.insert("account_memberships", {"user_id": admin, "permission": "Account Administrator"}, actor="0")
        meta["integration_user_id"] = int(admin)
        # A person without financial permission: rates, costs and budgets vanish from what this token sees.
        limited = service.insert(
            "users", {"full_name": "Limited Viewer", "email_address": "limited.viewer@example.com"}, actor=admin
        )
        service.insert("account_memberships", {"user_id": limited, "permission": "Collaborator"}, actor=admin)
        add_token(service, str(meta["token"]), admin)
        add_token(service, str(meta["limited_token"]), limited)
        for subject, name, value_type in CUSTOM_FIELDS:
            service.insert(
                "custom_fields", {"subject_type": subject, "name": name, "value_type": value_type}, actor=admin
            )


def add_token(service: Service, token: str, user_id: str) -> None:
    """Let `token` act as a user (tokens do not expire until revoked)."""
    service.store.write("INSERT OR REPLACE INTO tokens (token, user_id) VALUES (?, ?)", (token, int(user_id)))


def environment(service: Service, url: str, tls_url: str) -> dict[str, str]:
    """The environment that points a Tieout connection named `kantata` at this sandbox."""
    return {
        "CONNECTIONS__KANTATA__BASE_URL": f"{url}/api/v1",
        "CONNECTIONS__KANTATA__TOKEN": str(service.store.meta["token"]),
    }
