"""Who is calling: TBA signatures (OAuth 1.0, HMAC-SHA256) and OAuth 2.0 machine-to-machine, both really verified.

A TBA client signs the address it believes in. That may be the vendor's https address or the one it was pointed at, so
both are tried, http and https; everything else must be exact, and whatever `oauth_*` parameters came are in the base
string (clients built on Authlib add `oauth_body_hash`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.requests import Request

from platforms.kit.sandbox.app import body_of, token_is_expired
from platforms.netsuite.sandbox.service import NetSuiteService
from platforms.netsuite.sandbox.setup import ACCOUNT

_TOLERANCE = 300
_LOCKED_FOR = 1800
_ALGORITHMS = ("PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
TOKEN_PATH = "/services/rest/auth/oauth2/v1/token"
LIFETIME = 3600


class Denied(Exception):
    """The caller is not let in. `scheme` is 'oauth' or 'bearer'; `reason` is what the login audit trail says."""

    def __init__(self, scheme: str, reason: str) -> None:
        super().__init__(reason)
        self.scheme = scheme
        self.reason = reason


class TokenError(Exception):
    """The token endpoint says no: an OAuth 2.0 error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def host_label(account: str) -> str:
    """The account id as it stands in host names: lower case, '-' for '_'."""
    return account.lower().replace("_", "-")


def _pct(text: str) -> str:
    return quote(text, safe="~")


