"""How a caller gets a session: the OAuth token endpoint, and the SOAP login of old clients (removed from v65.0 on).

Tokens live in the store, so they survive a restart; their life runs on the wall clock, as the callers' does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from starlette.requests import Request
from starlette.responses import Response

from platforms.kit.sandbox.app import body_of, form_of
from platforms.salesforce.sandbox.setup import private_key_pem, token_for
from platforms.salesforce.sandbox.wire import Answer, host_of

if TYPE_CHECKING:
    from platforms.salesforce.sandbox.service import SalesforceService

SESSION_SECONDS = 7200
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Sessions:
    """The org's sessions: issued, looked up, revoked."""

    def __init__(self, service: SalesforceService) -> None:
        self.service = service
        self._seen: dict[str, tuple[str, float]] = {}

    def issue(self, user: str, client: str) -> str:
        """A new access token for a user."""
        store = self.service.store
        number = store.next_number("_token")
        token = token_for(store.meta["credentials"]["client_secret"], store.meta["org_id"], number)
        store.write(
            "INSERT INTO _sessions (token, user_id, client, expires_at) VALUES (?, ?, ?, ?)",
            (token, user, client, time.time() + SESSION_SECONDS),
        )
        return token

    def user_of(self, token: str) -> str | None:
        """The user of a live token."""
        found = self._seen.get(token)
        if found is None:
            row = self.service.store.one("SELECT user_id, expires_at FROM _sessions WHERE token = ?", (token,))
            if row is None:
                return None
            found = self._seen[token] = (row["user_id"], row["expires_at"])
        if found[1] < time.time():
            return None
        return found[0]

    def revoke(self, token: str = "") -> None:
        """End one session, or all."""
        self._seen.clear()
        where, params = (" WHERE token = ?", (token,)) if token else ("", ())
        self.service.store.write(f"DELETE FROM _sessions{where}", params)

    def expire(self, token: str) -> None:
        """Let a token have run out (the fault `expire_token`)."""
        self.revoke(token)


def oauth_error(error: str, description: str) -> Response:
    """The token endpoint's error: an object, status 400."""
    return Answer(status=400, body={"error": error, "error_description": description}).response()


