"""Tieout's own client against the sandbox: pages, references, probes, error classes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platforms.kantata.client import (
    SPEC,
    AlreadyThere,
    Invalid,
    KantataClient,
    Page,
    parse_time,
)
from platforms.kit.errors import AskPerson, Gone, Refused, Uncertain
from platforms.kit.sandbox.server import RunningSandbox
from platforms.kit.secrets import Secret
from tests.platforms.kantata.firm import Firm, connect


def ids(pages: Any) -> list[str]:
    return [row["id"] for page in pages for row in page.rows]


def test_pages_come_in_order_and_fetch_ahead(client: KantataClient, served: Firm) -> None:
    hours = served.service.insert_many("time_entries", [served.hour(time_in_minutes=1 + n % 60) for n in range(1_050)])
    pages = list(client.pages("time_entries"))
    assert ids(pages) == hours
    assert [len(page.rows) for page in pages] == [200, 200, 200, 200, 200, 50]
    assert pages[0].meta["count"] == 1_050


def test_included_objects_come_with_their_page(client: KantataClient, served: Firm) -> None:
    (page,) = client.pages("workspaces", {"include": ["workspace_groups", "participants"]})
    (row,) = page.rows
    assert page.included["workspace_groups"][row["workspace_group_ids"][0]]["name"] == "Acme"


def test_rows_deleted_while_paging_hide_no_other_row(client: KantataClient, served: Firm) -> None:
    hours = served.service.insert_many("time_entries", [served.hour() for _ in range(100)])
    seen: list[str] = []
    for number, page in enumerate(client.pages("time_entries", per_page=10, read_ahead=1)):
        seen += [row["id"] for row in page.rows]
        if number == 2:
            for id in hours[:15]:
                served.service.delete("time_entry", id)
    assert set(hours[15:]) <= set(seen)


def test_rows_created_while_paging_are_read_too(client: KantataClient, served: Firm) -> None:
    hours = served.service.insert_many("time_entries", [served.hour() for _ in range(30)])
    seen: list[str] = []
    for number, page in enumerate(client.pages("time_entries", per_page=10, read_ahead=1)):
        seen += [row["id"] for row in page.rows]
        if number == 0:
            hours += served.service.insert_many("time_entries", [served.hour() for _ in range(15)])
    assert seen == hours


def test_a_window_of_changes_overlaps_what_was_seen(client: KantataClient, served: Firm) -> None:
    hours = served.hours(10, 20)
    served.service.clock.set_at_least(datetime(2026, 3, 1, 12, tzinfo=UTC))
    served.service.update("time_entry", hours[0], {"notes": "later"})
    since = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    assert ids(client.changed("time_entries", since, overlap=timedelta(0))) == []
    assert ids(client.changed("time_entries", since)) == [hours[0]]
    assert ids(client.changed("time_entries", None)) == hours


def test_records_are_found_by_reference_archived_ones_too(client: KantataClient, served: Firm) -> None:
    refs = [f"006{n:03d}" for n in range(250)]
    made = {}
    for ref in refs[::50]:
        reference = {"service_name": "tieout", "service_model": "Opportunity", "service_model_ref": ref}
        made[ref] = client.create("workspaces", {"title": ref, "external_reference": reference})["id"]
    client.update("workspaces", made[refs[0]], {"archived": True})
    before = client.api.calls.reads
    found = client.find_by_reference("workspaces", refs)
    assert client.api.calls.reads - before == 2
    assert {ref: [row["id"] for row in rows] for ref, rows in found.items() if rows} == {
        ref: [id] for ref, id in made.items()
    }
    assert set(found) == set(refs)


def test_a_probe_costs_one_call_of_one_row_and_sees_change_and_deletion(client: KantataClient, served: Firm) -> None:
    hours = served.hours(10, 20)
    before = client.newest_change(["time_entries", "timesheet_submissions"])
    assert before["time_entries"].count == 2
    assert before["timesheet_submissions"].newest is None
    served.service.clock.set_at_least(datetime(2026, 3, 1, tzinfo=UTC))
    served.service.update("time_entry", hours[0], {"notes": "x"})
    after = client.newest_change(["time_entries"])["time_entries"]
    assert (after.id, after.newest) == (hours[0], datetime(2026, 3, 1, tzinfo=UTC))
    assert client.changes_since(["time_entries", "invoices"], datetime(2026, 2, 1, tzinfo=UTC)) == {
        "time_entries": 1,
        "invoices": 0,
    }
    served.service.delete("time_entry", hours[1])
    assert client.newest_change(["time_entries"])["time_entries"].count == 1
    assert client.api.calls.snapshot()["reads"] == 0
    assert client.api.calls.snapshot()["polls"] == 6


def test_events_are_read_since_a_moment(client: KantataClient, served: Firm) -> None:
    served.hours(60)
    pages = client.events(datetime(2026, 1, 1, tzinfo=UTC), ["time_entry:created"])
    assert [row["event_type"] for page in pages for row in page.rows] == ["time_entry:created"]


def test_events_may_come_twice(client: KantataClient, running: RunningSandbox, served: Firm) -> None:
    served.hours(*range(1, 7))
    running.faults.use({"duplicate_delivery": 0.01})
    seen = ids(client.events(datetime(2026, 1, 1, tzinfo=UTC)))
    assert len(seen) > len(set(seen))


def test_the_vendors_clock_is_known_after_an_answer(client: KantataClient, running: RunningSandbox) -> None:
    before = client.server_time
    client.ping()
    after = client.server_time
    assert before is None
    assert after is not None
    assert abs(after - running.service.clock.now()) < timedelta(seconds=2)
    assert parse_time("2020-07-16T17:05:02-07:00") == datetime(2020, 7, 17, 0, 5, 2, tzinfo=UTC)


def test_a_lost_answer_to_a_create_is_uncertain_and_not_sent_again(
    client: KantataClient, running: RunningSandbox, served: Firm
) -> None:
    running.faults.once("lose_reply")
    with pytest.raises(Uncertain):
        client.create("workspaces", {"title": "Lost"})
    assert len(list(served.service.rows("workspaces", "title = 'Lost'"))) == 1


def test_a_lost_answer_to_an_update_is_simply_asked_again(
    client: KantataClient, running: RunningSandbox, served: Firm
) -> None:
    running.faults.once("lose_reply")
    assert client.update("workspaces", served.workspace, {"title": "New"})["title"] == "New"


def test_errors_say_what_to_do_next(client: KantataClient, running: RunningSandbox, served: Firm) -> None:
    with pytest.raises(Invalid) as invalid:
        client.create("workspaces", {"description": "no title"})
    assert invalid.value.fields == ("title",)
    with pytest.raises(Gone):
        client.get("workspaces", "4711")
    with pytest.raises(Refused):
        client.page("external_references")
    reference = {"service_name": "tieout", "service_model": "A", "service_model_ref": "1"}
    field = {"custom_field_id": 1, "value": "x"}
    with pytest.raises(Invalid) as several:
        client.bulk_create("workspaces", [{"title": "a", "external_reference": reference}, {"custom_fields": [field]}])
    assert [problem.index for problem in several.value.problems] == [1]
    unique = served.service.insert(
        "custom_field",
        {"name": "Key", "subject_type": "Workspace", "value_type": "string", "unique_constraint": True},
    )
    client.create("workspaces", {"title": "a", "custom_fields": [{"custom_field_id": unique, "value": "k"}]})
    with pytest.raises(AlreadyThere):
        client.create("workspaces", {"title": "b", "custom_fields": [{"custom_field_id": unique, "value": "k"}]})
    with (
        connect(running, token=Secret("wrong-token-of-nobody")) as stranger,
        pytest.raises(AskPerson, match="token is not accepted") as asked,
    ):
        stranger.ping()
    assert "CONNECTIONS__KANTATA__TOKEN" in asked.value.next_step
    with connect(running, token=Secret(running.store.meta["limited_token"])) as limited, pytest.raises(AskPerson):
        limited.page("subscribed_events")


def test_a_bulk_create_is_matched_by_reference(client: KantataClient, served: Firm) -> None:
    bodies = [
        {
            "workspace_id": served.workspace,
            "title": f"Task {n}",
            "external_reference": {"service_name": "tieout", "service_model": "L", "service_model_ref": f"L{n}"},
        }
        for n in range(300)
    ]
    before = client.api.calls.writes
    page: Page = client.bulk_create("stories", bodies, {"include": "external_references"})
    assert client.api.calls.writes - before == 1
    refs = page.included["external_references"]
    assert [refs[row["external_reference_ids"][0]]["service_model_ref"] for row in page.rows] == [
        f"L{n}" for n in range(300)
    ]
    with pytest.raises(ValueError, match="300"):
        client.bulk_create("stories", [*bodies, bodies[0]])


def test_examining_a_good_account_finds_nothing_wrong(client: KantataClient, served: Firm) -> None:
    findings = SPEC.examine(client, {"read": {"time_entries": []}, "write": {"workspace": ["custom_fields.Paid"]}})
    assert {finding.level for finding in findings} == {"ok"}


def test_examining_says_what_is_missing(client: KantataClient, running: RunningSandbox, served: Firm) -> None:
    field = next(served.service.rows("custom_fields", "name = 'Overdue'"))["id"]
    served.service.delete("custom_field", field)
    wrong = [f for f in SPEC.examine(client, {"write": {"workspace": ["custom_fields.Region"]}}) if f.level != "ok"]
    assert {("'Overdue'" in f.what, "'Region'" in f.what) for f in wrong} == {(True, False), (False, True)}
    assert all(f.fix for f in wrong)
    with connect(running, token=Secret(running.store.meta["limited_token"])) as limited:
        told = " ".join(f.what for f in SPEC.examine(limited, {}) if f.level != "ok")
    assert "hides rates or budgets" in told
    assert "Subscribed events cannot be read" in told
