"""How Tieout speaks to a platform: one request in, one believable answer or one classified error out.

    budget slot -> auth -> send -> classify -> answer
                                      |-> Retry / Wait / NotSent: paused and sent again, where that is safe
                                      |-> Uncertain: never sent again here; the engine reads back first

The one question that matters is whether a second sending could do the thing twice. The caller answers it with
`idempotent`: True for reads, upserts by a business key and deletes; False for creates. An idempotent request is
repeated after any stumble. The other kind is repeated only when the vendor surely did nothing: it said so (429, or a
4xx the room calls Retry), or the request never left this machine.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import os
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NoReturn

import httpx

from platforms.kit import jsonio
from platforms.kit.auth import TokenAuth, is_certificate_trouble, untrusted
from platforms.kit.budget import BUDGET
from platforms.kit.context import ClientContext
from platforms.kit.errors import (
    AskPerson,
    BadAnswer,
    Conflict,
    Gone,
    NotSent,
    PlatformError,
    Refused,
    Retry,
    Uncertain,
    Wait,
)
from platforms.kit.secrets import mask

log = logging.getLogger("tieout.http")
# httpx logs whole URLs at INFO, queries and the customers' names in them included; this module logs the paths instead.
if logging.getLogger("httpx").level == logging.NOTSET:
    logging.getLogger("httpx").setLevel(logging.WARNING)

Kind = Literal["read", "write", "poll", "auth"]

# Full-jitter backoff: a random pause between 0 and min(cap, base * 2^attempt) seconds, so that callers spread out.
_BASE_PAUSE = 0.5
_PAUSE_CAP = 30.0
# A pause the vendor asks for is honoured up to this; a longer one is the caller's to plan (it gets the Wait).
_LONGEST_ASKED_PAUSE = 120.0
# All pauses of one request together.
_LONGEST_TOTAL_PAUSE = 600.0
# "Slow down" is no failure: it may be heard more often than max_attempts before giving up.
_WAITS_PER_ATTEMPT = 3
# The code of a Retry whose connection broke after the request may have left.
_UNHEARD = "unheard"
_IDS = ("x-request-id", "request-id", "x-correlation-id", "sfdc-request-id", "x-n-operationid")


class CallCounter:
    """How many HTTP calls were made, by what they were for, how they were made and how they ended. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: Counter[str] = Counter()
        self._outcomes: Counter[tuple[str, str]] = Counter()

    def count(self, kind: Kind, method: str, outcome: str) -> None:
        """Count one call; `outcome` is the status code or the class of the transport error."""
        with self._lock:
            self._kinds[kind] += 1
            self._outcomes[method, outcome] += 1

    @property
    def reads(self) -> int:
        """Calls that read."""
        return self._kinds["read"]

    @property
    def writes(self) -> int:
        """Calls that wrote."""
        return self._kinds["write"]

    def snapshot(self) -> dict[str, Any]:
        """The counts at this moment: reads, writes, polls, auth, total, and by_outcome {'GET 200': n}."""
        with self._lock:
            return {
                "reads": self._kinds["read"],
                "writes": self._kinds["write"],
                "polls": self._kinds["poll"],
                "auth": self._kinds["auth"],
                "total": sum(self._kinds.values()),
                "by_outcome": {f"{method} {outcome}": n for (method, outcome), n in sorted(self._outcomes.items())},
            }


