"""Ingestion against the Kantata sandbox: deletes without tombstones, pairs of an invoice, fields that come and go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingestion.errors import ColumnRemoved, SuspiciousSweep
from ingestion.reading import Options
from tests.platforms.kantata.firm import Firm, build_firm
from tests.unit.ingestion.support import Desk, altered

HOURS = ["time_entries"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk = Desk("kantata", tmp_path, monkeypatch)
    with desk.sandbox:
        yield desk


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return build_firm(desk.service)


def _edited(change: Callable[[dict[str, Any]], None], collection: str) -> Any:
    """A network that changes every row of one collection."""

    def tamper(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if not request.url.path.endswith(f"/{collection}") or b'"results"' not in response.content:
            return response
        body = json.loads(response.content)
        for row in body[collection].values():
            change(row)
        return altered(response, json.dumps(body).encode())

    return tamper


def test_everything_there_is_arrives_and_a_second_run_brings_nothing(desk: Desk, firm: Firm) -> None:
    firm.approved(*[30 + n for n in range(45)])
    report = desk.load()
    assert report.rows["time_entries"] == 45
    rows = desk.query(
        "SELECT sum(time_in_minutes), bool_and(approved), any_value(currency) FROM raw_kantata.time_entries"
    )
    assert rows == [(sum(30 + n for n in range(45)), True, "USD")]
    desk.load()
    assert not desk.load().changed


def test_a_deleted_hour_is_seen_in_the_feed_of_events(desk: Desk, firm: Firm) -> None:
    gone, _kept = firm.hours(60, 90)
    desk.load(only=HOURS)
    desk.service.delete("time_entry", gone)
    report = desk.load(only=HOURS, options=Options(sweep_every=0))
    assert report.deleted == {"time_entries": 1}
    assert desk.query("SELECT id, time_in_minutes FROM raw_kantata.time_entries WHERE _deleted_at IS NOT NULL") == [
        (gone, 60)
    ]


def test_a_deleted_hour_is_seen_by_a_sweep_where_the_feed_may_not_be_read(desk: Desk, firm: Firm) -> None:
    gone, _kept = firm.hours(60, 90)
    desk.load(only=HOURS)
    desk.service.delete("time_entry", gone)

    def forbidden(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if "subscribed_events" not in request.url.path:
            return response
        body = {"errors": [{"type": "system", "message": "Not permitted"}]}
        return httpx.Response(403, json=body)

    report = desk.load(only=HOURS, tamper=forbidden)
    assert report.deleted == {"time_entries": 1}
    assert any("deletes are found by sweeps only" in note for note in report.schema_changes)


def test_a_sweep_that_would_lose_a_third_of_a_table_marks_nothing_and_says_so(desk: Desk, firm: Firm) -> None:
    firm.hours(*[60] * 150)
    desk.load(only=HOURS)

    def half_hidden(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if not request.url.path.endswith("/time_entries"):
            return response
        body = json.loads(response.content)
        hidden = [one for one in body["results"] if int(one["id"]) % 2]
        if "updated_after" in str(request.url) or not hidden:
            return response
        body["results"] = hidden
        body["time_entries"] = {one["id"]: body["time_entries"][one["id"]] for one in hidden}
        body["count"] = body["meta"]["count"] = len(hidden)
        return altered(response, json.dumps(body).encode())

    with pytest.raises(SuspiciousSweep, match="75 of 150 rows"):
        desk.load(only=HOURS, tamper=half_hidden)
    assert desk.one("SELECT count(*) FROM raw_kantata.time_entries WHERE _deleted_at IS NOT NULL") == 0


def test_lines_that_leave_an_invoice_leave_its_pairs(desk: Desk, firm: Firm) -> None:
    one, two = firm.approved(60, 90)
    invoice = desk.service.insert(
        "invoice",
        {"workspace_id": firm.workspace, "payment_schedule": 30, "draft": True, "time_entry_ids": [one, two]},
    )
    desk.load(only=["invoices"])
    pairs = "SELECT time_entry_id FROM raw_kantata.invoice_time_entries ORDER BY 1"
    assert desk.query(pairs) == [(one,), (two,)]
    desk.service.update("invoice", invoice, {"time_entry_ids": [two]})
    desk.load(only=["invoices"])
    assert desk.query(pairs) == [(two,)]


def test_archived_projects_do_not_look_deleted(desk: Desk, firm: Firm) -> None:
    desk.load(only=["workspaces"])
    desk.service.update("workspace", firm.workspace, {"archived": True})
    report = desk.load(only=["workspaces"])
    assert report.deleted == {}
    assert desk.query("SELECT archived, _deleted_at FROM raw_kantata.workspaces") == [(True, None)]


def test_a_field_the_platform_did_not_have_before_becomes_a_column_and_is_reported(desk: Desk, firm: Firm) -> None:
    firm.hours(60)
    desk.load(only=HOURS)
    firm.hours(90)
    report = desk.load(only=HOURS, tamper=_edited(lambda row: row.update(mood="good"), "time_entries"))
    assert report.schema_changes == ["time_entries: new column mood from mood"]
    assert desk.one("SELECT count(*) FROM raw_kantata.time_entries WHERE mood = 'good'") == 2


def test_a_field_that_permissions_took_away_is_refused_and_not_read_as_null(desk: Desk, firm: Firm) -> None:
    firm.hours(60)
    desk.load(only=HOURS)
    firm.hours(90)
    with pytest.raises(ColumnRemoved, match=r"time_entries.rate_in_cents is no longer delivered"):
        desk.load(only=HOURS, tamper=_edited(lambda row: row.pop("rate_in_cents"), "time_entries"))
    assert desk.one("SELECT count(*) FROM raw_kantata.time_entries") == 1
    assert desk.one("SELECT count(rate_in_cents) FROM raw_kantata.time_entries") == 1


def test_hours_changed_while_pages_are_read_are_all_there_in_the_end(desk: Desk, firm: Firm) -> None:
    ids = firm.hours(*[60] * 450)
    moved = iter(ids[:200:20])

    def meanwhile(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.url.path.endswith("/time_entries"):
            changed = next(moved, None)
            if changed is not None:
                desk.service.update("time_entry", changed, {"notes": "changed meanwhile"})
                firm.hours(15)
        return response

    desk.load(only=HOURS, tamper=meanwhile)
    desk.load(only=HOURS)
    there = {(str(row["id"]), row["notes"]) for row in desk.service.rows("time_entries")}
    assert set(desk.query("SELECT id, notes FROM raw_kantata.time_entries WHERE _deleted_at IS NULL")) == there
