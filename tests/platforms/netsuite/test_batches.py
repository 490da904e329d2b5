"""Up to 100 records in one call: each stands alone, each batch is taken once, and a lost answer loses nothing."""

from __future__ import annotations

import httpx
import pytest

from platforms.kit.errors import Gone, Refused, Retry

JOB = "/services/rest/async/v1/job"


def customers(*keys: str) -> list[dict[str, object]]:
    return [{"externalId": key, "companyName": key, "subsidiary": {"externalId": "US"}} for key in keys]


def test_each_record_of_a_batch_stands_alone(connect, firm) -> None:
    client = connect()
    bad = {"externalId": "C3", "companyName": "x"}
    job = client.submit_batch("customer", [*customers("C1", "C2"), bad], "POST", "11111111-1111-4111-8111-111111111111")
    assert not client.job(job).completed
    assert client.wait_for(job).progress == "failed"
    assert [task.progress for task in client.tasks(job)] == ["succeeded", "succeeded", "failed"]
    assert client.task_result(job, 2).record_id == "2"
    refused = client.task_result(job, 3)
    assert isinstance(refused.error, Refused)
    assert "Subsidiary" in refused.error.message
    assert len(list(firm.service.rows("customer"))) == 2
    with pytest.raises(Gone):
        client.job("99")


def test_a_batch_with_the_same_key_is_taken_once(connect, firm) -> None:
    client = connect()
    first = client.submit_batch("customer", customers("C1"), "POST", "22222222-2222-4222-8222-222222222222")
    again = client.submit_batch("customer", customers("C1"), "POST", "22222222-2222-4222-8222-222222222222")
    other = client.submit_batch("customer", customers("C2"), "POST", "33333333-3333-4333-8333-333333333333")
    assert first == again != other
    assert len(list(firm.service.rows("customer"))) == 2


def test_a_lost_answer_to_a_batch_leads_to_the_first_job(connect, running, firm) -> None:
    client = connect()
    client.ping()
    running.faults.once("lose_reply")
    job = client.submit_batch("customer", customers("C1", "C2"), "POST", "44444444-4444-4444-8444-444444444444")
    assert job == "1"
    assert client.api.calls.writes == 2
    assert len(list(firm.service.rows("customer"))) == 2


def test_an_upsert_batch_finds_its_records_by_external_id(connect, firm) -> None:
    client = connect()
    client.wait_for(client.submit_batch("customer", customers("C1", "C2"), "PUT", "k-one-one"))
    bodies = [{"externalId": "C2", "email": "a@b.example"}, *customers("C3")]
    client.wait_for(client.submit_batch("customer", bodies, "PUT", "k-two-two"))
    rows = list(firm.service.rows("customer"))
    assert [row["externalid"] for row in rows] == ["C1", "C2", "C3"]
    assert rows[1]["email"] == "a@b.example"
    changes = [{"id": "1", "externalId": "C9", "email": "first@b.example"}]
    client.wait_for(client.submit_batch("customer", changes, "PATCH", "k-three"))
    assert client.get("customer", "eid:C9")["email"] == "first@b.example"


def test_a_job_outlives_a_restart(connect, running, firm) -> None:
    from platforms.kit.sandbox.server import RunningSandbox

    job = connect().submit_batch("customer", customers("C1"), "POST", "k-restart")
    with RunningSandbox("netsuite", running.state_dir) as again:
        assert connect(base_url=again.url).wait_for(job).completed


def test_a_job_belongs_to_whoever_sent_it(connect) -> None:
    job = connect().submit_batch("customer", customers("C1"), "POST", "k-mine")
    with pytest.raises(Gone):
        connect("auditor").job(job)


def test_patience_with_a_job_ends(connect, firm) -> None:
    client = connect()
    firm.service.prefer("async_polls", 1000)
    job = client.submit_batch("customer", customers("C1"), "POST", "k-slow")
    with pytest.raises(Retry):
        client.wait_for(job, timeout=30)


def test_what_is_no_batch_is_refused(connect, running) -> None:
    client = connect()
    client.ping()
    token = client.api._client.auth.token().access_token
    collection = "application/vnd.oracle.resource+json; type=collection"

    def send(body: object, **headers: str) -> int:
        all_headers = {"Authorization": f"Bearer {token}", "Content-Type": collection, **headers}
        return httpx.post(f"{running.url}/services/rest/record/v1/customer", json=body, headers=all_headers,
                          trust_env=False).status_code  # fmt: skip

    asked = {"Prefer": "respond-async"}
    assert send({"items": customers("C1")}) == 400
    assert send({"items": []}, **asked) == 400
    assert send({"items": customers(*map(str, range(101)))}, **asked) == 400
    assert send({"items": customers(*map(str, range(100)))}, **asked) == 202
    with pytest.raises(ValueError, match="101"):
        client.submit_batch("customer", customers(*map(str, range(101))), "POST", "k")


def test_a_single_write_can_be_asynchronous_too(connect, running) -> None:
    client = connect()
    client.ping()
    token = client.api._client.auth.token().access_token
    headers = {"Authorization": f"Bearer {token}", "Prefer": "respond-async"}
    answer = httpx.put(f"{running.url}/services/rest/record/v1/customer/eid:ONE", json=customers("x")[0],
                       headers=headers, trust_env=False)  # fmt: skip
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
    client.wait_for(answer.headers["location"].rsplit("/", 1)[-1])
    assert client.get("customer", "eid:ONE")["companyName"] == "x"
