"""Bearer tokens that are fetched when needed, shared by threads, and fetched again once when the vendor rejects them.

How a token is got (client credentials, signed JWT, ...) is the room's business: it passes `fetch`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from platforms.kit.errors import BadAnswer, NotSent, Retry, Uncertain
from platforms.kit.secrets import Secret, register

# Fetch anew this long before a token's stated end, so that a request on its way does not outlive it.
_MARGIN = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Token:
    """An access token. `expires_at` is aware UTC, None when the vendor does not say (then only a 401 tells).

    `extra` carries what else the vendor's answer held and the room needs (Salesforce's instance_url).
    """

    access_token: str = field(repr=False)
    expires_at: datetime | None = None
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        register(self.access_token)


def is_certificate_trouble(error: BaseException) -> bool:
    """Whether TLS failed for a reason that stays (a certificate, plain HTTP at the other end) rather than passes."""
    text = str(error).upper()
    return isinstance(error, httpx.ConnectError) and ("CERTIFICATE" in text or "WRONG_VERSION_NUMBER" in text)


def untrusted(text: str) -> NotSent:
    """The error for a server whose certificate nobody vouches for."""
    return NotSent(
        f"{text} (this is not a TLS server whose certificate is trusted)",
        code="tls",
        next_step="Set ca_bundle to the CA file of this server, or correct base_url.",
    )


def answers_401(response: httpx.Response) -> bool:
    """The usual sign that a token is no longer accepted."""
    return response.status_code == 401


class BearerAuth(httpx.Auth):
    """A token that does not change: `Authorization: Bearer <token>`."""

    def __init__(self, token: Secret | str) -> None:
        self._token = token if isinstance(token, Secret) else Secret(token)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        yield request


class TokenAuth(httpx.Auth):
    """Puts a fetched token on every request; when `rejected(response)` says so, fetches once more and sends again.

    `fetch` gets a bare httpx.Client (same TLS, timeouts and network as the API client, no auth) and returns a Token; it
    raises AskPerson when the credentials are wrong. A network error, Retry or Uncertain while fetching means that the
    business request itself never left: it becomes NotSent. An answer that `fetch` cannot take apart is a BadAnswer.
    """

    requires_response_body = True

    def __init__(
        self,
        fetch: Callable[[httpx.Client], Token],
        *,
        rejected: Callable[[httpx.Response], bool] = answers_401,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        header: Callable[[Token], str] = lambda token: f"Bearer {token.access_token}",
    ) -> None:
        self._fetch = fetch
        self._rejected = rejected
        self._clock = clock
        self._header = header
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._client: httpx.Client | None = None
        self._fetched: Callable[[], None] = lambda: None

    def bind(self, client: httpx.Client, fetched: Callable[[], None]) -> None:
        """Called by ApiClient: the client to fetch with, and what to call after each fetch (it counts them)."""
        self._client = client
        self._fetched = fetched

    def token(self, stale: Token | None = None) -> Token:
        """The current token, fetched if there is none, if it is about to end, or if it is still the `stale` one."""
        with self._lock:
            if self._token is None or self._token is stale or self._ending(self._token):
                self._token = self._fetch_now()
            return self._token

    def _ending(self, token: Token) -> bool:
        return token.expires_at is not None and self._clock() >= token.expires_at - _MARGIN

    def _fetch_now(self) -> Token:
        if self._client is None:
            raise RuntimeError("TokenAuth is not bound: hand it to ApiClient(auth=...) before the first request")
        self._fetched()
        try:
            return self._fetch(self._client)
        except (Retry, Uncertain) as error:
            raise NotSent(f"no token could be fetched ({error.message})", status=error.status) from error
        except httpx.TransportError as error:
            text = f"no token could be fetched from {_host_of(error)} ({type(error).__name__}: {error})"
            raise untrusted(text) if is_certificate_trouble(error) else NotSent(text) from error
        except (ValueError, KeyError, TypeError) as error:
            raise BadAnswer(
                f"the answer to the log-in is not what this API speaks ({type(error).__name__}: {error})"
            ) from error

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """One try with the token at hand; after a rejection one more with a new one."""
        token = self.token()
        request.headers["Authorization"] = self._header(token)
        response = yield request
        response.read()
        if self._rejected(response):
            request.headers["Authorization"] = self._header(self.token(stale=token))
            yield request


def _host_of(error: httpx.TransportError) -> str:
    """Where the request was sent; an error that was raised by hand does not know."""
    try:
        return str(error.request.url.copy_with(path="/", query=None)).rstrip("/")
    except RuntimeError:
        return "the vendor"
