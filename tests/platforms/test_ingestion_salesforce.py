"""Ingestion against the Salesforce sandbox: pages and bulk, ties, deletes, drift of the schema, and hostile answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ingestion.errors import ColumnRemoved, ConfigError, TruncatedRead, TypeChanged
from ingestion.reading import Options
from platforms.kit.errors import AskPerson, BadAnswer, NotSent
from tests.unit.ingestion.support import Desk, altered

ONLY = ["account"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk = Desk("salesforce", tmp_path, monkeypatch)
    with desk.sandbox:
        yield desk


def _accounts(desk: Desk, *names: str) -> list[str]:
    return [desk.service.insert("Account", {"Name": name, "AnnualRevenue": "10.25"}, actor="") for name in names]


def test_bulk_and_rest_bring_the_same_rows(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.service.insert_many("Account", [{"Name": f'A, "{n}"\nLtd', "AnnualRevenue": n} for n in range(2300)], actor="")
    desk.load(only=ONLY)
    everything = "SELECT * EXCLUDE (_loaded_at) FROM raw_salesforce.account ORDER BY id"
    by_rest = desk.query(everything)
    monkeypatch.setattr("ingestion.sources.salesforce.SalesforceReader.__init__.__kwdefaults__", {"bulk_rows": 1})
    report = desk.load(only=ONLY, full=True)
    assert report.calls["by_outcome"]["POST 200"] == 1, "one bulk job"
    assert desk.query(everything) == by_rest
    assert len(by_rest) == 2300


def test_rows_that_share_a_timestamp_with_the_cursor_are_not_lost(desk: Desk) -> None:
    _accounts(desk, "first")
    desk.load(only=ONLY)
    stamp = desk.one("SELECT max(system_modstamp) FROM raw_salesforce.account")
    late = _accounts(desk, "late")[0]
    # Committed after the read, stamped like the newest row that was read: a strict `>` would never see it.
    desk.service.store.write(
        'UPDATE "Account" SET SystemModstamp = (SELECT SystemModstamp FROM "Account" WHERE Id != ?) WHERE Id = ?',
        (late, late),
    )
    desk.load(only=ONLY)
    assert desk.query("SELECT name, system_modstamp FROM raw_salesforce.account ORDER BY 1") == [
        ("first", stamp),
        ("late", stamp),
    ]


def test_deleted_and_merged_records_stay_with_a_mark(desk: Desk) -> None:
    keeper, loser, gone = _accounts(desk, "keeper", "loser", "gone")
    desk.load(only=ONLY)
    desk.service.delete("Account", gone, actor="")
    desk.service.act("account.merge", keeper, actor="", losers=[loser])
    desk.load(only=ONLY)
    rows = desk.query("SELECT name, _deleted_at IS NULL, master_record_id FROM raw_salesforce.account ORDER BY 1")
    assert rows == [("gone", False, None), ("keeper", True, None), ("loser", False, keeper)]


def test_a_run_without_news_brings_nothing(desk: Desk) -> None:
    _accounts(desk, "a")
    assert desk.load().changed
    assert not desk.load().changed


def test_two_orgs_live_side_by_side(desk: Desk) -> None:
    _accounts(desk, "a", "b")
    desk.also_as("acquired")
    desk.load(only=ONLY)
    desk.load("acquired", only=ONLY)
    _accounts(desk, "c")
    desk.load("acquired", only=ONLY)
    assert desk.query("SELECT _connection, count(*) FROM raw_salesforce.account GROUP BY 1 ORDER BY 1") == [
        ("acquired", 3),
        ("salesforce", 2),
    ]
    assert desk.one("SELECT count(*) FROM raw_salesforce._observed") == 2


def test_a_changed_type_is_refused_and_nothing_is_loaded(desk: Desk) -> None:
    _accounts(desk, "a")
    desk.load(only=ONLY)
    _accounts(desk, "b")
    desk.service.alter_field("Account", "AnnualRevenue", type="string")
    with pytest.raises(TypeChanged, match=r"annual_revenue is declared decimal\(18,2\), but .*is now string"):
        desk.load(only=ONLY)
    assert desk.one("SELECT count(*) FROM raw_salesforce.account") == 1
    desk.service.alter_field("Account", "AnnualRevenue", type="currency")
    desk.load(only=ONLY)
    assert desk.one("SELECT count(*) FROM raw_salesforce.account") == 2


def test_a_removed_field_is_refused_until_a_person_accepts_it(desk: Desk) -> None:
    _accounts(desk, "a")
    desk.load(only=ONLY)
    desk.service.remove_field("Account", "VAT_Number__c")
    with pytest.raises(ColumnRemoved, match=r"account.VAT_Number__c to accept_removed"):
        desk.load(only=ONLY)
    report = desk.load(only=ONLY, options=Options(accept_removed=("account.VAT_Number__c",)))
    assert "account: the platform has no VAT_Number__c; column vat_number__c stays null" in report.schema_changes


def test_a_field_that_was_never_there_is_read_as_null_and_said(desk: Desk) -> None:
    desk.service.remove_field("Account", "VAT_Number__c")
    _accounts(desk, "a")
    report = desk.load(only=ONLY)
    assert desk.query("SELECT vat_number__c FROM raw_salesforce.account") == [(None,)]
    assert any("VAT_Number__c" in change for change in report.schema_changes)


def test_a_new_field_is_reported_and_taken_when_named(desk: Desk) -> None:
    _accounts(desk, "a")
    desk.load(only=ONLY)
    desk.service.add_field("Account", {**_field(desk), "name": "Region__c", "label": "Region"})
    account = _accounts(desk, "b")[0]
    desk.service.update("Account", account, {"Region__c": "North"}, actor="")
    report = desk.load(only=ONLY)
    assert report.schema_changes == [
        "account: the platform has a new field Region__c; name it in extra_columns to take it"
    ]
    report = desk.load(only=ONLY, options=Options(extra_columns=("account.Region*",)), full=True)
    assert "account: new column region__c from Region__c" in report.schema_changes
    assert desk.query("SELECT name, region__c FROM raw_salesforce.account ORDER BY 1") == [("a", None), ("b", "North")]


def _field(desk: Desk) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(desk.service.object("Account").by_name["VAT_Number__c"])


def test_a_bad_row_is_set_aside_with_its_reason_and_released_when_it_is_right_again(desk: Desk) -> None:
    good, bad = _accounts(desk, "good", "bad")

    def garble(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if "FROM+Account" not in str(request.url) or b'"Name":"bad"' not in response.content.replace(b" ", b""):
            return response
        body = json.loads(response.content)
        for record in body["records"]:
            if record.get("Id") == bad:
                record["AnnualRevenue"] = "a lot"
        return altered(response, json.dumps(body).encode())

    report = desk.load(only=ONLY, tamper=garble)
    assert [(row["record_id"], row["rule"]) for row in report.quarantined] == [(bad, "type")]
    assert desk.query("SELECT id FROM raw_salesforce.account") == [(good,)]
    assert desk.query("SELECT record_id, rule, reason FROM raw_salesforce.quarantine") == [
        (bad, "type", "annual_revenue: a number expected, not 'a lot'")
    ]
    desk.load(only=ONLY)
    assert desk.one("SELECT count(*) FROM raw_salesforce.account") == 2
    assert desk.one("SELECT count(*) FROM raw_salesforce.quarantine WHERE _deleted_at IS NULL") == 0


def test_an_answer_with_rows_missing_is_an_error_and_the_cursor_stays(desk: Desk) -> None:
    _accounts(desk, "a", "b", "c")

    def shorten(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if "FROM+Account" not in str(request.url) or b'"records"' not in response.content:
            return response
        body = json.loads(response.content)
        body["records"] = body["records"][:1]
        return altered(response, json.dumps(body).encode())

    with pytest.raises(TruncatedRead, match=r"counts 3 rows of Account.*but 1 arrived"):
        desk.load(only=ONLY, tamper=shorten)
    desk.load(only=ONLY)
    assert desk.one("SELECT count(*) FROM raw_salesforce.account") == 3


def test_a_page_of_html_is_named_for_what_it_is(desk: Desk) -> None:
    def maintenance(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if "oauth2" in str(request.url):
            return response
        return altered(response, b"<html>Down for maintenance</html>", **{"content-type": "text/html"})

    with pytest.raises(BadAnswer, match=r"text/html"):
        desk.load(only=ONLY, tamper=maintenance)


def test_wrong_credentials_ask_for_a_person_and_do_not_show_the_secret(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTIONS__SALESFORCE__CLIENT_SECRET", "planted-secret-4711")
    with pytest.raises(AskPerson) as caught:
        desk.load(only=ONLY)
    assert "planted-secret-4711" not in str(caught.value)


def test_an_unreachable_platform_is_said_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTIONS__SALESFORCE__BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(NotSent):
        desk.load(only=ONLY)


def test_a_missing_setting_is_named_with_its_environment_variable(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNECTIONS__SALESFORCE__BASE_URL")
    with pytest.raises(ConfigError, match="CONNECTIONS__SALESFORCE__BASE_URL"):
        desk.load(only=ONLY)
