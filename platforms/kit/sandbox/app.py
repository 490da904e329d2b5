"""A sandbox's HTTP: the vendor's routes behind limits, faults, request ids and the logical clock.

    request -> /_sandbox/* -> rate, concurrency -> faults -> route -> (again? lost?) -> id, Date -> answer

Handlers are plain functions `(request) -> Response`, sync or async, run in the event loop: a sandbox handles one
request at a time, so a handler's store transaction is never interleaved. The body is read before the handler is called;
sync handlers get it from `body_of`, `json_of` or `form_of`. A Refusal raised by a handler becomes the vendor's shape.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, compile_path
from starlette.types import Message, Receive, Scope, Send

from platforms.kit import jsonio
from platforms.kit.registry import Limits
from platforms.kit.sandbox.clock import SandboxClock
from platforms.kit.sandbox.faults import Faults, Verdict
from platforms.kit.sandbox.service import Refusal
from platforms.kit.sandbox.store import Store

log = logging.getLogger("tieout.sandbox")

# Set in the ASGI scope by the server (server.py): the connection's transport, so that a reply can be lost for real.
TRANSPORT = "tieout.transport"
_EXPIRED = "tieout.expired"
_BODY = "tieout.body"


class BadBody(ValueError):
    """The request's body is not the JSON it should be."""


