"""The record service over HTTP: shapes, links, sublists, collections and errors, as other people's clients read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

RECORD = "/services/rest/record/v1"
Call = Callable[..., httpx.Response]


@pytest.fixture
def call(running, connect) -> Iterator[Call]:
    """Requests with a good token, by default as an administrator."""
    clients: dict[str, dict[str, str]] = {}
    plain = httpx.Client(trust_env=False)

    def send(method: str, path: str, *, actor: str = "administrator", **kwargs: Any) -> httpx.Response:
        if actor not in clients:
            made = connect(actor)
            made.ping()
            clients[actor] = {"Authorization": f"Bearer {made.api._client.auth.token().access_token}"}
        headers = {**clients[actor], **kwargs.pop("headers", {})}
        url = (
            path if path.startswith("http") else f"{running.url}{path if path.startswith('/') else f'{RECORD}/{path}'}"
        )
        return plain.request(method, url, headers=headers, **kwargs)

    yield send
    plain.close()


def code(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body["status"] == response.status_code
    assert body["type"].startswith("https://www.w3.org/Protocols/rfc2616")
    return response.status_code, body["o:errorDetails"][0]["o:errorCode"]


def test_a_record_is_made_read_changed_and_deleted(call: Call, running) -> None:
    made = call(
        "POST", "Customer", json={"companyName": "Acme", "subsidiary": {"externalId": "UK"}, "externalId": "A_1"}
    )
    assert (made.status_code, made.content) == (204, b"")
    assert made.headers["location"] == f"{running.url}{RECORD}/customer/1"
    body = call("GET", "customer/eid:A_1").json()
    assert body["id"] == "1"
    assert body["subsidiary"]["id"] == "2"
    assert body["subsidiary"]["externalId"] == "UK"
    assert (body["isInactive"], body["balance"]) == (False, 0)
    assert body["lastModifiedDate"] == "2026-01-05T08:00:00Z"
    assert call("PATCH", "customer/1", json={"email": "a@b.example"}).headers["location"].endswith("/customer/1")
    assert call("GET", "CUSTOMER/1", params={"fields": "email"}).json()["email"] == "a@b.example"
    assert call("DELETE", "customer/1").status_code == 204
    assert code(call("GET", "customer/1")) == (404, "NONEXISTENT_ID")


def test_put_needs_an_external_id_and_makes_or_changes(call: Call) -> None:
    body = {"companyName": "Acme", "subsidiary": {"id": "2"}}
    first = call("PUT", "customer/eid:NEW_1", json=body)
    again = call("PUT", "customer/eid:NEW_1", json=body | {"companyName": "Acme Ltd"})
    assert (first.status_code, first.headers["location"]) == (204, again.headers["location"])
    assert call("GET", "customer/1").json()["companyName"] == "Acme Ltd"
    assert code(call("PUT", "customer/1", json=body)) == (400, "INVALID_REQUEST")


def test_sublists_are_links_until_they_are_expanded(call: Call, firm) -> None:
    invoice = firm.invoice(firm.customer("UK"), 100, 20)
    plain = call("GET", f"invoice/{invoice}").json()
    assert set(plain["item"]) == {"links"}
    expanded = call("GET", f"invoice/{invoice}", params={"expandSubResources": "True"}).json()
    lines = expanded["item"]["items"]
    assert (expanded["item"]["totalResults"], lines[0]["quantity"], lines[0]["amount"]) == (2, 1, 100)
    assert (lines[0]["taxRate1"], lines[0]["tax1Amt"], lines[0]["grossAmt"]) == (20, 20, 120)
    assert call("GET", plain["item"]["links"][0]["href"]).json()["totalResults"] == 2
    assert (expanded["status"], expanded["total"]) == ({"id": "A", "refName": "Open"}, 144)
    assert call("GET", f"invoice/{invoice}", params={"simpleEnumFormat": "true"}).json()["status"] == "A"


def test_a_posted_amount_is_kept_digit_for_digit(call: Call, firm) -> None:
    customer = firm.customer("US")
    line = '{"item":{"externalId":"SVC-TIME"},"quantity":8.85,"rate":65.50,"amount":579.68}'
    content = f'{{"entity":{{"id":"{customer}"}},"item":{{"items":[{line},{line}]}}}}'
    made = call("POST", "invoice", content=content, headers={"Content-Type": "application/json"})
    assert '"total":1159.36' in call("GET", made.headers["location"]).text


def test_transforms_apply_a_payment_to_the_invoice(call: Call, firm) -> None:
    invoice = firm.invoice(firm.customer("US"), 1170)
    body = {"payment": 400.0, "apply": {"items": [{"doc": {"id": invoice}, "apply": True, "amount": 400.0}]}}
    made = call("POST", f"invoice/{invoice}/!transform/customerPayment", json=body)
    assert made.status_code == 204
    assert "/customerPayment/" in made.headers["location"]
    shown = call("GET", f"{made.headers['location']}?expandSubResources=true").json()
    assert (shown["payment"], shown["applied"], shown["unapplied"]) == (400, 400, 0)
    assert shown["apply"]["items"][0]["doc"]["id"] == invoice
    assert call("GET", f"invoice/{invoice}").json()["amountRemaining"] == 770
    assert code(call("POST", f"invoice/{invoice}/!transform/estimate"))[0] == 404
    assert code(call("POST", f"invoice/{invoice}/!transform/job")) == (400, "INVALID_REQUEST")


def test_lists_give_ids_and_absolute_links_page_by_page(call: Call, firm, running) -> None:
    for _ in range(5):
        firm.customer()
    page = call("GET", "customer", params={"limit": 2, "offset": 2}).json()
    assert [item["id"] for item in page["items"]] == ["3", "4"]
    assert set(page["items"][0]) == {"links", "id"}
    assert page["items"][0]["links"][0]["href"] == f"{running.url}{RECORD}/customer/3"
    assert (page["count"], page["hasMore"], page["totalResults"]) == (2, True, 5)
    links = {link["rel"]: link["href"] for link in page["links"]}
    assert call("GET", links["next"]).json()["items"][0]["id"] == "5"
    assert set(links) == {"next", "last", "first", "prev", "self"}
    assert code(call("GET", "customer", params={"limit": 2, "offset": 3})) == (400, "INVALID_PARAMETER")
    assert code(call("GET", "customer", params={"limit": 1001})) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize(
    ("q", "ids"),
    [
        ("entityId IS ACME", "1"),
        ("entityid is_not ACME", "23"),
        ('companyName START_WITH "Big B"', "2"),
        ("companyName CONTAIN o", "23"),
        ("companyName END_WITH_NOT Co", "12"),
        ("email EMPTY", "23"),
        ("email EMPTY_NOT AND isInactive IS false", "1"),
        ("id ANY_OF [1, 3]", "13"),
        ("id BETWEEN [2, 3] AND companyName CONTAIN Big", "2"),
        ("id GREATER 1 AND id LESS_OR_EQUAL 2", "2"),
        ("companyName CONTAIN Big OR email EMPTY_NOT AND isInactive IS true", "2"),
        ("(companyName CONTAIN Big OR email EMPTY_NOT) AND isInactive IS false", "12"),
        ('lastModifiedDate ON "1/5/2026"', "123"),
        ('lastModifiedDate AFTER "01/05/2026"', ""),
        ('lastModifiedDate ON_OR_AFTER "1/5/2026" AND lastModifiedDate BEFORE "1/6/2026"', "123"),
        ("externalId IS A_1", "1"),
        ("subsidiary EQUAL 2", "123"),
    ],
)
def test_q_filters_collections(call: Call, firm, q: str, ids: str) -> None:
    firm.customer(companyName="Acme", entityId="ACME", email="a@b.example", externalId="A_1")
    firm.customer(companyName="Big Boys")
    firm.customer(companyName="Other Co")
    assert [item["id"] for item in call("GET", "customer", params={"q": q}).json()["items"]] == list(ids)


@pytest.mark.parametrize(
    "q",
    [
        "nothing IS 1", "entityId", "entityId EQUAL 5", "entityId IS a AND", "(entityId IS a", "isInactive IS maybe",
        'lastModifiedDate AFTER "2026-01-05T00:00:00Z"', 'lastModifiedDate AFTER "31.01.2026"', "id ANY_OF [1, 2", "",
    ],
)  # fmt: skip
def test_q_refuses_what_it_does_not_understand(call: Call, q: str) -> None:
    if q:
        assert code(call("GET", "customer", params={"q": q})) == (400, "INVALID_PARAMETER")


def test_a_wrong_date_format_says_which_one_is_right(call: Call) -> None:
    text = call("GET", "customer", params={"q": 'lastModifiedDate AFTER "2026-01-05"'}).text
    assert "failed with date format" in text


def test_unknown_fields_warn_by_default_and_fail_when_asked(call: Call) -> None:
    body = {"companyName": "Acme", "subsidiary": {"id": "2"}, "nonsense": 1}
    made = call("POST", "customer", json=body)
    assert made.status_code == 204
    assert "nonsense" in made.headers["x-netsuite-warnings"]
    strict = {"X-NetSuite-PropertyNameValidation": "error"}
    assert code(call("POST", "customer", json=body, headers=strict)) == (400, "NONEXISTENT_FIELD")


def test_errors_name_the_place(call: Call, firm) -> None:
    body = {"entity": {"id": firm.customer()}, "item": {"items": [{"item": {"id": 9999}, "amount": 1}]}}
    detail = call("POST", "invoice", json=body).json()["o:errorDetails"][0]
    assert detail == {"detail": "Invalid Field Value 9999 for field item", "o:errorCode": "INVALID_CONTENT",
                      "o:errorPath": "item.items[0].item"}  # fmt: skip
    assert code(call("GET", "nothing/1")) == (404, "NONEXISTENT_ID")
    broken = {"content": "{", "headers": {"Content-Type": "application/json"}}
    assert code(call("POST", "customer", **broken)) == (400, "INVALID_CONTENT")


def test_a_role_sees_and_changes_only_what_it_may(call: Call, firm) -> None:
    invoice = firm.invoice(firm.customer("US"), 10)
    assert code(call("POST", f"invoice/{invoice}/!transform/customerPayment", actor="integration")) == (
        403, "INSUFFICIENT_PERMISSION")  # fmt: skip
    assert code(call("PATCH", f"invoice/{invoice}", json={"memo": "x"}, actor="auditor"))[0] == 403
    assert code(call("GET", "employee/1", actor="auditor"))[0] == 403
    assert call("GET", f"invoice/{invoice}", actor="auditor").status_code == 200
    query = {"json": {"q": "SELECT id FROM employee"}, "headers": {"Prefer": "transient"}}
    assert code(call("POST", "/services/rest/query/v1/suiteql", actor="auditor", **query))[0] == 403


def test_the_catalogue_lists_types_and_describes_them(call: Call) -> None:
    names = [item["name"] for item in call("GET", "metadata-catalog/").json()["items"]]
    assert {"customer", "invoice", "customerPayment", "accountingPeriod"} <= set(names)
    chosen = call("GET", "metadata-catalog", params={"select": "customer,invoice"}).json()["items"]
    assert [item["name"] for item in chosen] == ["customer", "invoice"]
    shown = call("GET", "metadata-catalog/CUSTOMER", headers={"Accept": "application/schema+json"}).json()
    assert shown["properties"]["custentity_tieout_account"]["x-ns-custom-field"] is True
    assert shown["properties"]["email"]["x-ns-filterable"] is True
    assert code(call("GET", "metadata-catalog/transaction"))[0] == 404
    openapi = call("GET", "metadata-catalog", headers={"Accept": "application/swagger+json"}).json()
    assert openapi["openapi"].startswith("3.0")


def test_suiteql_over_http_asks_for_its_header_and_pages(call: Call, firm) -> None:
    for _ in range(3):
        firm.customer()
    path, body = "/services/rest/query/v1/suiteql", {"q": "SELECT id FROM customer ORDER BY id"}
    assert code(call("POST", path, json=body)) == (400, "INVALID_HEADER")
    page = call("POST", path, json=body, headers={"prefer": "Transient"}, params={"limit": 2}).json()
    assert (page["count"], page["hasMore"], page["totalResults"], page["offset"]) == (2, True, 3, 0)
    assert page["items"] == [{"links": [], "id": "1"}, {"links": [], "id": "2"}]
    follow = next(link["href"] for link in page["links"] if link["rel"] == "next")
    assert call("POST", follow, json=body, headers={"Prefer": "transient"}).json()["items"] == [
        {"links": [], "id": "3"}
    ]


def test_a_foreign_extractor_walks_from_the_catalogue_to_every_record(call: Call, firm) -> None:
    """The way of a common extractor: types, schemas, filtered ids in lower case, then each link as it is given."""
    invoice = firm.invoice(firm.customer("UK"), 100)
    firm.pay("1", 20, (invoice, 20))
    assert call("GET", "contact", params={"limit": 1}).status_code == 200
    seen = 0
    for item in call("GET", "metadata-catalog/").json()["items"]:
        name = item["name"].lower()
        schema = call("GET", f"metadata-catalog/{name}", headers={"Accept": "application/schema+json"}).json()
        params = {}
        if "lastModifiedDate" in schema["properties"]:
            params["q"] = 'lastModifiedDate AFTER "01/01/2026" AND lastModifiedDate BEFORE "02/01/2026"'
        page = call("GET", name, params=params).json()
        for one in page["items"][:3]:
            body = call("GET", one["links"][0]["href"], params={"expandSubResources": "True"}).json()
            assert body["id"] == one["id"]
            assert set(body) <= {*schema["properties"], "links"}
            seen += 1
    assert seen > 20
