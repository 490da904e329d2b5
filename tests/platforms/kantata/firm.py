"""A small firm in the Kantata sandbox, and Tieout's client for it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from platforms.kantata.client import SPEC, KantataClient
from platforms.kantata.sandbox.service import Service
from platforms.kit.context import ClientContext
from platforms.kit.sandbox.server import RunningSandbox
from platforms.kit.secrets import Secret


@dataclass(kw_only=True)
class Firm:
    """Ids of what the tests stand on."""

    service: Service
    lead: str
    worker: str
    role: str
    client: str
    card: str
    workspace: str
    story: str
    category: str

    def hour(self, **changes: Any) -> dict[str, Any]:
        """One hour of the worker, as an insert takes it."""
        plain = {"workspace_id": self.workspace, "user_id": self.worker, "date_performed": "2026-01-06"}
        return {**plain, "time_in_minutes": 60, **changes}

    def hours(self, *minutes: int, **changes: Any) -> list[str]:
        """Time entries of the worker; their ids."""
        return [self.service.insert("time_entry", self.hour(time_in_minutes=m, **changes)) for m in minutes]

    def sheet(self, *minutes: int, **changes: Any) -> tuple[str, list[str]]:
        """Hours of the worker in one submission: (submission id, time entry ids)."""
        ids = self.hours(*minutes, **changes)
        values = {"workspace_id": self.workspace, "user_id": self.worker, "line_item_ids": ids}
        return self.service.insert("timesheet_submission", values), ids

    def approved(self, *minutes: int, **changes: Any) -> list[str]:
        """Approved time entries of the worker; their ids."""
        submission, ids = self.sheet(*minutes, **changes)
        self.service.act("timesheet.approve", submission)
        return ids


def build_firm(service: Service) -> Firm:
    """A lead, a worker, a client, a price list with two versions, one project with a task; approvals required."""
    insert = service.insert
    role = insert("role", {"name": "Consultant"})
    people = []
    for name in ("Lea Lead", "Will Worker"):
        user = insert("user", {"full_name": name, "email_address": f"{name.split()[0].lower()}@firm.example"})
        insert("account_membership", {"user_id": user, "default_role_id": role, "bill_rate_in_cents": 9_000})
        people.append(user)
    client = insert("workspace_group", {"name": "Acme", "company": True})
    card_set = insert("rate_card_set", {"title": "Standard", "account_default": True})
    card = insert("rate_card", {"rate_card_set_id": card_set, "currency": "USD"})
    for day, rate in (("2025-01-01", 12_000), ("2026-01-01", 13_100)):
        version = insert("rate_card_set_version", {"rate_card_set_id": card_set, "effective_date": day})
        prices = insert(
            "rate_card_version",
            {"rate_card_id": card, "rate_card_set_version_id": version, "default_rate": rate - 2_000},
        )
        insert("rate_card_role", {"rate_card_version_id": prices, "role_id": role, "rate": rate})
        service.act("rate_card_set_version.activate", version)
    workspace = insert(
        "workspace",
        {
            "title": "Rollout",
            "budgeted": True,
            "price": "17103",
            "rate_card_id": card,
            "primary_maven_id": people[0],
            "participations": [{"user_id": people[1]}],
            "primary_workspace_group_id": client,
            "require_time_approvals": True,
        },
    )
    story = insert("story", {"workspace_id": workspace, "title": "Build"})
    return Firm(
        service=service,
        lead=people[0],
        worker=people[1],
        role=role,
        client=client,
        card=card,
        workspace=workspace,
        story=story,
        category=insert("expense_category", {"name": "Travel"}),
    )


def connect(running: RunningSandbox, **settings: Any) -> KantataClient:
    """Tieout's client on the running sandbox; pauses are skipped."""
    token = running.env["CONNECTIONS__KANTATA__TOKEN"]
    context = ClientContext(connection="kantata", sleep=lambda seconds: None, random=random.Random(1), timeout=20)
    given = {"base_url": running.env["CONNECTIONS__KANTATA__BASE_URL"], "token": Secret(token), **settings}
    client: KantataClient = SPEC.connect(given, context)
    return client
