"""The answers' shape: envelope, paging, order, includes, filters, errors, bodies."""

from __future__ import annotations

from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platforms.kantata.sandbox.app import VERBS, parse_form
from platforms.kantata.sandbox.brainstem import Engine, Query
from platforms.kantata.sandbox.presenters import PRESENTERS
from platforms.kantata.sandbox.schema import TABLES
from platforms.kit.registry import Limits
from platforms.kit.sandbox.server import RunningSandbox
from tests.platforms.kantata.firm import Firm

NEEDED = {"subject_type": "Workspace", "estimate_scenario_id": "1"}


def get(raw: httpx.Client, path: str, status: int = 200, /, **params: Any) -> dict[str, Any]:
    answer = raw.get(path, params=params)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ids(body: dict[str, Any]) -> list[str]:
    return [item["id"] for item in body["results"]]


# ---- envelope -------------------------------------------------------------------------------------------------------


def test_every_collection_answers_an_empty_page_in_the_envelope(raw: httpx.Client) -> None:
    future = {"created_after": "2999-01-01T00:00:00Z", "updated_after": "2999-01-01T00:00:00Z"}
    for name in (name for name, verbs in VERBS.items() if "L" in verbs):
        for spelling in (name, f"{name}.json"):
            body = get(raw, spelling, **NEEDED, **future)
            assert set(body) == {"count", "results", name, "meta"}, name
            if TABLES[name].timestamps:
                assert (body["results"], body[name], body["count"]) == ([], {}, 0), name
                assert body["meta"] == {"count": 0, "page_count": 0, "page_number": 0, "page_size": 20}, name


def test_order_is_only_in_results_and_ids_are_texts(raw: httpx.Client, served: Firm) -> None:
    hours = served.hours(10, 20, 30)
    body = get(raw, "time_entries", order="date_performed:asc")
    assert ids(body) == hours  # one day: ties in id order
    assert ids(get(raw, "time_entries", order="date_performed:desc")) == hours
    row = body["time_entries"][hours[0]]
    assert body["results"][0] == {"key": "time_entries", "id": hours[0]}
    assert (row["id"], row["workspace_id"], row["user_id"]) == (hours[0], served.workspace, served.worker)
    assert "invoice_id" not in row
    assert row["created_at"].endswith("-08:00")
    assert "." not in row["created_at"]


def test_plain_numbers_stay_numbers(raw: httpx.Client, served: Firm) -> None:
    workspace = get(raw, f"workspaces/{served.workspace}")["workspaces"][served.workspace]
    assert workspace["account_id"] == 7010001
    assert workspace["rate_card_id"] == int(served.card)
    assert workspace["creator_id"] == "1"
    assert workspace["price"] == "$17,103"
    assert workspace["status"] == {"key": 100, "message": "Backlog", "color": "grey"}


def test_includes_side_load_with_their_key_even_when_empty(raw: httpx.Client, served: Firm) -> None:
    body = get(raw, "workspaces", include="participants,workspace_groups,custom_field_values,no_such_thing")
    row = body["workspaces"][served.workspace]
    assert set(row["participant_ids"]) == {"1", served.lead, served.worker}
    assert row["workspace_group_ids"] == [served.client]
    assert row["custom_field_value_ids"] == []
    assert body["custom_field_values"] == {}
    assert set(body["users"]) == set(row["participant_ids"])
    assert "no_such_thing" not in body
    assert "participant_ids" not in get(raw, "workspaces")["workspaces"][served.workspace]


def test_side_loaded_objects_of_the_same_kind_are_in_the_map_and_not_in_results(
    raw: httpx.Client, served: Firm
) -> None:
    child = served.service.insert(
        "story", {"workspace_id": served.workspace, "title": "Part", "parent_id": served.story}
    )
    body = get(raw, "stories", include="sub_stories", parents_only="true")
    assert ids(body) == [served.story]
    assert set(body["stories"]) == {served.story, child}