class Login:
    """The handlers of the log-in endpoints."""

    def __init__(self, service: SalesforceService, sessions: Sessions) -> None:
        self.service = service
        self.sessions = sessions

    @property
    def known(self) -> dict[str, str]:
        """The connected app and the integration user."""
        found: dict[str, str] = self.service.store.meta["credentials"]
        return found

    def token(self, request: Request) -> Response:
        """POST /services/oauth2/token: client_credentials, JWT bearer, refresh_token, password."""
        form = {**dict(request.query_params), **dict(form_of(request))}
        grant = form.get("grant_type", "")
        if grant == _JWT_BEARER:
            return self._jwt(request, form)
        client_id, client_secret = form.get("client_id"), form.get("client_secret")
        basic = request.headers.get("authorization", "")
        if basic.lower().startswith("basic "):
            try:
                client_id, _, client_secret = base64.b64decode(basic[6:]).decode().partition(":")
            except ValueError:
                return oauth_error("invalid_client", "invalid client credentials")
        if grant not in ("client_credentials", "refresh_token", "password"):
            return oauth_error("unsupported_grant_type", "grant type not supported")
        if client_id != self.known["client_id"]:
            return oauth_error("invalid_client_id", "client identifier invalid")
        if client_secret != self.known["client_secret"] and not (grant == "refresh_token" and client_secret is None):
            return oauth_error("invalid_client", "invalid client credentials")
        if grant == "refresh_token" and form.get("refresh_token") != self.known["refresh_token"]:
            return oauth_error("invalid_grant", "expired access/refresh token")
        if grant == "password" and not self._password_fits(form.get("username", ""), form.get("password", "")):
            return oauth_error("invalid_grant", "authentication failure")
        return self._granted(request, self.service.store.meta["integration_user_id"], client_id or "")

    def _password_fits(self, username: str, password: str) -> bool:
        known = self.known
        return username == known["username"] and password in (
            known["password"] + known["security_token"],
            known["password"],
        )

    def _jwt(self, request: Request, form: dict[str, str]) -> Response:
        assertion = form.get("assertion", "")
        key = load_pem_private_key(private_key_pem(int(self.service.store.meta["sandbox.seed"])).encode(), None)
        try:
            claims = jwt.decode(
                assertion,
                key.public_key(),  # type: ignore[arg-type]  # the key is RSA
                algorithms=["RS256"],
                options={"verify_aud": False, "verify_exp": False, "require": ["iss", "aud", "exp"]},
            )
        except jwt.PyJWTError:
            return oauth_error("invalid_grant", "invalid assertion")
        now = time.time()
        if claims.get("iss") != self.known["client_id"]:
            return oauth_error("invalid_client_id", "client identifier invalid")
        audience = str(claims["aud"]).rstrip("/")
        allowed = ("https://login.salesforce.com", "https://test.salesforce.com", host_of(request))
        if audience not in allowed and audience.split("://")[-1] != host_of(request).split("://")[-1]:
            return oauth_error("invalid_grant", "audience is invalid")
        try:
            expires = float(claims["exp"])  # simple-salesforce sends it as a string
        except (TypeError, ValueError):
            return oauth_error("invalid_grant", "invalid assertion")
        if expires < now or expires > now + 310:
            return oauth_error("invalid_grant", "expired authorization code")
        subject = claims.get("sub") or claims.get("prn")
        row = self.service.store.one('SELECT "Id", "IsActive" FROM "User" WHERE "Username" = ?', (subject,))
        if row is None:
            return oauth_error("invalid_grant", "user hasn't approved this consumer")
        if not row["IsActive"]:
            return oauth_error("inactive_user", "user is inactive")
        return self._granted(request, row["Id"], claims["iss"])

    def _granted(self, request: Request, user: str, client: str) -> Response:
        token = self.sessions.issue(user, client)
        host = host_of(request)
        identity = f"{host}/id/{self.service.store.meta['org_id']}/{user}"
        issued = str(int(time.time() * 1000))
        secret = self.known["client_secret"].encode()
        signature = base64.b64encode(hmac.new(secret, (identity + issued).encode(), hashlib.sha256).digest()).decode()
        answer = {
            "access_token": token,
            "signature": signature,
            "scope": "api",
            "instance_url": host,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued,
        }
        return Answer(body=answer, headers={"Cache-Control": "no-store"}).response()

    def revoke(self, request: Request) -> Response:
        """POST /services/oauth2/revoke."""
        form = {**dict(request.query_params), **dict(form_of(request))}
        token = form.get("token", "")
        if token == self.known["refresh_token"]:
            return Response(b"", 200)
        if self.sessions.user_of(token) is None:
            return oauth_error("unsupported_token_type", "this token type is not supported")
        self.sessions.revoke(token)
        return Response(b"", 200)

    def identity(self, request: Request) -> Response:
        """GET /id/{org}/{user} and /services/oauth2/userinfo."""
        header = request.headers.get("authorization", "")
        token = header[7:] if header.lower().startswith("bearer ") else request.query_params.get("oauth_token", "")
        user = self.sessions.user_of(token)
        if user is None:
            return Answer(status=403, body=b"Bad_OAuth_Token", content_type="text/html;charset=UTF-8").response()
        org = self.service.store.meta["org_id"]
        row = self.service.store.one('SELECT * FROM "User" WHERE "Id" = ?', (user,)) or {}
        host = host_of(request)
        urls = {
            "enterprise": f"{host}/services/Soap/c/{{version}}/{org}",
            "partner": f"{host}/services/Soap/u/{{version}}/{org}",
            "rest": f"{host}/services/data/v{{version}}/",
            "sobjects": f"{host}/services/data/v{{version}}/sobjects/",
            "query": f"{host}/services/data/v{{version}}/query/",
            "custom_domain": host,
        }
        answer: dict[str, Any] = {
            "id": f"{host}/id/{org}/{user}",
            "sub": f"{host}/id/{org}/{user}",
            "asserted_user": True,
            "user_id": user,
            "organization_id": org,
            "username": row.get("Username"),
            "preferred_username": row.get("Username"),
            "nick_name": row.get("Alias"),
            "display_name": row.get("Name"),
            "name": row.get("Name"),
            "email": row.get("Email"),
            "email_verified": True,
            "first_name": row.get("FirstName"),
            "last_name": row.get("LastName"),
            "timezone": row.get("TimeZoneSidKey"),
            "active": bool(row.get("IsActive")),
            "user_type": "STANDARD",
            "language": row.get("LanguageLocaleKey"),
            "locale": row.get("LocaleSidKey"),
            "utcOffset": 0,
            "is_app_installed": True,
            "urls": urls,
        }
        return Answer(body=answer).response()

    def soap(self, request: Request) -> Response:
        """POST /services/Soap/{u|c}/{version}: login() only."""
        version = re.match(r"\d+(\.\d)?", str(request.path_params["version"]))
        try:
            envelope = ElementTree.fromstring(body_of(request))
        except ElementTree.ParseError:
            return _fault("soapenv:Client", "CLIENT", "the request is no well-formed XML")
        given = {node.tag.rsplit("}", 1)[-1]: (node.text or "") for node in envelope.iter()}
        if "login" not in given:
            return _fault("sf:INVALID_OPERATION", "INVALID_OPERATION", "only login() is offered here")
        if version is None or float(version.group()) >= 65:
            return _fault(
                "sf:UNSUPPORTED_API_VERSION", "UNSUPPORTED_API_VERSION", "login() is not available in this API version"
            )
        if not self._password_fits(given.get("username", ""), given.get("password", "")):
            return _fault(
                "sf:INVALID_LOGIN",
                "INVALID_LOGIN",
                "INVALID_LOGIN: Invalid username, password, security token; or user locked out.",
            )
        meta = self.service.store.meta
        user, org, host = meta["integration_user_id"], meta["org_id"], host_of(request)
        token = self.sessions.issue(user, "soap")
        row = self.service.store.one('SELECT * FROM "User" WHERE "Id" = ?', (user,)) or {}
        server = f"{host}/services/Soap/{request.path_params['kind']}/{version.group()}/{org}"
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
            'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><loginResponse><result>'
            f"<metadataServerUrl>{escape(server.replace('/u/', '/m/'))}</metadataServerUrl>"
            f"<passwordExpired>false</passwordExpired><sandbox>true</sandbox><serverUrl>{escape(server)}</serverUrl>"
            f"<sessionId>{escape(token)}</sessionId><userId>{user}</userId><userInfo>"
            f"<organizationId>{org}</organizationId><organizationMultiCurrency>true</organizationMultiCurrency>"
            f"<organizationName>Northwind Services Group</organizationName>"
            f"<sessionSecondsValid>{SESSION_SECONDS}</sessionSecondsValid>"
            f"<userEmail>{escape(str(row.get('Email')))}</userEmail><userFullName>{escape(str(row.get('Name')))}</userFullName>"
            f"<userId>{user}</userId><userName>{escape(str(row.get('Username')))}</userName><userTimeZone>GMT</userTimeZone>"
            "</userInfo></result></loginResponse></soapenv:Body></soapenv:Envelope>"
        )
        return Answer(body=body.encode(), content_type="text/xml;charset=UTF-8").response()


def _fault(faultcode: str, code: str, message: str) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:sf="urn:fault.partner.soap.sforce.com" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault>'
        f"<faultcode>{faultcode}</faultcode><faultstring>{escape(message)}</faultstring><detail>"
        f'<sf:LoginFault xsi:type="sf:LoginFault"><sf:exceptionCode>{code}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{escape(message)}</sf:exceptionMessage></sf:LoginFault></detail>"
        "</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
    )
    return Answer(status=500, body=body.encode(), content_type="text/xml;charset=UTF-8").response()
