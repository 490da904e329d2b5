"""Clients written by others work on the sandbox, unchanged but for the address.

`make foreign-env` installs them; without it these tests are skipped and say so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from platforms.kit.sandbox.proxy import ConnectProxy
from platforms.kit.sandbox.server import RunningSandbox
from platforms.salesforce.sandbox.login import Sessions
from platforms.salesforce.sandbox.schema import text
from platforms.salesforce.sandbox.service import SalesforceService
from platforms.salesforce.sandbox.setup import private_key_pem

pytestmark = pytest.mark.foreign

ROOT = Path(__file__).resolve().parents[3]
FOREIGN = ROOT / "tests" / "platforms" / "foreign"
PYTHON = ROOT / ".venv-foreign" / "bin" / "python"
CONTACTS = 4_321


def run(command: list[str], given: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The JSON that a foreign script prints when it reads `given` from its standard input."""
    done = subprocess.run(
        command,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "NO_PROXY": "", **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with RunningSandbox("salesforce", tmp_path_factory.mktemp("salesforce")) as running:
        service = running.service
        assert isinstance(service, SalesforceService)
        service.add_field("Account", text("Ext_Key__c", 80, external_id=True, unique=True, label="Ext Key"))
        account = service.insert("Account", {"Name": "Acme"}, actor="world")
        people = ({"LastName": f"L{i:05d}", "AccountId": account} for i in range(CONTACTS))
        service.insert_many("Contact", people, actor="world")
        yield running


@pytest.fixture(scope="module")
def credentials(org: RunningSandbox) -> dict[str, str]:
    return {**org.store.meta["credentials"], "private_key": private_key_pem(7)}


@pytest.fixture
def python() -> str:
    if not PYTHON.exists():
        pytest.skip("the foreign clients are not installed; run: make foreign-env")
    return str(PYTHON)


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None or not (FOREIGN / "node_modules" / "jsforce").exists():
        pytest.skip("jsforce is not installed; run: make foreign-env (it needs node and npm)")
    return found


def test_simple_salesforce_logs_in_every_way_it_knows(
    org: RunningSandbox, credentials: dict[str, str], python: str
) -> None:
    hosts = ("login.salesforce.com", "test.salesforce.com", "northwind.my.salesforce.com")
    with ConnectProxy(dict.fromkeys(hosts, org.tls_port)) as proxy:
        environment = {"HTTPS_PROXY": proxy.url, "REQUESTS_CA_BUNDLE": str(org.ca_path)}
        seen = run([python, str(FOREIGN / "simple_salesforce_logins.py")], credentials, environment)
    assert seen["soap"] == {"count": 1, "host": "login.salesforce.com"}
    assert seen["password"] == {"count": 1, "host": "test.salesforce.com"}
    assert seen["jwt"]["count"] == 1
    assert seen["client_credentials"] == {"count": 1, "host": "northwind.my.salesforce.com"}
    assert seen["soap_wrong"]["code"] == "INVALID_LOGIN"
    assert seen["soap_too_new"]["code"] == "UNSUPPORTED_API_VERSION"
    assert seen["client_credentials_wrong"]["code"] == "invalid_client"


@pytest.fixture(scope="module")
def simple(org: RunningSandbox) -> dict[str, Any]:
    if not PYTHON.exists():
        pytest.skip("the foreign clients are not installed; run: make foreign-env")
    assert isinstance(org.service, SalesforceService)
    token = Sessions(org.service).issue(org.store.meta["integration_user_id"], "test")
    given = {"instance": org.tls_url.removeprefix("https://"), "session_id": token}
    environment = {"REQUESTS_CA_BUNDLE": str(org.ca_path)}
    return run([str(PYTHON), str(FOREIGN / "simple_salesforce_work.py")], given, environment)


def test_simple_salesforce_reads_all_pages_of_a_query(simple: dict[str, Any]) -> None:
    assert simple["paging"] == {
        "first": 2000,
        "all": CONTACTS,
        "read": CONTACTS,
        "ids": CONTACTS,
        "parent": "Acme",
    }
    assert simple["iterated"] == CONTACTS


def test_simple_salesforce_writes_single_records(simple: dict[str, Any]) -> None:
    assert simple["create"]["success"] is True
    assert simple["update"] == 204
    assert simple["read"] == {"Name": "Foreign Ltd", "Industry": "Banking", "BillingCountry": "United Kingdom"}
    assert simple["upsert_new"] == 201
    assert simple["upsert_again"] == 200
    assert simple["by_key"] == "Keyed twice"
    assert simple["deleted_status"] == 204
    assert simple["collection"] == [True, False]


def test_simple_salesforce_understands_every_refusal(simple: dict[str, Any]) -> None:
    assert simple["updated"] > 0
    assert simple["deleted"] == [True]
    assert simple["too_wide"]["content"][0]["errorCode"] == "INVALID_REPLICATION_DATE"
    assert simple["gone"]["kind"] == "SalesforceResourceNotFound"
    assert simple["no_field"]["kind"] == "SalesforceMalformedRequest"
    assert simple["no_field"]["content"][0]["errorCode"] == "INVALID_FIELD"
    assert simple["required"]["content"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert simple["picklist"]["content"][0]["errorCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    assert simple["expired"]["kind"] == "SalesforceExpiredSession"


def test_simple_salesforce_describes_and_counts(simple: dict[str, Any]) -> None:
    assert simple["describe"]["fields"] > 50
    assert {"compoundFieldName", "picklistValues", "soapType", "nillable"} <= set(simple["describe"]["keys"])
    assert "Opportunity" in simple["describe"]["objects"]
    assert simple["search"] == 1
    assert simple["limits"] == simple["usage"] == 150_000


def test_simple_salesforce_loads_and_reads_in_bulk_v1(simple: dict[str, Any]) -> None:
    outcomes = simple["bulk1_insert"]
    assert [one["success"] for one in outcomes] == [True] * 300 + [False]
    assert outcomes[-1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert simple["bulk1_upsert"][0]["created"] is False
    assert simple["bulk1_query"]["rows"] == 300
    assert simple["bulk1_query"]["first"] == "B0 again"
    assert isinstance(simple["bulk1_query"]["created"], int)


def test_simple_salesforce_loads_and_reads_in_bulk_v2(simple: dict[str, Any]) -> None:
    assert simple["bulk2_upsert"] == {
        "numberRecordsProcessed": 501,
        "numberRecordsFailed": 1,
        "numberRecordsTotal": 501,
    }
    assert "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" in simple["bulk2_failed"]
    assert simple["bulk2_successful"] == 501
    assert len(simple["bulk2_unprocessed"].splitlines()) <= 1
    assert simple["bulk2_query"] == [200, 200, 100]


@pytest.fixture(scope="module")
def jay(org: RunningSandbox, credentials: dict[str, str], simple: dict[str, Any]) -> dict[str, Any]:
    found = shutil.which("node")
    if found is None or not (FOREIGN / "node_modules" / "jsforce").exists():
        pytest.skip("jsforce is not installed; run: make foreign-env (it needs node and npm)")
    return run([found, str(FOREIGN / "jsforce_work.mjs")], {**credentials, "url": org.url}, {})


def test_jsforce_logs_in_every_way_it_knows(jay: dict[str, Any], org: RunningSandbox) -> None:
    assert jay["soap"]["user"] == org.store.meta["integration_user_id"]
    assert jay["soap"]["org"] == org.store.meta["org_id"]
    assert jay["soap_wrong"]["message"].startswith("INVALID_LOGIN")
    assert jay["password"] == org.store.meta["credentials"]["username"]
    assert jay["client_credentials"] == 1
    assert jay["refreshed"] == 1


def test_jsforce_reads_all_pages_of_a_query(jay: dict[str, Any]) -> None:
    assert jay["paging"] == {"total": CONTACTS, "first": 2000, "read": CONTACTS, "ids": CONTACTS}
    assert jay["autofetch"] == CONTACTS
    assert jay["find"] == 5
    assert jay["aggregate"] == CONTACTS


def test_jsforce_writes_records_one_by_one_and_in_collections(jay: dict[str, Any]) -> None:
    assert jay["create"]["success"] is True
    assert jay["update"]["success"] is True
    assert jay["read"] == "Banking"
    assert [one["created"] for one in jay["upsert"]] == [True, False]
    assert [one[0] for one in jay["many"]] == [True, False, True]
    assert jay["many"][1][1][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert jay["many_retrieved"] == ["m1", "m3"]
    assert jay["many_updated"] == jay["many_deleted"] == [True, True]
    assert jay["destroyed"]["success"] is True


def test_jsforce_understands_every_refusal(jay: dict[str, Any]) -> None:
    assert jay["gone"]["errorCode"] == "ENTITY_IS_DELETED"
    assert jay["no_field"]["errorCode"] == "INVALID_FIELD"
    assert jay["required"]["errorCode"] == "REQUIRED_FIELD_MISSING"


def test_jsforce_describes_and_counts(jay: dict[str, Any]) -> None:
    assert jay["describe"]["name"] == "Account"
    assert jay["describe"]["fields"] > 50
    assert jay["describe"]["children"] >= 3
    assert jay["limits"] == jay["usage"] == 150_000


def test_jsforce_loads_and_reads_in_both_bulk_apis(jay: dict[str, Any]) -> None:
    assert [one[0] for one in jay["bulk1_load"]] == [True, True, False]
    assert jay["bulk1_query"] == ["B1", "B2"]
    assert jay["bulk2_load"]["ok"] == 1
    assert jay["bulk2_load"]["failed"][0].startswith("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")
    assert jay["bulk2_load"]["left"] == 0
    assert jay["bulk2_query"] == CONTACTS
