"""The Bulk APIs as a stranger sees them."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import pytest

from platforms.kit.sandbox.server import RunningSandbox


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def query_job(http: httpx.Client, soql: str, operation: str = "query") -> dict[str, Any]:
    made = http.post("/jobs/query", json={"operation": operation, "query": soql})
    assert made.status_code == 200, made.text
    assert made.json()["state"] == "UploadComplete"
    found: dict[str, Any] = http.get(f"/jobs/query/{made.json()['id']}").json()
    return found


def ingest(http: httpx.Client, body: str, **job: str) -> dict[str, Any]:
    made = http.post("/jobs/ingest", json={"object": "Account", **job}).json()
    address = "/" + made["contentUrl"]
    sent = http.put(httpx.URL(http.base_url).join(address), content=body.encode(), headers={"Content-Type": "text/csv"})
    assert (sent.status_code, sent.content) == (201, b"")
    assert (
        http.patch(f"/jobs/ingest/{made['id']}", json={"state": "UploadComplete"}).json()["state"] == "UploadComplete"
    )
    found: dict[str, Any] = http.get(f"/jobs/ingest/{made['id']}").json()
    return found


def test_a_bulk_query_pages_with_opaque_locators_and_ends_with_the_word_null(
    org: RunningSandbox, http: httpx.Client
) -> None:
    org.service.insert_many("Account", ({"Name": f'A "{n}", x', "PO_Required__c": n == 0} for n in range(5)), actor="")
    job = query_job(http, "SELECT Id, Name, Owner.Username, PO_Required__c, CreatedDate, Phone FROM Account")
    assert (job["state"], job["numberRecordsProcessed"], job["jobType"]) == ("JobComplete", 5, "V2Query")
    pages, locator = [], ""
    while locator != "null":
        answer = http.get(f"/jobs/query/{job['id']}/results", params={"maxRecords": 2, "locator": locator})
        pages.append(rows_of(answer.text))
        assert answer.headers["sforce-numberofrecords"] == str(len(pages[-1]))
        locator = answer.headers["sforce-locator"]
    assert [len(page) for page in pages] == [2, 2, 1]
    first = pages[0][0]
    assert first["Name"] == 'A "0", x'
    assert (first["PO_Required__c"], first["Phone"]) == ("true", "")
    assert first["Owner.Username"] == "admin@northwind.example"
    assert first["CreatedDate"].endswith(".000Z")
    assert http.delete(f"/jobs/query/{job['id']}").status_code == 204
    assert http.get(f"/jobs/query/{job['id']}").status_code == 404


@pytest.mark.parametrize(
    "soql",
    [
        "SELECT COUNT(Id) FROM Account",
        "SELECT Id, (SELECT Id FROM Contacts) FROM Account",
        "SELECT BillingAddress FROM Account",
        "SELECT Id FROM Account LIMIT 1 OFFSET 1",
        "SELECT Nope FROM Account",
    ],
)
def test_what_bulk_cannot_answer_ends_in_a_failed_job_or_a_refusal(http: httpx.Client, soql: str) -> None:
    made = http.post("/jobs/query", json={"operation": "query", "query": soql})
    if made.status_code == 200:
        job = http.get(f"/jobs/query/{made.json()['id']}").json()
        assert job["state"] == "Failed"
        assert job["errorMessage"]
        assert http.get(f"/jobs/query/{job['id']}/results").status_code == 400
    else:
        assert made.status_code == 400


def test_another_api_version_may_not_touch_a_job(org: RunningSandbox, http: httpx.Client) -> None:
    job = query_job(http, "SELECT Id FROM Account")
    assert http.get(f"{org.url}/services/data/v60.0/jobs/query/{job['id']}/results").status_code == 409


def test_an_upload_tells_good_and_bad_rows_apart(org: RunningSandbox, http: httpx.Client) -> None:
    body = 'Ext_Key__c,Name,Phone,Payment_Terms__c\nk1,"A, Inc",1,Net 30\nk2,B,2,Net 31\nk3,,,\n'
    job = ingest(http, body, operation="upsert", externalIdFieldName="Ext_Key__c")
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 3, 2)
    good = rows_of(http.get(f"/jobs/ingest/{job['id']}/successfulResults").text)
    bad = rows_of(http.get(f"/jobs/ingest/{job['id']}/failedResults").text)
    assert [(row["sf__Created"], row["Name"]) for row in good] == [("true", "A, Inc")]
    assert bad[1]["sf__Error"] == "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --"
    assert http.get(f"/jobs/ingest/{job['id']}/unprocessedrecords").status_code == 200
    ingest(http, "Id,Phone,Name\n" + good[0]["sf__Id"] + ",#N/A,\n", operation="update")
    (account,) = org.service.rows("Account")
    assert (account["Name"], account["Phone"]) == ("A, Inc", None)
    gone = ingest(http, "Id\n" + good[0]["sf__Id"] + "\n", operation="delete")
    assert gone["numberRecordsFailed"] == 0
    assert next(org.service.rows("Account"))["IsDeleted"] is True


def test_an_upload_may_name_a_parent_by_its_external_id(org: RunningSandbox, http: httpx.Client) -> None:
    parent = org.service.insert("Account", {"Name": "Group", "Ext_Key__c": "G"}, actor="")
    ingest(http, "Name,Parent.Ext_Key__c\nChild,G\nOrphan,X\n", operation="insert")
    assert [row["Name"] for row in org.service.rows("Account", '"ParentId" = ?', (parent,))] == ["Child"]


def test_a_job_can_stay_in_progress_for_some_polls(org: RunningSandbox, http: httpx.Client) -> None:
    org.store.meta["bulk.polls"] = 2
    made = http.post("/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Account"}).json()
    states = [http.get(f"/jobs/query/{made['id']}").json()["state"] for _ in range(3)]
    assert states == ["InProgress", "InProgress", "JobComplete"]


def test_the_old_bulk_api_speaks_json_csv_and_xml(org: RunningSandbox, http: httpx.Client) -> None:
    token = http.headers["authorization"].removeprefix("Bearer ")
    old = httpx.Client(base_url=f"{org.url}/services/async/61.0", headers={"X-SFDC-Session": token})
    org.service.insert_many("Account", ({"Name": f"A{n}"} for n in range(5)), actor="")
    soql = "SELECT Id, Name, CreatedDate FROM Account"

    def start(kind: str, **headers: str) -> str:
        body = {"operation": "queryAll", "object": "Account", "contentType": kind}
        return str(old.post("/job", json=body, headers=headers).json()["id"])

    job = start("JSON")
    batch = old.post(f"/job/{job}/batch", content=soql, headers={"Content-Type": "application/json"}).json()["id"]
    (result,) = old.get(f"/job/{job}/batch/{batch}/result").json()
    found = old.get(f"/job/{job}/batch/{batch}/result/{result}").json()
    assert isinstance(found[0]["CreatedDate"], int)
    job = start("CSV", **{"Sforce-Enable-PKChunking": "chunkSize=2"})
    old.post(f"/job/{job}/batch", content=soql, headers={"Content-Type": "text/csv"})
    listed = old.get(f"/job/{job}/batch").text
    assert (listed.count("<state>NotProcessed"), listed.count("<state>Completed")) == (1, 3)
    wrong = old.get("/job/750xx0000000001AAA")
    assert (wrong.status_code, wrong.json()["exceptionCode"]) == (400, "InvalidJob")
    bare = httpx.get(f"{org.url}/services/async/61.0/job/x").json()
    assert bare["exceptionCode"] == "InvalidSessionId"