class Gate:
    """Verifies every request of one running sandbox."""

    def __init__(self, service: NetSuiteService) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._nonces: dict[tuple[str, str, str], float] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._tokens: Mapping[str, Mapping[str, str]] = service.store.meta["netsuite.tokens"]
        self._clients: Mapping[str, Mapping[str, str]] = service.store.meta["netsuite.clients"]
        self._signing: rsa.RSAPrivateKey | None = None
        # What the login audit trail would show: reasons of refused logins, newest last.
        self.audit: list[str] = []

    def actor(self, request: Request) -> str:
        """The identity behind a request. Raises Denied."""
        header = request.headers.get("authorization", "")
        scheme, _, rest = header.partition(" ")
        try:
            if scheme.lower() == "oauth":
                return self._signed(request, rest)
            if scheme.lower() == "bearer":
                return self._bearer(request, rest.strip())
            raise Denied("bearer", "no credentials")
        except Denied as denied:
            self.audit.append(denied.reason)
            raise

    # -- OAuth 1.0 ---------------------------------------------------------------------------------------------------

    def _signed(self, request: Request, header: str) -> str:
        given: dict[str, str] = {}
        for part in header.split(","):
            name, _, value = part.strip().partition("=")
            given[unquote(name)] = unquote(value.strip().strip('"'))
        realm = given.pop("realm", "")
        signature = given.pop("oauth_signature", "")
        if realm.upper().replace("-", "_") != ACCOUNT.upper():
            raise Denied("oauth", "permission_denied")
        if given.get("oauth_signature_method") != "HMAC-SHA256":
            raise Denied("oauth", "UnknownAlgorithm")
        token_id = given.get("oauth_token", "")
        token = self._tokens.get(token_id)
        if token is None:
            raise Denied("oauth", "token_rejected")
        if token["consumer_key"] != given.get("oauth_consumer_key"):
            raise Denied("oauth", "consumer_key_unknown")
        self._not_locked(token_id)
        stamp, nonce = given.get("oauth_timestamp", ""), given.get("oauth_nonce", "")
        if not stamp.isdigit() or abs(time.time() - int(stamp)) > _TOLERANCE:
            raise Denied("oauth", "InvalidTimestamp")
        body = body_of(request)
        if (
            "oauth_body_hash" in given
            and given["oauth_body_hash"] != base64.b64encode(hashlib.sha1(body).digest()).decode()
        ):
            self._failed(token_id, "InvalidSignature")
        key = f"{_pct(token['consumer_secret'])}&{_pct(token['token_secret'])}".encode()
        for text in self._base_strings(request, given):
            expected = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
            if hmac.compare_digest(expected, signature):
                break
        else:
            self._failed(token_id, "InvalidSignature")
        if len(nonce) < 6:
            raise Denied("oauth", "NonceUsed")
        self._once(token_id, stamp, nonce)
        with self._lock:
            self._failures.pop(token_id, None)
        return token["actor"]

    def _base_strings(self, request: Request, oauth: Mapping[str, str]) -> list[str]:
        query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        pairs = sorted((_pct(k), _pct(v)) for k, v in [*query, *oauth.items()])
        params = _pct("&".join(f"{k}={v}" for k, v in pairs))
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        path = raw.decode("latin-1").partition("?")[0]
        paths = {path, quote(unquote(path), safe="/:!~")}
        hosts = {request.headers.get("host", "").lower(), f"{host_label(ACCOUNT)}.suitetalk.api.netsuite.com",
                 f"{host_label(ACCOUNT)}.restlets.api.netsuite.com"}  # fmt: skip
        out = []
        for host in hosts:
            for scheme, port in (("https", ":443"), ("http", ":80")):
                for one in paths:
                    url = f"{scheme}://{host.removesuffix(port)}{one}"
                    out.append(f"{request.method.upper()}&{_pct(url)}&{params}")
        return out

    def _once(self, token: str, stamp: str, nonce: str) -> None:
        key, now = (token, stamp, nonce), time.time()
        with self._lock:
            if key in self._nonces:
                raise Denied("oauth", "NonceUsed")
            self._nonces[key] = now
            if len(self._nonces) > 20_000:
                self._nonces = {k: t for k, t in self._nonces.items() if now - t < 2 * _TOLERANCE}

    def _not_locked(self, token: str) -> None:
        limit = int(self._service.preference("lock_after_failures"))
        with self._lock:
            count, since = self._failures.get(token, (0, 0.0))
        if limit and count >= limit and time.time() - since < _LOCKED_FOR:
            raise Denied("oauth", "temporary_locked")

    def _failed(self, token: str, reason: str) -> None:
        with self._lock:
            self._failures[token] = (self._failures.get(token, (0, 0.0))[0] + 1, time.time())
        raise Denied("oauth", reason)

    # -- OAuth 2.0 ---------------------------------------------------------------------------------------------------

    def grant(self, request: Request, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer the token endpoint: a bearer token for a valid signed assertion. Raises TokenError."""
        if form.get("grant_type") != "client_credentials":
            raise TokenError("unsupported_grant_type" if form.get("grant_type") else "invalid_request")
        if form.get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
            raise TokenError("invalid_request")
        assertion = form.get("client_assertion", "")
        try:
            header = jwt.get_unverified_header(assertion)
            claims = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise TokenError("invalid_request") from None
        client = self._clients.get(str(claims.get("iss")))
        if client is None or header.get("kid") != client["certificate_id"] or header.get("alg") not in _ALGORITHMS:
            raise TokenError("invalid_client")
        host = request.headers.get("host", "")
        audience = [f"{scheme}://{host}{TOKEN_PATH}" for scheme in ("https", "http")]
        audience += [
            f"https://{host_label(ACCOUNT)}.{kind}.api.netsuite.com{TOKEN_PATH}" for kind in ("suitetalk", "restlets")
        ]
        key = x509.load_pem_x509_certificate(client["certificate"].encode()).public_key()
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise TokenError("invalid_client")
        try:
            jwt.decode(
                assertion, key, algorithms=[header["alg"]], audience=audience,
                options={"require": ["iss", "aud", "iat", "exp"]}, leeway=60,
            )  # fmt: skip
        except jwt.PyJWTError:
            raise TokenError("invalid_grant") from None
        if int(claims["exp"]) - int(claims["iat"]) > 3600:
            raise TokenError("invalid_grant")
        scope = claims.get("scope", [])
        scopes = scope.replace(",", " ").split() if isinstance(scope, str) else list(scope)
        if "rest_webservices" not in scopes:
            raise TokenError("invalid_scope")
        now = int(time.time())
        token = jwt.encode(
            {
                "sub": f"{client['actor']};{ACCOUNT}",
                "aud": [claims["iss"], f"app:{ACCOUNT}"],
                "scope": scopes,
                "iss": "https://system.netsuite.com",
                "iat": now,
                "oit": now,
                "exp": now + LIFETIME,
                "jti": secrets.token_hex(8),
            },
            self._key(),
            algorithm="RS256",
        )
        return {"access_token": token, "expires_in": LIFETIME, "token_type": "Bearer"}

    def _bearer(self, request: Request, token: str) -> str:
        if token_is_expired(request):
            raise Denied("bearer", "expired")
        try:
            claims = jwt.decode(
                token, self._key().public_key(), algorithms=["RS256"], options={"verify_aud": False}
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise Denied("bearer", type(error).__name__) from None
        return str(claims["sub"]).partition(";")[0]

    def _key(self) -> rsa.RSAPrivateKey:
        """The key that signs access tokens; kept in the store, so that tokens outlive a restart."""
        with self._lock:
            if self._signing is None:
                meta = self._service.store.meta
                text = meta.get("netsuite.access_token_key")
                if text is None:
                    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
                    text = made.private_bytes(
                        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                    ).decode()
                    meta["netsuite.access_token_key"] = text
                key = serialization.load_pem_private_key(text.encode(), password=None)
                assert isinstance(key, rsa.RSAPrivateKey)
                self._signing = key
            return self._signing