class ApiClient:
    """One connection's HTTP client. Thread-safe; keep one per connection and close it (`with`).

    `classify(response)` is the room's reading of an answer: None when it is fine, else the error to raise. What it
    leaves as None although the status says failure is classified by status alone. `base_url` without a scheme of https
    is refused unless it is this machine's. Absolute URLs are followed only to the base URL's own origin (and origins
    given to `trust`), so that a link in an answer cannot carry the credentials elsewhere.
    """

    def __init__(
        self,
        platform: str,
        base_url: str,
        auth: httpx.Auth | None,
        classify: Callable[[httpx.Response], PlatformError | None],
        context: ClientContext,
        *,
        default_headers: Mapping[str, str] | None = None,
        max_attempts: int = 6,
    ) -> None:
        self.platform = platform
        self.context = context
        self.classify = classify
        self.max_attempts = max_attempts
        self.calls = CallCounter()
        self.server_time: datetime | None = None
        self._trusted: set[tuple[str, str, int | None]] = set()
        self._base_url = self._checked_base(base_url)
        headers = {"Accept": "application/json", "User-Agent": "tieout/0.1", **(default_headers or {})}
        options: dict[str, Any] = {
            "timeout": httpx.Timeout(context.timeout, connect=min(10.0, context.timeout)),
            "limits": httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=20),
            "follow_redirects": False,
            "http2": False,
            # A proxy from the environment is for the world outside, not for a sandbox on this machine.
            "trust_env": not _is_this_machine(self._base_url.host),
        }
        if context.transport is not None:
            options["transport"] = context.transport
        else:
            options["verify"] = self._tls(context.verify)
        self._client = httpx.Client(auth=auth, headers=headers, **options)
        self._auth_client: httpx.Client | None = None
        if isinstance(auth, TokenAuth):
            self._auth_client = httpx.Client(headers={"User-Agent": headers["User-Agent"]}, **options)
            auth.bind(self._auth_client, lambda: self.calls.count("auth", "POST", "token"))

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._client.close()
        if self._auth_client is not None:
            self._auth_client.close()

    @property
    def base_url(self) -> str:
        """Where relative paths go, without a trailing slash. Settable: some vendors name the host only at log-in."""
        return str(self._base_url).rstrip("/")

    @base_url.setter
    def base_url(self, url: str) -> None:
        self._base_url = self._checked_base(url)

    def trust(self, url: str) -> None:
        """Also follow absolute URLs to the origin of `url` (a vendor's second host)."""
        self._checked_base(url)

    def request(
        self,
        method: str,
        path_or_url: str,
        *,
        params: Mapping[str, Any] | list[tuple[str, Any]] | None = None,
        json: Any = None,
        content: bytes | str | None = None,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool,
        kind: Kind | None = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        """Send one request and return its answer, body read, once an answer can be believed.

        `json` may hold Decimals. `idempotent` says whether sending twice does the thing once (see the module). `kind`
        is what the call is counted as (GET counts as a read, everything else as a write). `timeout` in seconds for
        this request. Raises a PlatformError subclass; Uncertain only when `idempotent` is False.
        """
        url = self._url(path_or_url)
        sent_headers = dict(headers or {})
        if json is not None:
            content = jsonio.dumps(json).encode("utf-8")
            if not any(name.lower() == "content-type" for name in sent_headers):
                sent_headers["Content-Type"] = "application/json"
        counted: Kind = kind or ("read" if method.upper() in ("GET", "HEAD", "OPTIONS") else "write")
        attempts = waits = 0
        paused = 0.0
        while True:
            try:
                response = self._send(method, url, params, content, data, sent_headers, timeout, counted)
                self._believe(response, idempotent)
                return response
            except PlatformError as raised:
                # What is safe to repeat is never left uncertain.
                error = _as_retry(raised) if idempotent and isinstance(raised, Uncertain) else raised
                self._complete(error)
                waits += isinstance(error, Wait)
                attempts += not isinstance(error, Wait)
                if not self._may_repeat(error, idempotent):
                    raise error from raised.__cause__
                spent = attempts >= self.max_attempts or waits >= self.max_attempts * _WAITS_PER_ATTEMPT
                pause = self._pause(error, attempts + waits)
                if spent or pause is None or paused + pause > _LONGEST_TOTAL_PAUSE:
                    raise error from raised.__cause__
                log.debug("%s: again in %.2f s after %s", self.context.connection, pause, type(error).__name__)
            self.context.sleep(pause)
            paused += pause

    def json(self, response: httpx.Response) -> Any:
        """The answer's JSON with Decimals, None for an empty body; else BadAnswer (Uncertain after a create)."""
        if "tieout.json" not in response.extensions:
            response.extensions["tieout.json"] = self._parse(response) if response.content else None
        return response.extensions["tieout.json"]

    def error(self, kind: type[PlatformError], message: str, **details: Any) -> PlatformError:
        """A PlatformError of this connection; for rooms that classify."""
        return kind(message, platform=self.platform, connection=self.context.connection, **details)

    # -- one attempt -------------------------------------------------------------------------------------------------

    def _send(
        self,
        method: str,
        url: httpx.URL,
        params: Any,
        content: bytes | str | None,
        data: Mapping[str, Any] | None,
        headers: dict[str, str],
        timeout: float | None,
        kind: Kind,
    ) -> httpx.Response:
        budget = self.context.budget
        with budget.slot() if budget is not None else nullcontext():
            started = time.perf_counter()
            outcome = "failed"
            try:
                response = self._client.request(
                    method,
                    url,
                    params=params or None,  # an empty mapping would wipe out the query of a next-page link
                    content=content,
                    data=data,
                    headers=headers,
                    timeout=self._client.timeout if timeout is None else timeout,
                )
                outcome = str(response.status_code)
            except httpx.HTTPError as error:
                outcome = type(error).__name__
                raise self._transport_error(error, method, url) from error
            except PlatformError as error:
                outcome = type(error).__name__
                raise
            finally:
                self.calls.count(kind, method.upper(), outcome)
                elapsed = (time.perf_counter() - started) * 1000
                if log.isEnabledFor(logging.DEBUG):
                    request_id = _request_id(response) if outcome.isdigit() else ""
                    place = mask(url.path)
                    log.debug(
                        "%s %s %s -> %s in %.0f ms %s",
                        self.context.connection,
                        method.upper(),
                        place,
                        outcome,
                        elapsed,
                        request_id,
                    )
        self._note_time(response)
        return response

    def _transport_error(self, error: httpx.HTTPError, method: str, url: httpx.URL) -> PlatformError:
        """NotSent when the request cannot have left; else Retry, which _may_repeat turns into Uncertain if need be."""
        what = f"{method.upper()} {_place(url)}: {type(error).__name__}: {error}"
        if is_certificate_trouble(error):
            return untrusted(what)
        if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            return NotSent(what, code="url")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
            return NotSent(what)
        return Retry(what, code=_UNHEARD)

    def _believe(self, response: httpx.Response, idempotent: bool) -> None:
        """Return when the answer is a success in the API's own language; raise what it is otherwise."""
        response.extensions["tieout.idempotent"] = idempotent
        status = response.status_code
        content_type = response.headers.get("content-type", "").lower()
        if "html" in content_type and response.content:
            raise self._not_our_language(response, idempotent)
        error = self.classify(response)
        if error is None and status >= 300 and status != 304:
            error = self._by_status(response)
        if error is not None:
            error.status = error.status or status
            error.request_id = error.request_id or _request_id(response)
            if error.retry_after is None:
                error.retry_after = self._retry_after(response)
            raise error
        if not idempotent and "json" in content_type and response.content:
            # A create's answer is believed only when it can be read; a read's may be parsed elsewhere, by Arrow.
            self.json(response)

    def _by_status(self, response: httpx.Response) -> PlatformError:
        status = response.status_code
        text = f"HTTP {status} from {_place(response.request.url)}: {_beginning(response)}"
        if status in (429, 420):
            return Wait(text)
        if status in (408, 425) or status >= 500:
            return Retry(text)
        if status in (401, 403):
            return AskPerson(text, next_step="Check the credentials and permissions of this connection.")
        if status in (404, 410):
            return Gone(text)
        if status in (409, 412):
            return Conflict(text)
        if status < 400:
            return BadAnswer(f"{text} (redirected to {_host(response.headers.get('location', ''))})")
        return Refused(text)

    def _not_our_language(self, response: httpx.Response, idempotent: bool) -> PlatformError:
        """An HTML page, or a body that is not the JSON it claims to be."""
        status = response.status_code
        text = (
            f"{response.request.url.host} answered {status} with {response.headers.get('content-type') or 'no type'} "
            f"where JSON was due: {_beginning(response)}"
        )
        kind: type[PlatformError] = BadAnswer
        if status == 429:
            kind = Wait
        elif status >= 500:
            kind = Retry
        elif status < 300 and not idempotent:
            kind = Uncertain
        found = kind(text, status=status, request_id=_request_id(response), next_step=BadAnswer.default_next_step)
        found.retry_after = self._retry_after(response)
        return self._complete(found)

    def _parse(self, response: httpx.Response) -> Any:
        try:
            return jsonio.loads(response.content)
        except ValueError as error:
            idempotent = bool(response.extensions.get("tieout.idempotent", True))
            raise self._not_our_language(response, idempotent) from error

    # -- again? ------------------------------------------------------------------------------------------------------

    def _may_repeat(self, error: PlatformError, idempotent: bool) -> bool:
        """Whether sending again is both safe and useful; raises Uncertain where nobody can know what was done."""
        if isinstance(error, NotSent):
            return error.code not in ("tls", "url")
        if isinstance(error, Wait):
            return error.code != BUDGET  # whoever set max_wait wants to hear of it, not to wait after all
        if not isinstance(error, Retry):
            return False
        if idempotent:
            return True
        if error.code == _UNHEARD or error.status is None or error.status >= 500 or error.status < 400:
            self._uncertain(error)
        return True

    def _uncertain(self, error: PlatformError) -> NoReturn:
        raise self._complete(
            Uncertain(
                f"no believable answer, so nobody knows whether it was done: {error.message}",
                status=error.status,
                code=error.code,
                record=error.record,
                request_id=error.request_id,
            )
        ) from error

    def _pause(self, error: PlatformError, tries: int) -> float | None:
        """Seconds to pause before the next try; None when the vendor asks for longer than is waited here."""
        jittered = self.context.random.uniform(0, min(_PAUSE_CAP, _BASE_PAUSE * 2 ** min(tries, 10)))
        if error.retry_after is None:
            return jittered
        if error.retry_after > _LONGEST_ASKED_PAUSE:
            return None
        # A little jitter on top, so that all callers told the same second do not come back in the same instant.
        return max(0.0, error.retry_after) + min(jittered, 1.0)

    def _retry_after(self, response: httpx.Response) -> float | None:
        """Seconds from the Retry-After header: a number, or an HTTP date counted from the server's own clock."""
        value = response.headers.get("retry-after", "").strip()
        if not value:
            return None
        try:
            return max(0.0, float(value))
        except ValueError:
            then = _http_date(value)
        if then is None:
            return None
        now = _http_date(response.headers.get("date", "")) or self.context.clock()
        return max(0.0, (then - now).total_seconds())

    # -- small things ------------------------------------------------------------------------------------------------

    def _complete(self, error: PlatformError) -> PlatformError:
        error.platform = error.platform or self.platform
        error.connection = error.connection or self.context.connection
        return error

    def _note_time(self, response: httpx.Response) -> None:
        seen = _http_date(response.headers.get("date", ""))
        if seen is not None:
            self.server_time = seen

    def _checked_base(self, url: str) -> httpx.URL:
        try:
            parsed = httpx.URL(url.strip())
        except httpx.InvalidURL as error:
            raise self._bad_base(f"base_url is no URL ({error})") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise self._bad_base("base_url must be a full address such as https://example.com")
        if parsed.userinfo:
            raise self._bad_base("base_url carries a user name or password; put credentials into their own settings")
        unprotected = parsed.scheme == "http" and not _is_this_machine(parsed.host)
        if unprotected and self.context.transport is None:
            raise self._bad_base(f"base_url is http://{parsed.host}: credentials would travel unprotected; use https")
        self._trusted.add(_origin(parsed))
        return parsed

    def _bad_base(self, message: str) -> PlatformError:
        step = f"Correct CONNECTIONS__{self.context.connection.upper()}__BASE_URL."
        return self._complete(AskPerson(message, next_step=step))

    def _url(self, path_or_url: str) -> httpx.URL:
        try:
            return self._joined(path_or_url)
        except httpx.InvalidURL as error:
            raise self._complete(
                NotSent(f"{path_or_url[:80]!r} makes no valid address ({error})", code="url")
            ) from error

    def _joined(self, path_or_url: str) -> httpx.URL:
        if path_or_url.startswith(("http://", "https://")):
            url = httpx.URL(path_or_url)
            if _origin(url) not in self._trusted:
                raise self._complete(
                    BadAnswer(
                        f"a link leads to {url.host}, which is not this connection's host ({self._base_url.host}); "
                        "it is not followed with credentials"
                    )
                )
            return url
        return httpx.URL(f"{self.base_url}/{path_or_url.lstrip('/')}")

    def _tls(self, verify: ssl.SSLContext | str | bool) -> ssl.SSLContext | bool:
        if verify is True:
            return _public_authorities(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if not isinstance(verify, str):
            return verify
        context = httpx.create_ssl_context()
        try:
            context.load_verify_locations(cafile=verify)
        except (OSError, ssl.SSLError) as error:
            step = f"Correct CONNECTIONS__{self.context.connection.upper()}__CA_BUNDLE."
            raise self._complete(AskPerson(f"the CA file {verify} cannot be used ({error})", next_step=step)) from error
        return context


def _as_retry(error: Uncertain) -> Retry:
    return Retry(
        error.message,
        status=error.status,
        code=error.code,
        record=error.record,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )


@functools.lru_cache(maxsize=4)
def _public_authorities(file: str | None, folder: str | None) -> ssl.SSLContext:
    """httpx's usual context, made once per process (50 ms each): these variables are all that it depends on."""
    return httpx.create_ssl_context()


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.lower(), url.port


def _place(url: httpx.URL) -> str:
    """Host and path; never the query, which may hold what nobody should log."""
    return mask(f"{url.host}{url.path}")


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host or "nowhere"
    except httpx.InvalidURL:
        return "nowhere"


def _beginning(response: httpx.Response) -> str:
    """The first 80 characters of the body, masked before they are cut so that no half secret is left."""
    return " ".join(mask(response.text[:4000]).split())[:80]


def _request_id(response: httpx.Response) -> str:
    return next((response.headers[name] for name in _IDS if name in response.headers), "")


def _http_date(value: str) -> datetime | None:
    if not value:
        return None
    try:
        parsed = parsedate_to_datetime(value)
    except ValueError:
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
