"""The REST API as a stranger sees it: shapes, statuses, pages, partial failure, allowances."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from platforms.kit.sandbox.server import RunningSandbox
from platforms.salesforce.sandbox.schema import text
from platforms.salesforce.sandbox.service import SalesforceService

ACCOUNT = {"attributes": {"type": "Account"}}


def query(http: httpx.Client, soql: str, **headers: str) -> dict[str, Any]:
    answer = http.get("/query", params={"q": soql}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_pages_neither_lose_nor_repeat_rows_of_one_second_while_others_write(
    org: RunningSandbox, http: httpx.Client
) -> None:
    ids = org.service.insert_many("Account", ({"Name": f"A{n}"} for n in range(701)), actor="")
    page = query(http, "SELECT Id FROM Account ORDER BY SystemModstamp", **{"Sforce-Query-Options": "batchSize=200"})
    sizes, seen = [], []
    for turn in itertools.count():
        sizes.append(len(page["records"]))
        seen += [one["Id"] for one in page["records"]]
        if page["done"]:
            break
        org.service.insert("Account", {"Name": "in between"}, actor="")
        org.service.update("Account", ids[turn], {"Name": "moved to the end"}, actor="")
        page = http.get(org.url + page["nextRecordsUrl"]).json()
    assert sizes == [200, 200, 200, 101]
    assert seen == ids
    assert "nextRecordsUrl" not in page


def test_a_cursor_can_be_asked_again_and_a_made_up_one_is_refused(org: RunningSandbox, http: httpx.Client) -> None:
    org.service.insert_many("Account", ({"Name": f"A{n}"} for n in range(2_500)), actor="")
    following = query(http, "SELECT Id FROM Account")["nextRecordsUrl"]
    assert http.get(org.url + following).json() == http.get(org.url + following).json()
    refused = http.get("/query/0r8xx0000000001AAA-2000")
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


def test_query_all_shows_the_deleted_and_its_pages_go_on_doing_so(org: RunningSandbox, http: httpx.Client) -> None:
    ids = org.service.insert_many("Account", ({"Name": f"A{n}"} for n in range(2_100)), actor="")
    org.service.delete("Account", ids[-1], actor="")
    first = http.get("/queryAll/", params={"q": "SELECT Id, IsDeleted FROM Account"}).json()
    assert first["totalSize"] == 2_100
    assert "/query/" in first["nextRecordsUrl"]
    assert http.get(org.url + first["nextRecordsUrl"]).json()["records"][-1]["IsDeleted"] is True


def test_a_record_is_made_read_changed_and_deleted(http: httpx.Client) -> None:
    made = http.post("/sobjects/Account/", json={"Name": "Acme", "AnnualRevenue": 12})
    assert (made.status_code, sorted(made.json())) == (201, ["errors", "id", "success"])
    address = f"/sobjects/account/{made.json()['id']}"
    assert http.patch(address, json={"Name": "Beta", "Phone": None}).status_code == 204
    read = http.get(address, params={"fields": "Name,AnnualRevenue,CreatedDate"})
    assert read.json()["Name"] == "Beta"
    assert '"AnnualRevenue":12.0' in read.text
    assert read.json()["CreatedDate"].endswith(".000+0000")
    assert read.headers["content-type"] == "application/json;charset=UTF-8"
    assert http.delete(address).status_code == 204
    gone = http.delete(address)
    assert (gone.status_code, gone.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")
    assert http.get("/sobjects/Account/nonsense").json()[0]["errorCode"] == "NOT_FOUND"
    assert http.post(address, json={}).status_code == 405
    assert http.post("/sobjects/Account", content=b"{nope").json()[0]["errorCode"] == "JSON_PARSER_ERROR"


def test_a_change_since_the_date_given_is_not_overwritten(org: RunningSandbox, http: httpx.Client) -> None:
    account = org.service.insert("Account", {"Name": "Acme"}, actor="")
    seen = http.get(f"/sobjects/Account/{account}").headers["date"]
    org.service.update("Account", account, {"Name": "moved"}, actor="")
    late = http.patch(f"/sobjects/Account/{account}", json={"Name": "mine"}, headers={"If-Unmodified-Since": seen})
    assert late.status_code == 412
    seen = http.get(f"/sobjects/Account/{account}").headers["date"]
    assert http.get(f"/sobjects/Account/{account}", headers={"If-Modified-Since": seen}).status_code == 304
    again = http.patch(f"/sobjects/Account/{account}", json={"Name": "mine"}, headers={"If-Unmodified-Since": seen})
    assert again.status_code == 204


def test_an_upsert_answers_as_its_api_version_does(
    org: RunningSandbox, rules: SalesforceService, http: httpx.Client
) -> None:
    path = "/sobjects/Account/Ext_Key__c/a%2Fb c"
    first = http.patch(path, json={"Name": "Acme"})
    assert (first.status_code, first.json()["created"]) == (201, True)
    second = http.patch(path, json={"Name": "Acme"})
    assert (second.status_code, second.json()["created"], second.json()["id"]) == (200, False, first.json()["id"])
    assert http.patch(f"{org.url}/services/data/v45.0{path}", json={"Name": "Acme"}).status_code == 204
    assert http.get(path).json()["Ext_Key__c"] == "a/b c"
    assert http.patch("/sobjects/Account/Ext_Key__c/new?updateOnly=true", json={"Name": "x"}).status_code == 404
    assert http.patch("/sobjects/Account/Nope__c/1", json={"Name": "x"}).status_code == 404
    inside = http.patch(path, json={"Name": "x", "Ext_Key__c": "y"})
    assert inside.json()[0]["errorCode"] == "INVALID_FIELD"
    rules.add_field("Account", text("Loose__c", 20, external_id=True))
    org.service.insert_many("Account", [{"Name": n, "Loose__c": "L"} for n in "ab"], actor="")
    several = http.patch("/sobjects/Account/Loose__c/L", json={"Name": "x"})
    assert several.status_code == 300
    assert all(one.startswith("/services/data/v67.0/sobjects/Account/001") for one in several.json())


def test_a_collection_answers_row_by_row_in_order(org: RunningSandbox, http: httpx.Client) -> None:
    rows = [{**ACCOUNT, "Name": "a"}, dict(ACCOUNT), {**ACCOUNT, "Name": "c", "Payment_Terms__c": "never"}]
    answer = http.post("/composite/sobjects", json={"allOrNone": False, "records": rows})
    assert answer.status_code == 200
    assert [one["success"] for one in answer.json()] == [True, False, False]
    assert answer.json()[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert answer.json()[2]["errors"][0]["fields"] == ["Payment_Terms__c"]
    assert [row["Name"] for row in org.service.rows("Account")] == ["a"]


def test_a_collection_that_is_all_or_none_leaves_nothing_of_a_failure(org: RunningSandbox, http: httpx.Client) -> None:
    rows = [{**ACCOUNT, "Name": "a"}, dict(ACCOUNT)]
    answer = http.post("/composite/sobjects", json={"allOrNone": True, "records": rows}).json()
    codes = [one["errors"][0]["statusCode"] for one in answer]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert list(org.service.rows("Account")) == []


def test_collections_upsert_update_read_and_delete(http: httpx.Client) -> None:
    rows = [{**ACCOUNT, "Name": n, "Ext_Key__c": n} for n in "abc"]
    made = http.patch("/composite/sobjects/Account/Ext_Key__c", json={"records": rows}).json()
    again = http.patch("/composite/sobjects/Account/Ext_Key__c", json={"records": rows}).json()
    assert [one["created"] for one in made + again] == [True] * 3 + [False] * 3
    ids = [one["id"] for one in made]
    changes = [{**ACCOUNT, "id": one, "Industry": "Banking"} for one in ids]
    assert all(one["success"] for one in http.patch("/composite/sobjects", json={"records": changes}).json())
    http.delete("/composite/sobjects", params={"ids": ids[1]})
    read = http.post("/composite/sobjects/Account", json={"ids": ids, "fields": ["Name", "Industry"]}).json()
    assert [one and one["Name"] for one in read] == ["a", None, "c"]
    gone = http.delete("/composite/sobjects", params={"ids": ",".join(ids), "allOrNone": "false"}).json()
    assert [one["success"] for one in gone] == [True, False, True]
    too_many = http.post("/composite/sobjects", json={"records": rows * 67})
    assert (too_many.status_code, too_many.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")


def test_locked_rows_of_a_batch_fail_alone_and_heal(org: RunningSandbox, http: httpx.Client) -> None:
    ids = org.service.insert_many("Account", [{"Name": f"A{n}"} for n in range(100)], actor="")
    org.faults.use({"name": "locks", "partial_batch": 0.2})
    left, turns = set(ids), 0
    while left:
        rows = [{**ACCOUNT, "Id": one, "Industry": "Banking"} for one in sorted(left)]
        answer = http.patch("/composite/sobjects", json={"records": rows}).json()
        bad = {str(row["Id"]) for row, one in zip(rows, answer, strict=True) if not one["success"]}
        assert all(one["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW" for one in answer if not one["success"])
        left, turns = bad, turns + 1
    assert 2 <= turns <= 8
    assert all(row["Industry"] == "Banking" for row in org.service.rows("Account"))


def test_composite_calls_refer_to_each_other_and_fail_together(org: RunningSandbox, http: httpx.Client) -> None:
    def part(reference: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return {"method": method, "url": f"/services/data/v67.0{path}", "referenceId": reference, "body": body}

    parts = [
        part("acme", "POST", "/sobjects/Account", {"Name": "Acme"}),
        part("ada", "POST", "/sobjects/Contact", {"LastName": "Ada", "AccountId": "@{acme.id}"}),
        part("look", "GET", "/query?q=SELECT+Id+FROM+Contact+WHERE+AccountId='@{acme.id}'"),
        part("again", "GET", "/sobjects/Contact/@{look.records[0].Id}"),
        part("wrong", "GET", "/sobjects/Contact/@{nobody.id}"),
    ]
    answer = http.post("/composite", json={"compositeRequest": parts}).json()["compositeResponse"]
    assert [one["httpStatusCode"] for one in answer] == [201, 201, 200, 200, 400]
    assert answer[3]["body"]["LastName"] == "Ada"
    assert answer[4]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    parts = [parts[0], part("bad", "POST", "/sobjects/Account", {})]
    answer = http.post("/composite", json={"allOrNone": True, "compositeRequest": parts}).json()["compositeResponse"]
    assert [one["body"][0]["errorCode"] for one in answer] == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert len(list(org.service.rows("Account"))) == 1


def test_a_batch_stops_at_an_error_only_when_asked(http: httpx.Client) -> None:
    requests = [{"method": "GET", "url": "v67.0/sobjects/Nope/describe"}, {"method": "GET", "url": "v67.0/limits"}]
    free = http.post("/composite/batch", json={"batchRequests": requests}).json()
    assert [one["statusCode"] for one in free["results"]] == [404, 200]
    halted = http.post("/composite/batch", json={"batchRequests": requests, "haltOnError": True}).json()
    assert halted["results"][1]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
    assert halted["hasErrors"] is True


def test_a_tree_is_planted_whole_or_not_at_all(org: RunningSandbox, http: httpx.Client) -> None:
    def tree(last_name: str | None) -> dict[str, Any]:
        child = {"attributes": {"type": "Contact", "referenceId": "c"}, "LastName": last_name}
        root = {"attributes": {"type": "Account", "referenceId": "a"}, "Name": "Acme", "Contacts": {"records": [child]}}
        return {"records": [root]}

    bad = http.post("/composite/tree/Account", json=tree(None))
    assert (bad.status_code, bad.json()["results"][0]["referenceId"]) == (400, "c")
    assert list(org.service.rows("Account")) == []
    good = http.post("/composite/tree/Account", json=tree("Ada"))
    assert (good.status_code, [one["referenceId"] for one in good.json()["results"]]) == (201, ["a", "c"])


def test_deleted_and_updated_list_a_window(org: RunningSandbox, http: httpx.Client) -> None:
    keep, drop = org.service.insert_many("Account", [{"Name": "a"}, {"Name": "b"}], actor="")
    org.service.delete("Account", drop, actor="")
    window = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-10T00:00:00Z"}
    deleted = http.get("/sobjects/Account/deleted/", params=window).json()
    assert [one["id"] for one in deleted["deletedRecords"]] == [drop]
    assert deleted["latestDateCovered"] < "2026-01-10"
    assert http.get("/sobjects/Account/updated/", params=window).json()["ids"] == [keep]
    wide = http.get("/sobjects/Account/deleted/", params={**window, "start": "2025-01-01T00:00:00Z"})
    assert wide.json()[0]["errorCode"] == "INVALID_REPLICATION_DATE"


def test_the_days_allowance_is_shown_on_every_answer_and_ends(org: RunningSandbox, http: httpx.Client) -> None:
    first = http.get("/limits")
    used, maximum = map(int, first.headers["sforce-limit-info"].removeprefix("api-usage=").split("/"))
    assert first.json()["DailyApiRequests"] == {"Max": maximum, "Remaining": maximum - used}
    org.store.meta["limits"] = {"DailyApiRequests": used + 2}
    assert [http.get("/limits").status_code for _ in range(3)] == [200, 200, 403]
    spent = http.get("/query", params={"q": "SELECT Id FROM Account"})
    assert spent.json() == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    assert "retry-after" not in spent.headers


def test_versions_are_listed_to_everyone_and_old_or_future_ones_are_refused(org: RunningSandbox) -> None:
    listed = httpx.get(f"{org.url}/services/data").json()
    assert listed[-1] == {"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}
    assert {f"{n}.0" for n in range(50, 69)} <= {one["version"] for one in listed}
    assert httpx.get(f"{org.url}/services/data/v21.0/limits").status_code == 410
    assert httpx.get(f"{org.url}/services/data/v99.0/limits").status_code == 404


@pytest.mark.parametrize("token", ["", "Bearer nonsense"])
def test_without_a_session_every_answer_is_a_401_list(org: RunningSandbox, token: str) -> None:
    headers = {"Authorization": token} if token else {}
    answer = httpx.get(f"{org.url}/services/data/v67.0/query", params={"q": "SELECT Id FROM Account"}, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_describe_is_complete(http: httpx.Client) -> None:
    found = http.get("/sobjects/Opportunity/describe").json()
    fields = {one["name"]: one for one in found["fields"]}
    assert all(len(one) == len(fields["Id"]) for one in fields.values())
    stage = fields["StageName"]
    assert (stage["type"], stage["nillable"], len(stage["picklistValues"])) == ("picklist", False, 10)
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert (fields["IsWon"]["updateable"], fields["Amount"]["precision"], fields["Amount"]["scale"]) == (False, 18, 2)
    assert fields["Billing_Type__c"]["restrictedPicklist"] is True
    assert {one["relationshipName"] for one in found["childRelationships"]} >= {"OpportunityLineItems"}
    assert found["urls"]["sobject"] == "/services/data/v67.0/sobjects/Opportunity"


def test_describe_is_not_sent_again_while_nothing_changed(
    org: RunningSandbox, rules: SalesforceService, http: httpx.Client
) -> None:
    org.service.insert("Account", {"Name": "later"}, actor="")
    seen = http.get("/sobjects/Account/describe").headers["date"]
    again = http.get("/sobjects/Account/describe", headers={"If-Modified-Since": seen})
    assert (again.status_code, again.content) == (304, b"")
    org.service.insert("Account", {"Name": "later still"}, actor="")
    rules.add_field("Account", text("Fresh__c", 20))
    assert http.get("/sobjects/Account/describe", headers={"If-Modified-Since": seen}).status_code == 200


def test_search_finds_names(org: RunningSandbox, http: httpx.Client) -> None:
    org.service.insert("Account", {"Name": "Acme 50% Ltd"}, actor="")
    org.service.insert("Contact", {"LastName": "Acmeson"}, actor="")
    found = http.get("/search/", params={"q": "FIND {acme*} IN ALL FIELDS RETURNING Account(Id, Name), Contact"}).json()
    assert [one["attributes"]["type"] for one in found["searchRecords"]] == ["Account", "Contact"]
    found = http.get("/parameterizedSearch", params={"q": "50%", "sobject": "Account", "fields": "Name"}).json()
    assert [one["Name"] for one in found["searchRecords"]] == ["Acme 50% Ltd"]
    assert http.get("/search", params={"q": "FIND me"}).json()[0]["errorCode"] == "MALFORMED_SEARCH"
