"""Somebody else's client, unchanged: the Singer tap for Mavenlink reads every stream of the sandbox to the end.

Its address is fixed to api.mavenlink.com, so it goes through a local CONNECT proxy to the sandbox's TLS port, whose
certificate bears that name. Prepare once: `bash tests/platforms/foreign/prepare-tap-mavenlink.sh`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from platforms.kit.sandbox.proxy import ConnectProxy
from platforms.kit.sandbox.server import RunningSandbox
from tests.platforms.kantata.firm import Firm

ROOT = Path(__file__).parents[3]
TAP = ROOT / ".venv-tap-mavenlink" / "bin" / "tap-mavenlink"

pytestmark = [
    pytest.mark.foreign,
    pytest.mark.skipif(
        not TAP.exists(),
        reason="tap-mavenlink is not installed; run: bash tests/platforms/foreign/prepare-tap-mavenlink.sh",
    ),
]

# Stream of the tap -> rows of the store it must bring, and the statement that counts them.
STREAMS = {
    "account_memberships": "account_memberships",
    "assignments": "assignments",
    "custom_fields": "custom_fields",
    "workspace_custom_field_values": "custom_field_values",
    "estimates": "estimates",
    "estimate_scenarios": "estimate_scenarios",
    "estimate_scenario_resources": "estimate_scenario_resources",
    "expense_categories": "expense_categories",
    "expenses": "expenses",
    "invoices": "invoices",
    "posts": "posts",
    "stories": "stories",
    "time_entries": "time_entries",
    "users": "users",
    "workspace_allocations": "workspace_allocations",
    "workspace_groups": "workspace_groups",
    "workspaces": "workspaces",
}


def fill(firm: Firm) -> None:
    """More than two pages of hours and tasks, and at least one row of every stream, archived and deleted ones too."""
    insert = firm.service.insert
    firm.service.insert_many("time_entries", [firm.hour(time_in_minutes=1 + n % 60) for n in range(430)])
    field = next(firm.service.rows("custom_fields", "name = 'Invoiced'"))["id"]
    for number in range(5):
        workspace = insert(
            "workspace",
            {
                "title": f"Project {number}",
                "participations": [{"user_id": firm.worker}],
                "workspace_group_ids": [firm.client],
                "custom_fields": [{"custom_field_id": field, "value": [number * 100, "USD"]}],
            },
        )
        for task in range(90):
            insert("story", {"workspace_id": workspace, "title": f"Task {task}", "assignee_ids": [firm.worker]})
        insert("post", {"workspace_id": workspace, "message": "Kick-off"})
        insert("time_entry", firm.hour(workspace_id=workspace))
        expense = {"workspace_id": workspace, "user_id": firm.worker, "date": "2026-01-07", "category": "Travel"}
        insert("expense", {**expense, "expense_category_id": firm.category, "amount_in_cents": 1_250})
    firm.service.delete("story", insert("story", {"workspace_id": firm.workspace, "title": "Dropped"}))
    firm.service.act("workspace.archive", workspace)
    hours = firm.approved(60, 90)
    invoice = insert("invoice", {"workspace_id": firm.workspace, "payment_schedule": 30, "time_entry_ids": hours})
    insert("external_payment", {"workspace_id": firm.workspace, "invoice_id": invoice})
    items = [{"notes": "Licence", "amount": "10.50"}]
    insert("invoice", {"workspace_id": firm.workspace, "payment_schedule": 0, "additional_items": items, "draft": True})
    slot = insert("workspace_resource", {"workspace_id": firm.workspace, "role_id": firm.role})
    days = {"start_date": "2026-02-02", "end_date": "2026-02-06"}
    insert("workspace_allocation", {"resource_id": slot, "minutes": 2_400, "hard": False, **days})
    estimate = insert("estimate", {"name": "Phase two", "workspace_group_id": firm.client})
    for name in ("Lean", "Full"):
        scenario = insert("estimate_scenario", {"estimate_id": estimate, "name": name, "budget_in_cents": 100_000})
        insert("estimate_scenario_resource", {"estimate_scenario_id": scenario, "role_id": firm.role})


def run(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [str(TAP), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_singer_tap_completes_every_stream_with_the_stores_counts(
    running: RunningSandbox, served: Firm, tmp_path: Path
) -> None:
    fill(served)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"token": running.store.meta["token"]}))
    with ConnectProxy({"api.mavenlink.com": running.tls_port}) as proxy:
        environment = {
            "HTTPS_PROXY": proxy.url,
            "REQUESTS_CA_BUNDLE": str(running.ca_path),
            "NO_PROXY": "",
            "no_proxy": "",
        }
        catalog: dict[str, Any] = json.loads(run(["-c", str(config), "--discover"], environment))
        for stream in catalog["streams"]:
            for part in stream["metadata"]:
                part["metadata"]["selected"] = True
        selected = tmp_path / "catalog.json"
        selected.write_text(json.dumps(catalog))
        output = run(["-c", str(config), "--catalog", str(selected)], environment)
        assert proxy.tunnels > 0
    messages = [json.loads(line) for line in output.splitlines()]
    keys: dict[str, set[str]] = {}
    for message in messages:
        if message["type"] == "RECORD":
            keys.setdefault(message["stream"], set()).add(str(message["record"]["id"]))
    counts = Counter({stream: len(ids) for stream, ids in keys.items()})
    assert {stream["stream"] for stream in catalog["streams"]} == set(STREAMS)
    expected = {
        stream: served.service.store.read(f"SELECT count(*) AS n FROM {table}")[0]["n"]
        for stream, table in STREAMS.items()
    }
    assert dict(counts) == expected