def test_optional_fields_are_asked_for_and_unknown_ones_ignored(raw: httpx.Client, served: Firm) -> None:
    plain = get(raw, "workspaces")["workspaces"][served.workspace]
    more = get(raw, "workspaces", optional_fields="stage,minutes_logged,nonsense")["workspaces"][served.workspace]
    assert set(more) - set(plain) == {"stage", "minutes_logged"}


def test_a_polymorphic_subject_is_a_ref_with_its_own_collection(raw: httpx.Client, served: Firm) -> None:
    reference = {"service_name": "tieout", "service_model": "Opportunity", "service_model_ref": "006"}
    served.service.update("workspace", served.workspace, {"external_reference": reference})
    body = get(raw, "external_references", subject_type="Workspace", include="subject")
    (row,) = body["external_references"].values()
    assert row["subject_id"] == int(served.workspace)
    assert row["subject_ref"] == {"key": "workspaces", "id": served.workspace}
    assert served.workspace in body["workspaces"]
    assert get(raw, "external_references", 400)["errors"][0]["type"] == "system"


def test_exceptions_to_the_envelope(raw: httpx.Client, served: Firm) -> None:
    assert get(raw, "invoices/next_invoice_number") == {"next_invoice_number": "00001"}
    submission, _ = served.sheet(60)
    answer = raw.post("timesheet_approvals", json={"resolution": {"submission_ids": [submission]}})
    assert isinstance(answer.json()["resolutions"], list)
    table = served.service.insert("exchange_table", {"title": "Monthly"})
    served.service.insert(
        "exchange_rate",
        {
            "exchange_table_id": table,
            "source_currency": "EUR",
            "target_currency": "USD",
            "effective_date": "2026-01-01",
            "rate": "1.085",
        },
    )
    body = get(raw, f"foreign_exchange/exchange_tables/{table}/rates")
    assert body["results"][0]["key"] == "exchange_rate"
    assert next(iter(body["exchange_rates"].values()))["rate"] == 1.085


# ---- paging ---------------------------------------------------------------------------------------------------------


