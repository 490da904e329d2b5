"""Both ways of logging in are really verified: what is forged, stale, repeated or misplaced is turned away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from urllib.parse import quote

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from platforms.kit.errors import AskPerson
from platforms.netsuite.sandbox import credentials

TIME = "/services/rest/system/v1/serverTime"


def pct(text: str) -> str:
    return quote(text, safe="~")


def signed(
    known: dict[str, str], method: str, url: str, *, said: str | None = None, key: str | None = None, **oauth: str
):
    """An Authorization header made by hand, over the address `said` (default: the one called)."""
    base, _, query = (said or url).partition("?")
    given = {
        "oauth_consumer_key": known["consumer_key"],
        "oauth_token": known["token_id"],
        "oauth_nonce": hashlib.sha256(str(time.perf_counter_ns()).encode()).hexdigest()[:20],
        "oauth_timestamp": str(int(time.time())),
        "oauth_signature_method": "HMAC-SHA256",
        "oauth_version": "1.0",
        **oauth,
    }
    realm = given.pop("realm", known["account_id"])
    pairs = [(pct(k), pct(v)) for k, v in given.items()]
    pairs += [tuple(pair.split("=")) for pair in query.split("&") if pair]
    params = "&".join(f"{k}={v}" for k, v in sorted(pairs))
    text = f"{method}&{pct(base)}&{pct(params)}"
    secret = key or f"{pct(known['consumer_secret'])}&{pct(known['token_secret'])}"
    signature = base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()
    fields = {"realm": realm, **given, "oauth_signature": signature}
    return "OAuth " + ", ".join(f'{k}="{pct(v)}"' for k, v in fields.items())


class Attempt:
    """Calls with a header made by hand from `known` credentials."""

    def __init__(self, send, known: dict[str, str]) -> None:
        self.known = known
        self._send = send

    def __call__(self, *args, **kwargs) -> httpx.Response:
        return self._send(*args, **kwargs)


@pytest.fixture
def tba(running):
    known = credentials(running.service)
    plain = httpx.Client(trust_env=False)

    def attempt(path: str = TIME, method: str = "GET", *, content: bytes | None = None, **kwargs) -> httpx.Response:
        url = f"{running.url}{path}"
        header = kwargs.pop("header", None) or signed(known, method, url, **kwargs)
        return plain.request(method, url, headers={"Authorization": header}, content=content)

    yield Attempt(attempt, known)
    plain.close()


def test_a_signature_over_the_called_or_the_vendors_address_is_good(tba, running) -> None:
    assert tba().status_code == 200
    vendor = f"https://{tba.known['account_id'].lower()}.suitetalk.api.netsuite.com{TIME}"
    assert tba(said=vendor).status_code == 200
    assert tba(said=running.url.replace("http:", "https:") + TIME).status_code == 200
    assert tba(said=f"https://elsewhere.example{TIME}").status_code == 401


def test_the_query_is_part_of_the_signature_and_every_oauth_parameter_too(tba, running) -> None:
    path = "/services/rest/record/v1/customer?limit=5&q=companyName%20IS%20%22A%20B%22"
    assert tba(path).status_code == 200
    assert tba(path, said=f"{running.url}/services/rest/record/v1/customer").status_code == 401
    assert tba(oauth_extra="anything").status_code == 200


def test_a_body_hash_must_be_the_bodys(tba) -> None:
    body = b'{"q": "SELECT 1 AS n FROM dual"}'
    path = "/services/rest/query/v1/suiteql"
    right = base64.b64encode(hashlib.sha1(body).digest()).decode()
    assert (
        tba(path, "POST", content=body, oauth_body_hash=right).status_code == 400
    )  # let in; the header Prefer is missing
    assert tba(path, "POST", content=body + b" ", oauth_body_hash=right).status_code == 401


@pytest.mark.parametrize(
    "forged",
    [
        {"key": "wrong&secret"},
        {"oauth_timestamp": str(int(time.time()) - 400)},
        {"oauth_timestamp": "soon"},
        {"oauth_signature_method": "HMAC-SHA1"},
        {"oauth_token": "nobody"},
        {"oauth_consumer_key": "nobody"},
        {"realm": "OTHER"},
        {"oauth_nonce": "x"},
    ],
)
def test_what_is_forged_or_stale_is_turned_away(tba, forged) -> None:
    answer = tba(**forged)
    assert answer.status_code == 401
    assert answer.json()["o:errorDetails"][0]["o:errorCode"] == "INVALID_LOGIN"


def test_a_nonce_is_good_once(tba, running) -> None:
    header = signed(tba.known, "GET", f"{running.url}{TIME}")
    assert [tba(header=header).status_code for _ in range(2)] == [200, 401]


def test_five_failures_lock_the_token_when_the_account_says_so(tba, running) -> None:
    running.service.prefer("lock_after_failures", 5)
    for _ in range(5):
        assert tba(key="wrong&secret").status_code == 401
    assert tba().status_code == 401


def test_the_client_signs_every_retry_anew(connect, running) -> None:
    client = connect(flow="tba")
    for fault in ("unavailable", "throttle", "lose_reply"):
        running.faults.once(fault, 2)
        client.ping()
    assert client.api.calls.snapshot()["by_outcome"] == {"GET 200": 3, "GET 429": 2, "GET 503": 2,
                                                         "GET RemoteProtocolError": 2}  # fmt: skip
    client.suiteql_page("SELECT id FROM customer WHERE companyname = ?", ["Ä & B"])
    assert list(client.list_ids("customer", 'companyName IS "A B+C%"')) == [[]]


def test_both_flows_work_over_tls(connect) -> None:
    for flow in ("tba", "oauth2_m2m"):
        connect(flow=flow, tls=True).ping()


def test_an_expired_token_is_fetched_again(connect, running) -> None:
    client = connect()
    client.ping()
    running.faults.once("expire_token")
    client.ping()
    assert client.api.calls.snapshot()["auth"] == 2


def test_a_token_outlives_a_restart_but_not_another_account(running, connect, tmp_path) -> None:
    client = connect()
    client.ping()
    header = {"Authorization": f"Bearer {client.api._client.auth.token().access_token}"}
    from platforms.kit.sandbox.server import RunningSandbox

    with RunningSandbox("netsuite", running.state_dir) as again:
        assert httpx.get(f"{again.url}{TIME}", headers=header, trust_env=False).status_code == 200
    with RunningSandbox("netsuite", tmp_path / "other") as other:
        answer = httpx.get(f"{other.url}{TIME}", headers=header, trust_env=False)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def assertion(known: dict[str, str], audience: str, **changes) -> str:
    now = int(time.time())
    claims = {"iss": known["client_id"], "scope": ["rest_webservices"], "aud": audience, "iat": now, "exp": now + 600}
    headers = {"kid": changes.pop("kid", known["certificate_id"])}
    key = changes.pop("key", known["private_key"])
    return jwt.encode(claims | changes, key, algorithm="ES256", headers=headers)


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({}, 200, None),
        ({"scope": "restlets,rest_webservices"}, 200, None),
        ({"kid": "other"}, 401, "invalid_client"),
        ({"iss": "other"}, 401, "invalid_client"),
        ({"aud": "https://elsewhere.example/token"}, 400, "invalid_grant"),
        ({"exp": int(time.time()) - 600}, 400, "invalid_grant"),
        ({"exp": int(time.time()) + 7200}, 400, "invalid_grant"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, 400, "invalid_grant"),
        ({"scope": ["restlets"]}, 400, "invalid_scope"),
    ],
)
def test_an_assertion_is_checked_against_the_certificate(running, changes, status, error) -> None:
    url = f"{running.url}/services/rest/auth/oauth2/v1/token"
    known = credentials(running.service)
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion(known, url, **changes),
    }
    answer = httpx.post(url, data=form, trust_env=False)
    assert (answer.status_code, answer.json().get("error")) == (status, error)
    assert httpx.post(url, data=form | {"grant_type": "password"}, trust_env=False).status_code == 400


@pytest.mark.parametrize(
    ("flow", "changes", "says"),
    [
        ("tba", {"token_secret": "x" * 64}, "Login Audit Trail"),
        ("oauth2_m2m", {"certificate_id": "nobody"}, "certificate_id"),
        ("oauth2_m2m", {"private_key": "-----BEGIN nothing"}, "private_key"),
        ("oauth2_m2m", {"client_id": ""}, "CLIENT_ID"),
        ("password", {}, "oauth2_m2m or tba"),
    ],
)
def test_wrong_credentials_ask_a_person_and_say_where_to_look(connect, flow, changes, says) -> None:
    with pytest.raises(AskPerson) as caught:
        connect(flow=flow, **changes).ping()
    assert says in str(caught.value)