class JsonResponse(Response):
    """JSON with exact Decimals. `content_type` is the vendor's exact one, e.g. 'application/json;charset=UTF-8'."""

    def __init__(
        self,
        content: Any,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> None:
        super().__init__(jsonio.dumps(content).encode("utf-8"), status, dict(headers or {}))
        self.headers["content-type"] = content_type


def body_of(request: Request) -> bytes:
    """The whole body; read before the handler was called."""
    body: bytes = request.scope.get(_BODY, b"")
    return body


def json_of(request: Request) -> Any:
    """The body as JSON with Decimals, None when it is empty. Raises BadBody (answered in the vendor's shape)."""
    body = body_of(request)
    if not body.strip():
        return None
    try:
        return jsonio.loads(body)
    except ValueError as error:
        raise BadBody(str(error)) from error


def form_of(request: Request) -> list[tuple[str, str]]:
    """The pairs of a form-encoded body, blanks kept, in order."""
    return parse_qsl(body_of(request).decode("utf-8", errors="replace"), keep_blank_values=True)


def token_is_expired(request: Request) -> bool:
    """Whether the faults say that this request's token has expired; the room then answers as the vendor does."""
    return bool(request.scope.get(_EXPIRED, False))


def _plain(status: int, message: str) -> Response:
    return JsonResponse({"error": message}, status)


@dataclass(frozen=True, kw_only=True)
class ErrorShapes:
    """The vendor's own answers where the kit, not a route, says no. Each gets what it needs and returns a Response.

    `throttled(seconds)`: too many requests in a row. `too_concurrent()`: too many at once. `refused(request, refusal)`:
    a Refusal raised by the service. `bad_body(message)`: unparsable JSON. `crashed(request, error)`: a bug in the
    sandbox, shown as the vendor's 500.
    """

    throttled: Callable[[float], Response] = lambda seconds: _plain(429, "too many requests")
    too_concurrent: Callable[[], Response] = lambda: _plain(429, "too many requests at the same time")
    unavailable: Callable[[], Response] = lambda: _plain(503, "unavailable")
    not_found: Callable[[Request], Response] = lambda request: _plain(404, "not found")
    method_not_allowed: Callable[[Request], Response] = lambda request: _plain(405, "method not allowed")
    refused: Callable[[Request, Refusal], Response] = lambda request, refusal: _plain(refusal.status, str(refusal))
    bad_body: Callable[[str], Response] = lambda message: _plain(400, message)
    crashed: Callable[[Request, Exception], Response] = lambda request, error: _plain(500, "internal error")


@dataclass
class _Compiled:
    pattern: re.Pattern[str]
    convertors: Mapping[str, Any]
    methods: frozenset[str] | None
    template: str
    endpoint: Callable[[Request], Any]


@dataclass
class _Bucket:
    """A token bucket on the wall's monotonic clock: the vendor limits real requests in real time."""

    tokens: float = 0.0
    seen: float = field(default_factory=time.monotonic)

    def seconds_until_free(self, limits: Limits) -> float:
        if limits.requests_per_second is None:
            return 0.0
        now = time.monotonic()
        self.tokens = min(float(limits.burst), self.tokens + (now - self.seen) * limits.requests_per_second)
        self.seen = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / limits.requests_per_second


class SandboxApp:
    """The ASGI app that `build_app` returns. `limits` and `latency` (seconds added to each handler) may be changed."""

    def __init__(
        self,
        name: str,
        routes: Sequence[Route],
        store: Store,
        faults: Faults,
        limits: Limits,
        error_shapes: ErrorShapes,
        *,
        latency: float,
        every_answer: Callable[[Request, Response], None],
        id_header: str,
        limited: Callable[[Request], bool],
    ) -> None:
        self.name = name
        self.store = store
        self.clock = SandboxClock(store)
        self.faults = faults
        self.limits = limits
        self.latency = latency
        self.shapes = error_shapes
        self.every_answer = every_answer
        self.id_header = id_header
        self.limited = limited
        self._routes = [_compile(route) for route in routes]
        self._bucket = _Bucket(tokens=float(limits.burst))
        self._in_flight = 0
        self._numbered = 0
        self._calls: Counter[tuple[str, str, int]] = Counter()
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            raise RuntimeError(f"a sandbox does not speak {scope['type']}")

    def calls(self) -> dict[str, Any]:
        """How many requests came in, by 'METHOD template' and by status, since the start or the last reset."""
        with self._lock:
            counted = dict(self._calls)
        by_route: Counter[str] = Counter()
        by_status: Counter[str] = Counter()
        for (method, template, status), number in counted.items():
            by_route[f"{method} {template}"] += number
            by_status[str(status)] += number
        detail = {f"{method} {template} {status}": number for (method, template, status), number in counted.items()}
        return {
            "total": sum(counted.values()),
            "by_route": dict(sorted(by_route.items())),
            "by_status": dict(sorted(by_status.items())),
            "by_route_and_status": dict(sorted(detail.items())),
        }

    # -- the way of one request --------------------------------------------------------------------------------------

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        scope[_BODY] = await request.body()
        if scope["path"].startswith("/_sandbox/"):
            await self._control(request)(scope, receive, send)
            return
        self._numbered += 1
        number = self._numbered
        found, params = self._find(scope["path"], scope["method"])
        template = found.template if found is not None else "(no such route)"
        scope["path_params"] = params
        verdict = Verdict()
        response = self._over_rate(request)
        if response is None:
            concurrency = self.limits.concurrency
            if concurrency is not None and self._in_flight >= concurrency and self.limited(request):
                response = self.shapes.too_concurrent()
        if response is None:
            verdict = self.faults.decide(scope["method"])
            if verdict.throttle and self.limited(request):
                response = self.shapes.throttled(1.0)
            elif verdict.unavailable:
                response = self.shapes.unavailable()
        if response is None:
            scope[_EXPIRED] = verdict.expire_token
            counted = self.limited(request)
            self._in_flight += counted
            try:
                pause = self.latency + verdict.slow_seconds
                if pause > 0 or self.limits.concurrency is not None:
                    # Even no pause lets the loop read what else has arrived by now: that is what is under way at once.
                    await asyncio.sleep(pause)
                response = await self._handle(request, found)
                if verdict.duplicate:
                    response = await self._handle(request, found)
            finally:
                self._in_flight -= counted
        self.every_answer(request, response)
        with self._lock:
            self._calls[scope["method"], template, response.status_code] += 1
        if verdict.lose_reply:
            await self._lose(scope, receive)
            return
        headers = MutableHeaders(raw=response.raw_headers)
        headers["date"] = _http_date(self.clock)
        if self.id_header and self.id_header not in headers:
            headers[self.id_header] = f"{self.name}-{number:08d}"
        await response(scope, receive, send)

    def _over_rate(self, request: Request) -> Response | None:
        if self.limits.requests_per_second is None or not self.limited(request):
            return None
        seconds = self._bucket.seconds_until_free(self.limits)
        return self.shapes.throttled(seconds) if seconds > 0 else None

    async def _handle(self, request: Request, found: _Compiled | None) -> Response:
        if found is None:
            return self.shapes.not_found(request)
        if found.methods is not None and request.method not in found.methods:
            return self.shapes.method_not_allowed(request)
        try:
            result = found.endpoint(request)
            if inspect.isawaitable(result):
                result = await result
        except Refusal as refusal:
            return self.shapes.refused(request, refusal)
        except BadBody as error:
            return self.shapes.bad_body(str(error))
        except Exception as error:
            log.exception("the %s sandbox failed at %s %s", self.name, request.method, found.template)
            return self.shapes.crashed(request, error)
        assert isinstance(result, Response), f"{found.template} returned {type(result).__name__}, not a Response"
        return result

    def _find(self, path: str, method: str) -> tuple[_Compiled | None, dict[str, Any]]:
        """The first route whose path and method fit; else the first whose path fits (it answers 405)."""
        wanted = path.rstrip("/") or "/"
        other: tuple[_Compiled | None, dict[str, Any]] = (None, {})
        for route in self._routes:
            match = route.pattern.match(wanted)
            if match is None:
                continue
            params = {name: route.convertors[name].convert(value) for name, value in match.groupdict().items()}
            if route.methods is None or method in route.methods:
                return route, params
            if other[0] is None:
                other = (route, params)
        return other

    async def _lose(self, scope: Scope, receive: Receive) -> None:
        """Close the connection without a byte. What was done stays done."""
        transport = scope.get(TRANSPORT)
        if transport is None:
            raise ConnectionResetError("the sandbox lost this reply on purpose")
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass

    def _control(self, request: Request) -> Response:
        """/_sandbox/health, calls (DELETE counts anew), faults and limits (GET; POST to change), faults/once (POST)."""
        place = request.url.path.rstrip("/").removeprefix("/_sandbox/")
        if place == "health":
            return JsonResponse({"name": self.name, "ok": True, "now": self.clock.now().isoformat()})
        if place == "calls":
            counted = self.calls()
            if request.method == "DELETE":
                with self._lock:
                    self._calls.clear()
            return JsonResponse(counted)
        if place in ("faults", "limits", "faults/once"):
            return self._switch(request, place)
        return _plain(404, "there are /_sandbox/health, /_sandbox/calls, /_sandbox/faults, /_sandbox/limits")

    def _switch(self, request: Request, place: str) -> Response:
        try:
            wanted = json_of(request)
            if place == "faults/once":
                self.faults.once(wanted["fault"], int(wanted.get("times", 1)))
            elif place == "faults" and wanted is not None:
                self.faults.use(_floats(wanted))
            elif place == "limits" and wanted is not None:
                self.limits = Limits(**_floats(wanted))
                self._bucket = _Bucket(tokens=float(self.limits.burst))
        except (ValueError, TypeError, KeyError) as error:
            return _plain(400, f"{type(error).__name__}: {error}")
        if place == "limits":
            return JsonResponse(vars(self.limits))
        return JsonResponse(self.faults.as_dict())

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message: Message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def build_app(
    name: str,
    routes: Sequence[Route],
    store: Store,
    faults: Faults,
    limits: Limits,
    error_shapes: ErrorShapes | None = None,
    *,
    latency: float | None = None,
    every_answer: Callable[[Request, Response], None] = lambda request, response: None,
    id_header: str = "x-request-id",
    limited: Callable[[Request], bool] = lambda request: True,
) -> SandboxApp:
    """The sandbox's ASGI app.

    `routes` are starlette Routes (`Route("/x/{id}", handler, methods=["GET"])`), matched in order, without regard to
    case or a trailing slash; parameters keep their case. `limits` are the vendor's. `latency` is a pause in seconds in
    every handler, so that concurrency is visible (default: the environment's TIEOUT_SANDBOX_LATENCY, else none).
    `every_answer(request, response)` may add the vendor's headers. `limited(request)` says whether a request counts
    against the limits and can be throttled (token endpoints usually cannot).
    """
    if latency is None:
        latency = float(os.environ.get("TIEOUT_SANDBOX_LATENCY", "0"))
    return SandboxApp(
        name,
        routes,
        store,
        faults,
        limits,
        error_shapes or ErrorShapes(),
        latency=latency,
        every_answer=every_answer,
        id_header=id_header,
        limited=limited,
    )


def _compile(route: Route) -> _Compiled:
    pattern, _, convertors = compile_path(route.path.rstrip("/") or "/")
    methods = frozenset(route.methods) if route.methods else None
    return _Compiled(re.compile(pattern.pattern, re.IGNORECASE), convertors, methods, route.path, route.endpoint)


def _floats(value: Any) -> Any:
    """Shares and limits as the plain numbers they are used as (JSON gives Decimals)."""
    if isinstance(value, Mapping):
        return {key: _floats(item) for key, item in value.items()}
    return float(value) if type(value).__name__ == "Decimal" else value


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _http_date(clock: SandboxClock) -> str:
    """The logical time as an HTTP date (never localized, unlike strftime)."""
    now = clock.now()
    return f"{_DAYS[now.weekday()]}, {now.day:02d} {_MONTHS[now.month - 1]} {now.year} {now:%H:%M:%S} GMT"
