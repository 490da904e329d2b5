"""The sandbox's HTTP: the REST API, both Bulk APIs, OAuth and SOAP log-in under the vendor's own paths.

request -> session (401 list) -> daily allowance (403) -> handler -> Sforce-Limit-Info
"""

from __future__ import annotations

import datetime as dt
import re
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from platforms.kit.registry import Limits
from platforms.kit.sandbox.app import ErrorShapes, SandboxApp, body_of, build_app, token_is_expired
from platforms.kit.sandbox.faults import Faults
from platforms.kit.sandbox.service import Refusal
from platforms.salesforce.sandbox.bulk import Bulk1, Bulk2, Jobs, bulk1_error
from platforms.salesforce.sandbox.login import Login, Sessions
from platforms.salesforce.sandbox.rest import Rest
from platforms.salesforce.sandbox.service import SalesforceService
from platforms.salesforce.sandbox.wire import Answer, Call, Handler, answer_of, error_list, host_of, refused

OLDEST, NEWEST = 31, 68
LIMITS = Limits(concurrency=25)
SEASONS = ("Winter", "Spring", "Summer")
_MAX_URL = 16_384


def versions() -> list[dict[str, str]]:
    """The API versions served, oldest first: v50 is Winter '21, three follow each year."""
    found = []
    for number in range(OLDEST, NEWEST + 1):
        year, season = divmod(number - 50, 3)
        label = f"{SEASONS[season]} '{21 + year}"
        found.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
    return found


