"""The client `netsuite` 0.12.0 from PyPI works on the sandbox, unchanged but for the address.

`make foreign-env` installs it; without it these tests are skipped and say so.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from platforms.kit.sandbox.proxy import ConnectProxy
from platforms.netsuite.sandbox import credentials

pytestmark = pytest.mark.foreign

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-foreign" / "bin" / "python"
SCRIPT = ROOT / "tests" / "platforms" / "foreign" / "netsuite_work.py"


def work(given: dict[str, Any], **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(PYTHON), str(SCRIPT)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "NO_PROXY": "", **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("way", ["vendor", "hostname", "url"])
def test_the_netsuite_package_does_a_days_work(running, way: str) -> None:
    if not PYTHON.exists():
        pytest.skip("the foreign clients are not installed; run: make foreign-env")
    known = credentials(running.service)
    auth = {name: known[name] for name in ("consumer_key", "consumer_secret", "token_id", "token_secret")}
    given = {"account": known["account_id"], "auth": auth, "way": way}
    label = known["account_id"].lower()
    hosts = (f"{label}.suitetalk.api.netsuite.com", f"{label}.restlets.api.netsuite.com")
    if way == "vendor":
        # Not even the address differs: the vendor's own host, reached through a proxy.
        with ConnectProxy(dict.fromkeys(hosts, running.tls_port)) as proxy:
            seen = work({**given, "address": ""}, HTTPS_PROXY=proxy.url, SSL_CERT_FILE=str(running.ca_path))
        base = f"https://{hosts[0]}"
    elif way == "hostname":
        address = running.tls_url.removeprefix("https://")
        seen = work({**given, "address": address}, SSL_CERT_FILE=str(running.ca_path), NO_PROXY="127.0.0.1")
        base = running.tls_url
    else:
        seen = work({**given, "address": running.url}, NO_PROXY="127.0.0.1")
        base = running.url

    assert [item["itemid"] for item in seen["items"]["items"]] == ["SVC-TIME", "SVC-EXPENSE"]
    assert (seen["items"]["hasMore"], seen["items"]["totalResults"], seen["second"]["offset"]) == (True, 4, 2)
    assert seen["params"]["items"] == [{"links": [], "symbol": "EUR"}]
    assert seen["put"] is seen["patch"] is seen["delete"] is None
    assert seen["customer"]["companyName"] == "Föreign & Söhne 100%"
    assert seen["phone"] == "+49 30 1"
    id = seen["invoice"]["id"]
    assert seen["made"] == {"status": 204, "location": f"{base}/services/rest/record/v1/invoice/{id}", "text": ""}
    # 19 % of 1,170.00, worked out by the ledger.
    assert (seen["invoice"]["subtotal"], seen["invoice"]["taxTotal"], seen["invoice"]["total"]) == (1170, 222.3, 1392.3)
    assert seen["invoice"]["item"]["items"][0]["quantity"] == 6.5
    assert [item["id"] for item in seen["listed"]["items"]] == [seen["customer"]["id"]]
    assert "custbody_tieout_project" in seen["schema"]
    assert seen["openapi"] == ["customer", "invoice"]
    assert seen["parallel"] == 4
    assert "NONEXISTENT_FIELD" in seen["unknown_field"]["text"]
    assert "INVALID_PARAMETER" in seen["bad_query"]["text"]
    assert "NONEXISTENT_ID" in seen["missing"]["text"]
    assert "NONEXISTENT_ID" in seen["gone"]["text"]
    assert "INVALID_LOGIN" in seen["stranger"]["text"]
    if way == "vendor":
        assert seen["token_info"]["companyId"] == known["account_id"]