def test_odd_paging_is_clamped_and_never_an_error(raw: httpx.Client, served: Firm) -> None:
    served.hours(*range(1, 26))
    odd: list[tuple[dict[str, str], int, int]] = [
        ({}, 20, 1),
        ({"per_page": "5000"}, 200, 1),
        ({"per_page": "0"}, 20, 1),
        ({"per_page": "-3"}, 20, 1),
        ({"per_page": "many"}, 20, 1),
        ({"per_page": "7", "page": "0"}, 7, 1),
        ({"per_page": "7", "page": "-1"}, 7, 1),
        ({"per_page": "7", "page": "999"}, 7, 999),
    ]
    for asked, size, number in odd:
        meta = get(raw, "time_entries", **asked)["meta"]
        assert (meta["page_size"], meta["page_number"], meta["count"]) == (size, number, 25), asked
        assert meta["page_count"] == -(-25 // size), asked


def test_limit_and_offset_count_only_together(raw: httpx.Client, served: Firm) -> None:
    hours = served.hours(*range(1, 11))
    asked = {"order": "created_at:asc"}
    assert ids(get(raw, "time_entries", **asked, limit=3, offset=2)) == hours[2:5]
    assert ids(get(raw, "time_entries", **asked, limit=3)) == hours
    assert ids(get(raw, "time_entries", **asked, offset=3)) == hours
    meta = get(raw, "time_entries", **asked, limit=3, offset=2)["meta"]
    assert (meta["page_count"], meta["page_size"]) == (1, 20)  # the page count still follows per_page


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.lists(st.integers(1, 4), min_size=1, max_size=40),
    per_page=st.integers(1, 12),
    order=st.sampled_from(
        ["date_performed:asc", "date_performed:desc", "created_at:asc", "created_at:desc", "updated_at:desc", "x:y", ""]
    ),
    start=st.integers(1, 5),
)
def test_pages_in_any_order_hold_every_row_once_with_ties_in_id_order(
    firm: Firm, days: list[int], per_page: int, order: str, start: int
) -> None:
    service = firm.service
    service.store.write("DELETE FROM time_entries")
    service.insert_many("time_entries", [firm.hour(date_performed=f"2026-02-{d:02d}") for d in days])
    engine = Engine(service, PRESENTERS)

    def page(number: int) -> list[str]:
        asked = [("per_page", str(per_page)), ("page", str(number)), ("order", order)]
        return ids(engine.index("time_entries", Query(asked)))

    pages = -(-len(days) // per_page)
    page(min(start, pages))  # a page out of turn must not disturb the others
    seen = [id for number in range(1, pages + 2) for id in page(number)]
    rows = list(service.rows("time_entries"))
    column, _, direction = (order if order.partition(":")[0] in rows[0] else "date_performed:desc").partition(":")
    rows.sort(key=lambda row: int(row["id"]))
    rows.sort(key=lambda row: row[column], reverse=direction == "desc")
    assert seen == [row["id"] for row in rows]


def test_counts_follow_every_write(raw: httpx.Client, served: Firm) -> None:
    for expected in (1, 2, 3):
        served.hours(60)
        assert get(raw, "time_entries")["count"] == expected


# ---- filters --------------------------------------------------------------------------------------------------------


def test_flag_filters_ignore_their_value(raw: httpx.Client, served: Firm) -> None:
    approved, loose = served.approved(60), served.hours(30)
    for value in ("true", "false", "0", ""):
        assert ids(get(raw, "time_entries", approved=value)) == approved
        assert ids(get(raw, "time_entries", invoiced=value)) == []
        assert len(ids(get(raw, "time_entries", uninvoiced=value))) == 2
    served.service.update("workspace", served.workspace, {"require_time_approvals": False})
    assert set(ids(get(raw, "time_entries", approved="true"))) == {*approved, *loose}
    assert ids(get(raw, "time_entries", billable="false")) == []  # a real boolean


def test_only_leaves_out_what_is_hidden_and_show_answers_404(raw: httpx.Client, served: Firm) -> None:
    served.service.act("workspace.archive", served.workspace)
    hours_hidden = get(raw, "time_entries")
    assert hours_hidden["count"] == 0
    assert ids(get(raw, "workspaces", only=f"{served.workspace},9999")) == []
    assert get(raw, f"workspaces/{served.workspace}", 404)["errors"][0]["type"] == "system"
    for switch in ({"include_archived": "true"}, {"archived": "include"}, {"archived": "only"}):
        assert ids(get(raw, "workspaces", only=served.workspace, **switch)) == [served.workspace]
    assert ids(get(raw, f"workspaces/{served.workspace}", include_archived="true")) == [served.workspace]


def test_deleted_tasks_and_inactive_members_are_shown_on_request(raw: httpx.Client, served: Firm) -> None:
    served.service.delete("story", served.story)
    assert ids(get(raw, "stories")) == []
    assert get(raw, "stories", show_deleted="true")["stories"][served.story]["deleted_at"]
    member = next(served.service.rows("account_memberships", "user_id = ?", (int(served.worker),)))["id"]
    served.service.act("account_membership.disable", member)
    everybody = get(raw, "account_memberships", only_active="false")["count"]
    assert get(raw, "account_memberships")["count"] == everybody - 1
    assert ids(get(raw, "account_memberships", only_inactive="true")) == [member]


def test_references_are_found_up_to_200_refs_a_call(raw: httpx.Client, served: Firm) -> None:
    made = {}
    for number in range(5):
        reference = {"service_name": "tieout", "service_model": "Opportunity", "service_model_ref": f"006{number}"}
        made[f"006{number}"] = served.service.insert("workspace", {"title": "W", "external_reference": reference})
    refs = ",".join(["0061", "0063", "nothing"])
    body = get(
        raw,
        "workspaces",
        external_reference_service_name="tieout",
        external_reference_service_model_refs=refs,
        include="external_references",
    )
    assert set(ids(body)) == {made["0061"], made["0063"]}
    assert get(raw, "workspaces", has_external_references="false")["count"] == 1
    assert get(raw, "workspaces", without_external_reference_service_name="tieout")["count"] == 1


def test_custom_text_values_filter_their_parents(raw: httpx.Client, served: Firm) -> None:
    field = next(served.service.rows("custom_fields", "name = 'Billing Type'"))["id"]
    values = [{"custom_field_id": field, "value": "Milestone"}]
    wanted = served.service.insert("workspace", {"title": "M", "custom_fields": values})
    assert ids(get(raw, "workspaces", by_custom_text_value="(Billing Type:Milestone)")) == [wanted]


def test_changed_rows_come_from_their_second_on(raw: httpx.Client, served: Firm) -> None:
    stamp = get(raw, "workspaces")["workspaces"][served.workspace]["updated_at"]
    assert ids(get(raw, "workspaces", updated_after=stamp)) == [served.workspace]
    assert ids(get(raw, "workspaces", updated_before="2020-01-01T00:00:00Z")) == []
    assert get(raw, "workspaces", 400, updated_after="yesterday")["errors"][0]["type"] == "system"


def test_search_works_where_it_is_offered_and_is_an_error_elsewhere(raw: httpx.Client, served: Firm) -> None:
    assert ids(get(raw, "workspaces", search="rollo", order="created_at:desc")) == [served.workspace]
    assert get(raw, "time_entries", 503, search="x")["errors"][0]["type"] == "system"


def test_a_waiting_submission_is_new_in_filters_and_pending_in_its_text(raw: httpx.Client, served: Firm) -> None:
    waiting, hours = served.sheet(60)
    for asked in ("new", "pending", "new,approved"):
        body = get(raw, "timesheet_submissions", status=asked, include="time_entries")
        assert body["timesheet_submissions"][waiting]["status"] == "pending"
        assert body["timesheet_submissions"][waiting]["time_entry_ids"] == hours
    assert get(raw, "timesheet_submissions", status="approved")["count"] == 0
    done = raw.put(f"timesheet_submissions/{waiting}/approve", json={"resolution": {"description": "fine"}})
    assert done.json()["timesheet_submissions"][waiting]["current_resolution_status"] == "approved"
    assert raw.put(f"timesheet_submissions/{waiting}/cancel").status_code == 422


def test_the_card_version_in_force_on_a_day_is_found(raw: httpx.Client, served: Firm) -> None:
    for day, expected in (("2024-12-31", []), ("2025-12-31", ["1"]), ("2026-01-01", ["2"])):
        assert ids(get(raw, "rate_card_set_versions", effective_on_date=day, rate_card_set_id="1")) == expected


def test_accounting_records_are_in_main_units_and_deleted_ones_come_alone(raw: httpx.Client, served: Firm) -> None:
    body = {"workspace_id": served.workspace, "start_date": "2026-01-01", "end_date": "2026-01-31", "amount": "-10.50"}
    kept = ids(raw.post("project_accounting_records", json={"project_accounting_record": body}).json())[0]
    dropped = ids(raw.post("project_accounting_records", json={"project_accounting_record": body}).json())[0]
    assert raw.delete(f"project_accounting_records/{dropped}").status_code == 204
    shown = get(raw, "project_accounting_records", start_date_between="2026-01-01;")
    assert {id: row["amount"] for id, row in shown["project_accounting_records"].items()} == {kept: -10.5}
    assert ids(get(raw, "project_accounting_records", show_deleted="true")) == [dropped]
    assert ids(get(raw, "project_accounting_records", start_date_between=";2025-12-31")) == []


def test_a_currency_without_cents_has_base_unit_one(raw: httpx.Client, served: Firm) -> None:
    made = raw.post("workspaces", json={"workspace": {"title": "Tokyo", "currency": "JPY", "price": 1200}})
    (row,) = made.json()["workspaces"].values()
    assert (row["price_in_cents"], row["currency_base_unit"], row["price"]) == (1200, 1, "¥1,200")


def test_the_newest_event_of_each_subject_can_be_asked_for(raw: httpx.Client, served: Firm) -> None:
    (hour,) = served.hours(60)
    served.service.update("time_entry", hour, {"notes": "b"})
    asked = {"subject_type": "TimeEntry", "subject_id": hour}
    assert get(raw, "subscribed_events", **asked)["count"] == 2
    newest = get(raw, "subscribed_events", **asked, most_recent="true", optional_fields="payload_changes")
    (event,) = newest["subscribed_events"].values()
    assert event["payload_changes"] == {"notes": {"from": None, "to": "b"}}
    both = {"most_recent": "true", "most_recent_by_event_type": "true"}
    assert get(raw, "subscribed_events", 400, **both)["errors"][0]["type"] == "system"


def test_invoice_filters_know_paid_pending_and_drafts(raw: httpx.Client, served: Firm) -> None:
    made = {}
    for name, draft in (("draft", True), ("paid", False), ("open", False), ("gone", False)):
        body = {"workspace_id": served.workspace, "payment_schedule": 30, "draft": draft}
        body["additional_items"] = [{"notes": name, "amount": 10}]
        made[name] = ids(raw.post("invoices", json={"invoice": body}).json())[0]
    raw.post(
        "external_payments", json={"external_payment": {"workspace_id": served.workspace, "invoice_id": made["paid"]}}
    )
    raw.put(f"invoices/{made['gone']}/cancel")
    assert ids(get(raw, "invoices", paid="false")) == [made["paid"]]
    assert ids(get(raw, "invoices", pending="true")) == [made["open"]]
    assert set(ids(get(raw, "invoices", without_drafts="true"))) == {made["paid"], made["open"], made["gone"]}
    item = get(raw, f"invoices/{made['open']}", include="additional_items")["additional_items"]
    assert [one["amount_in_cents"] for one in item.values()] == [1000]  # written in main units, read in cents


# ---- bodies, errors, permission -------------------------------------------------------------------------------------


def test_json_and_rails_forms_make_the_same_record(raw: httpx.Client, served: Firm) -> None:
    form = {
        "workspace[title]": "By form",
        "workspace[budgeted]": "true",
        "workspace[price]": "1200.50",
        "workspace[workspace_group_ids][]": served.client,
        "workspace[external_reference][service_name]": "other",
        "workspace[external_reference][service_model_ref]": "9",
        "workspace[no_such_attribute]": "ignored",
    }
    answer = raw.post("workspaces", data=form)
    assert answer.status_code == 200
    (row,) = answer.json()["workspaces"].values()
    assert (row["title"], row["price_in_cents"], row["budgeted"]) == ("By form", 120_050, True)


def test_nested_forms_become_lists_and_maps() -> None:
    pairs = [("i[items][][notes]", "a"), ("i[items][][amount]", "1"), ("i[items][][notes]", "b"), ("i[ids][]", "1")]
    pairs += [("rows[0][x]", "p"), ("rows[1][x]", "q")]
    assert parse_form(pairs) == {
        "i": {"items": [{"notes": "a", "amount": "1"}, {"notes": "b"}], "ids": ["1"]},
        "rows": [{"x": "p"}, {"x": "q"}],
    }


def test_a_refusal_names_field_and_position(raw: httpx.Client, served: Firm) -> None:
    answer = raw.post("workspaces", json={"workspace": {"description": "no title"}})
    assert answer.status_code == 422
    assert answer.json() == {"errors": [{"type": "validation", "message": "Title can't be blank", "field": "title"}]}
    rows = [served.hour(), served.hour(time_in_minutes=0)]
    bulk = raw.post("time_entries", json={"time_entries": rows})
    assert [error["index"] for error in bulk.json()["errors"]] == [1]
    assert get(raw, "time_entries")["count"] == 0  # all or nothing by default


def test_bulk_bodies_have_their_limits(raw: httpx.Client, served: Firm) -> None:
    rows = [{"workspace_id": served.workspace, "title": f"t{n}"} for n in range(301)]
    assert raw.post("stories", json={"stories": rows}).status_code == 400
    assert raw.post("stories", json={"stories": rows[:300]}).json()["count"] == 300


def test_deleting_many_is_all_or_nothing(raw: httpx.Client, served: Firm) -> None:
    hours = served.hours(10, 20)
    assert raw.delete("time_entries", params={"ids": f"{hours[0]},9999"}).status_code == 404
    assert get(raw, "time_entries")["count"] == 2
    assert raw.delete("time_entries", params={"ids": ",".join(hours)}).status_code == 204
    assert get(raw, "time_entries")["count"] == 0


def test_the_same_post_twice_makes_two_records(raw: httpx.Client, served: Firm) -> None:
    body = {"workspace": {"title": "Once?"}}
    assert ids(raw.post("workspaces", json=body).json()) != ids(raw.post("workspaces", json=body).json())


def test_a_wrong_token_and_a_wrong_path_speak_the_vendors_language(raw: httpx.Client) -> None:
    answer = raw.get("users/me", headers={"Authorization": "Bearer nobody"})
    assert answer.status_code == 401
    assert answer.json() == {"errors": [{"type": "oauth", "message": "Invalid OAuth 2 Request"}]}
    assert answer.headers["x-request-id"]
    assert answer.headers["x-runtime"]
    assert get(raw, "no_such_route", 404)["errors"][0]["type"] == "system"


def test_who_may_not_see_money_gets_objects_without_it(running: RunningSandbox, served: Firm) -> None:
    served.hours(60)
    token = running.store.meta["limited_token"]
    with httpx.Client(
        base_url=f"{running.url}/api/v1", headers={"Authorization": f"Bearer {token}"}, trust_env=False
    ) as limited:
        (workspace,) = limited.get("workspaces").json()["workspaces"].values()
        assert not {"price", "price_in_cents", "budget_used_in_cents", "default_rate"} & set(workspace)
        (entry,) = limited.get("time_entries").json()["time_entries"].values()
        assert not {"rate_in_cents", "cost_rate_in_cents"} & set(entry)
        assert limited.get("subscribed_events").status_code == 403
        invoice = {"workspace_id": served.workspace, "payment_schedule": 0}
        assert limited.post("invoices", json={"invoice": invoice}).status_code == 403


def test_the_authorization_code_flow_gives_the_token_once(running: RunningSandbox) -> None:
    meta = running.store.meta
    with httpx.Client(base_url=running.url, trust_env=False) as browser:
        consent = browser.get(
            "/oauth/authorize",
            params={"client_id": meta["client_id"], "response_type": "code", "redirect_uri": "http://127.0.0.1/back"},
        )
        code = httpx.URL(consent.headers["location"]).params["code"]
        form = {
            "grant_type": "authorization_code",
            "client_id": meta["client_id"],
            "client_secret": meta["client_secret"],
            "code": code,
            "redirect_uri": "http://127.0.0.1/back",
        }
        assert browser.post("/oauth/token", data=form).json() == {
            "access_token": meta["token"],
            "token_type": "bearer",
        }
        assert browser.post("/oauth/token", data=form).status_code == 400


def test_too_many_requests_are_turned_away_in_the_vendors_shape(running: RunningSandbox, raw: httpx.Client) -> None:
    running.app.limits = Limits(requests_per_second=0.001, burst=1)
    answers = [raw.get("users/me") for _ in range(3)]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["errors"][0]["type"] == "system"
    running.app.limits = Limits(requests_per_second=1_000_000, burst=1_000_000)
    limited = [raw.post("workspaces", json={"workspace": {}}).status_code for _ in range(60)]
    assert 429 in limited  # making projects has a limit of its own
    assert {raw.get("users/me").status_code for _ in range(5)} == {200}