class Usage:
    """API requests of the last 24 hours of the sandbox's time, in minutes; one process's count."""

    def __init__(self, now: Callable[[], dt.datetime]) -> None:
        self._now = now
        self._minutes: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self) -> int:
        """Count one request; returns the count of the last 24 hours."""
        minute = int(self._now().timestamp() // 60)
        if self._minutes and self._minutes[-1][0] == minute:
            self._minutes[-1] = (minute, self._minutes[-1][1] + 1)
        else:
            self._minutes.append((minute, 1))
        self._total += 1
        while self._minutes and self._minutes[0][0] <= minute - 1440:
            self._total -= self._minutes.popleft()[1]
        return self._total

    def total(self) -> int:
        """The count of the last 24 hours."""
        return self._total


class SalesforceApp:
    """Routes and what they share."""

    def __init__(self, service: SalesforceService, faults: Faults) -> None:
        self.service = service
        self.sessions = Sessions(service)
        self.login = Login(service, self.sessions)
        self.usage = Usage(service.clock.now)
        self.rest = Rest(service, faults, self.usage.total)
        jobs = Jobs(service, faults)
        Bulk2(jobs, self.rest.table)
        self.bulk1 = Bulk1(jobs)

    def routes(self) -> list[Route]:
        """All routes, most special first."""
        made = [
            Route("/services/oauth2/token", self.login.token, methods=["POST"]),
            Route("/services/oauth2/revoke", self.login.revoke, methods=["POST", "GET"]),
            Route("/services/oauth2/userinfo", self.login.identity, methods=["GET", "POST"]),
            Route("/id/{org}/{user}", self.login.identity, methods=["GET", "POST"]),
            Route("/services/Soap/{kind}/{version}", self.login.soap, methods=["POST"]),
            Route("/services/Soap/{kind}/{version}/{org}", self.login.soap, methods=["POST"]),
            Route("/services/data", self.versions, methods=["GET"]),
        ]
        for template, methods, handler, _, _ in self.bulk1.table.entries:
            endpoint = partial(self.bulk1_call, handler)
            made.append(Route("/services/async/{version}" + template, endpoint, methods=sorted(methods)))
        # A template with a free tail would swallow longer fixed ones, so those with more fixed parts come first.
        for template, methods, handler, _, _ in self.rest.table.entries:
            endpoint = partial(self.rest_call, handler)
            made.append(Route("/services/data/{version}" + template, endpoint, methods=sorted(methods)))
        return made

    def versions(self, request: Request) -> Response:
        """GET /services/data, open to everyone."""
        return Answer(body=versions()).response()

    def _session(self, request: Request, token: str) -> str | None:
        if token_is_expired(request) and token:
            self.sessions.expire(token)
            return None
        return self.sessions.user_of(token)

    def rest_call(self, handler: Handler, request: Request) -> Response:
        """One REST call: version, session, allowance, handler."""
        number = _version(str(request.path_params["version"]))
        if number is None or number > NEWEST:
            return error_list("NOT_FOUND", "The requested resource does not exist", 404).response()
        if number < OLDEST:
            return error_list("UNSUPPORTED_API_VERSION", f"API version v{number} is retired", 410).response()
        if len(str(request.url)) > _MAX_URL:
            return error_list("URI_TOO_LONG", "The URI is too long", 414).response()
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() not in ("bearer", "oauth"):
            return error_list(
                "INVALID_AUTH_HEADER" if scheme else "INVALID_SESSION_ID",
                "INVALID_HEADER_TYPE" if scheme else "Session expired or invalid",
                401,
            ).response()
        user = self._session(request, token.strip())
        if user is None:
            return error_list("INVALID_SESSION_ID", "Session expired or invalid", 401).response()
        maximum = self.rest.daily_max()
        if self.usage.total() >= maximum:
            return error_list("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403).response()
        used = self.usage.add()
        answer = answer_of(handler, self._call(request, number, user))
        answer.headers["Sforce-Limit-Info"] = f"api-usage={used}/{maximum}"
        return answer.response()

    def _call(self, request: Request, version: float, user: str) -> Call:
        return Call(
            method=request.method,
            path=request.url.path,
            params={name: str(value) for name, value in request.path_params.items()},
            query=dict(request.query_params),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body_of(request),
            user=user,
            host=host_of(request),
            version=version,
        )

    def bulk1_call(self, handler: Handler, request: Request) -> Response:
        """One Bulk v1 call: its session travels in X-SFDC-Session, its errors have a shape of their own."""
        xml = "xml" in request.headers.get("content-type", "") or "xml" in request.headers.get("accept", "")
        number = _version("v" + str(request.path_params["version"]).removeprefix("v"))
        token = request.headers.get("x-sfdc-session", "")
        if not token and request.headers.get("authorization", "").lower().startswith("bearer "):
            token = request.headers["authorization"][7:]
        user = self._session(request, token)
        if number is None or not OLDEST <= number <= NEWEST:
            return bulk1_error("InvalidVersion", "unsupported API version", xml=xml).response()
        if user is None:
            return bulk1_error("InvalidSessionId", "Invalid session id", 401 if not xml else 400, xml=xml).response()
        used = self.usage.add()
        try:
            answer = handler(self._call(request, number, user))
        except Refusal as refusal:
            answer = bulk1_error(refusal.code, refusal.message, refusal.status, xml=xml)
        answer.headers["Sforce-Limit-Info"] = f"api-usage={used}/{self.rest.daily_max()}"
        return answer.response()


def _version(text: str) -> float | None:
    if text.lower() == "latest":
        return float(NEWEST)
    match = re.fullmatch(r"[vV](\d+)\.0", unquote(text))
    return float(match.group(1)) if match else None


def _refused(request: Request, refusal: Refusal) -> Response:
    return refused(refusal).response()


def create_app(service: Any, faults: Faults) -> SandboxApp:
    """The ASGI app of one org."""
    assert isinstance(service, SalesforceService)
    busy = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
    shapes = ErrorShapes(
        throttled=lambda seconds: error_list("REQUEST_LIMIT_EXCEEDED", busy, 403).response(),
        too_concurrent=lambda: error_list("REQUEST_LIMIT_EXCEEDED", busy, 403).response(),
        unavailable=lambda: error_list("SERVER_UNAVAILABLE", "The server is temporarily unavailable", 503).response(),
        not_found=lambda request: error_list("NOT_FOUND", "The requested resource does not exist", 404).response(),
        method_not_allowed=lambda request: error_list(
            "METHOD_NOT_ALLOWED", f"HTTP Method '{request.method}' not allowed.", 405
        ).response(),
        refused=_refused,
        bad_body=lambda message: error_list("JSON_PARSER_ERROR", message).response(),
        crashed=lambda request, error: error_list("UNKNOWN_EXCEPTION", "An unexpected error occurred.", 500).response(),
    )
    made = SalesforceApp(service, faults)
    return build_app("salesforce", made.routes(), service.store, faults, LIMITS, shapes, id_header="sfdc-request-id")
