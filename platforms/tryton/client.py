"""Tryton 8.2 over JSON-RPC: every stored model by the same few methods.

    connect(settings, context) -> TrytonClient
    client.search_read("party.party", [["code", "=", "P1"]], ["name"])       records as Python values
    client.pages("timesheet.line", ["date", "duration"], since=moment)       everything changed since, in pages
    client.create("party.party", [{"name": "Acme"}]) -> ["17"]               never sent twice
    client.write / delete / press / wizard                                   the rest of what a person can do

Values are Python's on this side: date, aware UTC datetime, timedelta, Decimal, bytes, bool; ids and links are `str`.
What a value is on the wire depends on the field (a quantity is a JSON float, a price a typed Decimal, a link a number),
so the client asks a model for its fields once and translates by their types.

A call is one transaction: all of it is done, or nothing. There is no external id and no upsert; `create` therefore
raises Uncertain whenever the answer was not heard, and whoever asked looks before asking again.
Run alone: `python -c` with `platforms.kit.registry.spec("tryton").connect(...)`.
"""

from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal

import httpx

from platforms.kit import jsonio
from platforms.kit.auth import Token, TokenAuth
from platforms.kit.context import ClientContext
from platforms.kit.errors import (
    AskPerson,
    BadAnswer,
    Conflict,
    PlatformError,
    Refused,
    Retry,
    Uncertain,
    Wait,
)
from platforms.kit.http import ApiClient
from platforms.kit.registry import Finding, Limits, PlatformSpec, Setting
from platforms.kit.secrets import Secret, register

SERIES = "8.2"
PAGE = 1000
IDS_PER_CALL = 5000
# Methods that change nothing; everything else counts as a write and says itself whether it may be repeated.
_READING = frozenset(
    ("fields_get", "default_get", "search", "search_count", "search_read", "read", "get_preferences", "fields_view_get")
)
# One of many records of a link, changed through its parent: sending these twice makes two.
_MAKING = frozenset(("create", "copy"))
_OF_DAY = ("hour", "minute", "second", "microsecond")
_COMPANY_KEYS = ("party.code", "party.name")

Record = dict[str, Any]
Domain = Sequence[Any]
Order = Sequence[Sequence[str]]


# -- values on the wire ------------------------------------------------------------------------------------------------


def encode(value: Any) -> Any:
    """A Python value as Tryton's JSON, without knowing its field: Decimals are money, text stays text.

    Datetimes must be aware; they travel as UTC without a zone. Raises TypeError for a float, which nobody meant, and
    for a datetime without a zone.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError(f"the datetime {value} has no time zone")
        moment = value.astimezone(UTC)
        parts = ("year", "month", "day", *_OF_DAY)
        return {"__class__": "datetime", **{part: getattr(moment, part) for part in parts}}
    if isinstance(value, date):
        return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
    if isinstance(value, timedelta):
        return {"__class__": "timedelta", "seconds": Decimal(value // timedelta(microseconds=1)).scaleb(-6).normalize()}
    if isinstance(value, time):
        return {"__class__": "time", **{part: getattr(value, part) for part in _OF_DAY}}
    if isinstance(value, bytes | bytearray):
        return {"__class__": "bytes", "base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return {str(key): encode(inner) for key, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, float):
        return [encode(inner) for inner in value]
    raise TypeError(f"{type(value).__name__} is not a value that Tryton takes ({value!r}); money is Decimal")


def decode(value: Any) -> Any:
    """Tryton's JSON as Python values, without knowing the field: typed values are unwrapped, numbers stay numbers."""
    if isinstance(value, list):
        return [decode(inner) for inner in value]
    if not isinstance(value, Mapping):
        return value
    kind = value.get("__class__")
    if kind is None:
        return {key: decode(inner) for key, inner in value.items()}
    unwrap = _UNWRAP.get(str(kind))
    if unwrap is None:
        raise ValueError(f"{kind} is no type of value known here")
    return unwrap(value)


_UNWRAP: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "date": lambda v: date(v["year"], v["month"], v["day"]),
    "datetime": lambda v: datetime(
        v["year"], v["month"], v["day"], v["hour"], v["minute"], v["second"], v["microsecond"], tzinfo=UTC
    ),
    "time": lambda v: time(v["hour"], v["minute"], v["second"], v["microsecond"]),
    "timedelta": lambda v: timedelta(microseconds=int((Decimal(v["seconds"]) * 1_000_000).to_integral_value())),
    "Decimal": lambda v: Decimal(v["decimal"]),
    "bytes": lambda v: base64.b64decode(v["base64"]),
}


def _number(id: Any) -> Any:
    """An id as Tryton counts it; what is no id (None, a text to search for) stays as it is."""
    if isinstance(id, str) and id.lstrip("-").isdigit():
        return int(id)
    if isinstance(id, list | tuple):
        return [_number(one) for one in id]
    return encode(id)


def _text(id: Any) -> str | None:
    return None if id is None else str(id)


# -- logging in --------------------------------------------------------------------------------------------------------


def _login(database: str, user: str, password: Secret, base_url: str, context: ClientContext) -> Callable[..., Token]:
    """How a session is opened: it is a token as good as the password until nobody uses it for a while."""
    root = base_url.rstrip("/")
    counter = itertools.count(1)

    def failure(kind: type[PlatformError], message: str, status: int, step: str = "") -> PlatformError:
        return kind(message, platform="tryton", connection=context.connection, status=status, next_step=step)

    def post(client: httpx.Client, path: str, method: str, params: list[Any]) -> httpx.Response:
        body = jsonio.dumps({"id": next(counter), "method": method, "params": params})
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return client.post(f"{root}{path}", content=body.encode(), headers=headers)

    def missing(client: httpx.Client) -> bool:
        """Whether the server lists its databases and this one is not among them."""
        answer = post(client, "/rpc/", "common.db.list", [])
        try:
            names = jsonio.loads(answer.content).get("result")
        except (ValueError, AttributeError):
            return False
        return isinstance(names, list) and database not in names

    def fetch(client: httpx.Client) -> Token:
        answer = post(client, f"/{database}/rpc/", "common.db.login", [user, {"password": password.reveal()}, "en"])
        status = answer.status_code
        if status == 401:
            raise failure(
                AskPerson, f"Tryton does not know user {user} with this password", status,
                "Set user and password to those of the integration user (Administration > Users).",
            )  # fmt: skip
        if status == 429:
            raise failure(Wait, "too many failed log-ins: Tryton asks for a pause", status)
        if status in (404, 503) and missing(client):
            raise failure(
                AskPerson, f"there is no database {database} on {answer.request.url.host}", status,
                "Correct the setting database; it is the name shown in the log-in window of Tryton.",
            )  # fmt: skip
        if status >= 500:
            raise failure(Retry, f"the log-in answered {status}", status)
        if status != 200:
            raise failure(BadAnswer, f"{answer.request.url.host} answered the log-in with {status}", status)
        body = jsonio.loads(answer.content)
        if "error" in body:
            raise failure(
                AskPerson, "Tryton asks for more than a password to log in", status,
                "Let the integration user log in with a password alone (setting authentications of the server).",
            )  # fmt: skip
        number, session = body["result"][:2]
        register(str(session))
        return Token(access_token=base64.b64encode(f"{user}:{number}:{session}".encode()).decode("ascii"))

    return fetch


def _reveal(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


# -- what an answer means ----------------------------------------------------------------------------------------------


def error_of(item: Any) -> PlatformError:
    """The error in an envelope, by its first item: a class name, or else the text of a programming error.

    Tryton's messages are translated and therefore only passed on. A refused call was rolled back, whatever it was.
    """
    first, rest = (str(item[0]), item[1:]) if isinstance(item, list) and item else (str(item), [])
    parts = rest[0] if rest and isinstance(rest[0], list) else rest
    words = [str(part).strip() for part in parts[:2] if part]
    if first == "UserError":
        return Refused(" ".join(words) or "refused", code=first, fields=_named(parts))
    if first == "UserWarning":
        text = " ".join(str(part).strip() for part in parts[1:3] if part)
        return AskPerson(
            text or "Tryton asks a question", code=first, record=str(parts[0]) if parts else "",
            next_step="Do this step in Tryton as the person who may answer its question.",
        )  # fmt: skip
    if first == "ConcurrencyException":
        return Conflict(" ".join(words) or "the record was changed by someone else meanwhile", code=first)
    if first == "LoginException":
        return AskPerson("Tryton asks to log in again in a way that needs a person", code=first)
    return Refused(
        f"Tryton cannot carry out the call: {first}", code="programming",
        next_step="Check that the module with this model or field is active (`tieout doctor`).",
    )  # fmt: skip


def _named(parts: Sequence[Any]) -> tuple[str, ...]:
    """The fields that a refused domain speaks of: the third part of some UserErrors."""
    if len(parts) < 3 or not isinstance(parts[2], list) or len(parts[2]) < 2 or not isinstance(parts[2][1], Mapping):
        return ()
    return tuple(str(name) for name in parts[2][1])


# -- the client --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Company:
    """The company that a connection works in. `code` and `name` are its party's, `currency` its ISO code."""

    id: str
    code: str
    name: str
    currency: str
    party: str


@dataclass(kw_only=True)
class Wizard:
    """A wizard under way. `state` is where it stands; leave it by `with`, which ends it."""

    client: TrytonClient
    name: str
    session: Any
    state: str
    end: str
    context: Mapping[str, Any]
    defaults: Record = field(default_factory=dict)
    values: dict[str, Record] = field(default_factory=dict)
    types: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    answer: Any = None

    def __enter__(self) -> Wizard:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.end_wizard(self)

    def fill(self, **values: Any) -> None:
        """What a person types into the form that is open; the rest keeps the form's defaults."""
        self.values.setdefault(self.state, dict(self.defaults)).update(values)

    def choose(self, state: str) -> None:
        """Press the button that leads to `state`. Raises Uncertain when no answer was heard."""
        self.client.step_wizard(self, state, idempotent=False)


class TrytonClient:
    """One connection to one database, as one user, in one company. Thread-safe. `api.calls` counts what was sent."""

    def __init__(
        self, settings: Mapping[str, str | Secret], context: ClientContext, *, needs_company: bool = True
    ) -> None:
        """`needs_company` is False only while a new database is set up, before there is a company."""
        self.client_context = context
        self.database = _reveal(settings["database"])
        self.user = _reveal(settings["user"])
        self.base_url = base = _reveal(settings["base_url"])
        password = settings["password"]
        secret = password if isinstance(password, Secret) else Secret(password)
        self._needs_company = needs_company
        self._company_wanted = _reveal(settings.get("company") or "")
        auth = TokenAuth(
            _login(self.database, self.user, secret, base, context),
            clock=context.clock,
            header=lambda token: f"Session {token.access_token}",
        )
        self.api = ApiClient("tryton", base, auth, self._classify, context)
        self._counter = itertools.count(1)
        self._lock = threading.RLock()
        self._context: Record | None = None
        self._company: Company | None = None
        self._version: str | None = None
        self._fields: dict[str, Mapping[str, Mapping[str, Any]]] = {}

    def close(self) -> None:
        """Close the connections."""
        self.api.close()

    def __enter__(self) -> TrytonClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- who and where ----------------------------------------------------------------------------------------------

    def server_version(self) -> str:
        """The series the server runs, such as '8.2'; asked once."""
        if self._version is None:
            found = self._rpc("common.server.version", [], idempotent=True, kind="read", path="/rpc/")
            self._version = str(found)
        return self._version

    @property
    def context(self) -> Record:
        """What goes along with every call: the user's preferences, with the company of this connection.

        Fetched at the first use. Raises AskPerson for a series that was not tested, or a company the user may not see.
        """
        with self._lock:
            if self._context is None:
                self._context = self._made_context()
            return self._context

    @property
    def company(self) -> Company:
        """The company that this connection reads and writes."""
        _ = self.context
        if self._company is None:
            raise self.api.error(AskPerson, f"user {self.user} has no company", next_step="Give the user a company.")
        return self._company

    def forget(self) -> None:
        """Ask for preferences and fields again at the next use: they were changed."""
        with self._lock:
            self._context, self._company = None, None
            self._fields.clear()

    def _made_context(self) -> Record:
        if self.server_version() != SERIES:
            raise self.api.error(
                AskPerson, f"the server runs Tryton {self.server_version()}; tested is {SERIES} alone",
                next_step=f"Connect a server of series {SERIES}.",
            )  # fmt: skip
        preferences = self._rpc("model.res.user.get_preferences", [True, {}], idempotent=True, kind="read")
        if not isinstance(preferences, Mapping):
            raise self.api.error(BadAnswer, "the user's preferences are no mapping")
        # Messages in one language whatever the user reads: they are shown to people of this firm, never interpreted.
        made = {**preferences, "language": "en"}
        allowed = [id for id in (*(made.get("companies") or ()), made.get("company")) if id is not None]
        if self._needs_company or allowed:
            self._company = self._found_company(made, allowed)
            made["company"] = int(self._company.id)
        return made

    def _found_company(self, made: Mapping[str, Any], allowed: Sequence[int]) -> Company:
        wanted: list[Any] = [["id", "=", made.get("company")]]
        if self._company_wanted:
            keys: list[Any] = [[key, "=", self._company_wanted] for key in _COMPANY_KEYS]
            wanted = ["OR", *keys]
        names = ["party.code", "party.name", "party", "currency.code"]
        found = self._rpc(
            "model.company.company.search_read", [wanted, 0, None, None, names, dict(made)],
            idempotent=True, kind="read",
        )  # fmt: skip
        visible = [row for row in found if not allowed or row["id"] in allowed]
        if len(visible) != 1:
            who = self._company_wanted or "its own"
            raise self.api.error(
                AskPerson, f"user {self.user} has {'more than one' if visible else 'no'} company {who}",
                next_step="Give the user the company (Administration > Users > Access Permissions > Companies), "
                "and set company to its party's code.",
            )  # fmt: skip
        row = visible[0]
        party = row["party."]
        return Company(
            id=str(row["id"]), code=str(party.get("code") or ""), name=str(party.get("name") or ""),
            currency=str(row["currency."]["code"]), party=str(row["party"]),
        )  # fmt: skip

    def ping(self) -> None:
        """The cheapest call that needs valid credentials."""
        self._rpc("model.res.user.get_preferences", [True, {}], idempotent=True, kind="read")

    def now(self) -> datetime:
        """The server's clock at the last answer (aware UTC, whole seconds); asks when nothing was heard yet."""
        if self.api.server_time is None:
            self.ping()
        if self.api.server_time is None:
            raise self.api.error(BadAnswer, "the server's answers carry no Date header")
        return self.api.server_time

    # -- calls ------------------------------------------------------------------------------------------------------

    def call(
        self, model: str, method: str, *params: Any, idempotent: bool, context: Mapping[str, Any] | None = None
    ) -> Any:
        """`model.<model>.<method>` with these parameters; its result as Python values, untyped (ids are numbers here).

        `context` is added to the connection's own. `idempotent` says whether calling twice does it once; when not, a
        call whose answer was not heard raises Uncertain.
        """
        return decode(self._sent(model, method, [encode(param) for param in params], idempotent, context))

    def _sent(
        self, model: str, method: str, params: Sequence[Any], idempotent: bool, context: Mapping[str, Any] | None
    ) -> Any:
        """A call whose parameters and result are as they are on the wire."""
        kind: Literal["read", "write"] = "read" if method in _READING else "write"
        whole = {**self.context, **encode(context or {})}
        return self._rpc(f"model.{model}.{method}", [*params, whole], idempotent=idempotent, kind=kind)

    def _rpc(
        self, method: str, params: Sequence[Any], *, idempotent: bool, kind: Literal["read", "write"],
        path: str | None = None,
    ) -> Any:  # fmt: skip
        body = {"id": next(self._counter), "method": method, "params": list(params)}
        try:
            response = self.api.request(
                "POST", path or f"/{self.database}/rpc/", json=body, idempotent=idempotent, kind=kind
            )
        except BadAnswer as error:
            if error.status != 403:
                raise
            raise self.api.error(
                AskPerson, f"Tryton does not offer {method} to programs", status=403,
                next_step="Check that the module is active and that the user's groups may do this.",
            ) from error  # fmt: skip
        answer = self.api.json(response)
        if not isinstance(answer, Mapping) or "result" not in answer:
            text = f"the answer to {method} has no result"
            raise self.api.error(BadAnswer if idempotent else Uncertain, text)
        return answer["result"]

    def _classify(self, response: httpx.Response) -> PlatformError | None:
        if response.status_code == 401:
            return AskPerson(
                "Tryton does not accept the session, not even a new one",
                next_step="Check that the user is active and may use this database.",
            )
        if response.status_code != 200:
            return None
        answer = self.api.json(response)
        if isinstance(answer, Mapping) and "error" in answer:
            return error_of(answer["error"])
        return None

    # -- fields -----------------------------------------------------------------------------------------------------

    def fields_get(self, model: str, names: Sequence[str] = ()) -> dict[str, Any]:
        """The fields of a model (or these of them): name -> {type, string, required, readonly, relation, ...}."""
        found = self.call(model, "fields_get", list(names), idempotent=True)
        return dict(found)

    def types(self, model: str) -> Mapping[str, Mapping[str, Any]]:
        """The same for all fields, asked once."""
        with self._lock:
            if model not in self._fields:
                self._fields[model] = self.fields_get(model)
            return self._fields[model]

    def _decoded(self, model: str, row: Mapping[str, Any]) -> Record:
        return decode_record(row, self.types(model), self.types)

    def _encoded(self, model: str, values: Mapping[str, Any]) -> Record:
        return encode_record(values, self.types(model), self.types)

    def _domain(self, model: str, domain: Domain) -> list[Any]:
        return encode_domain(domain, self.types(model))

    # -- reading ----------------------------------------------------------------------------------------------------

    def search(
        self, model: str, domain: Domain, *, offset: int = 0, limit: int | None = None, order: Order | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> list[str]:  # fmt: skip
        """The ids of the records that a domain picks."""
        sent = [self._domain(model, domain), offset, limit, order]
        return [str(id) for id in self._sent(model, "search", sent, True, context)]

    def search_count(self, model: str, domain: Domain, *, context: Mapping[str, Any] | None = None) -> int:
        """How many records a domain picks."""
        return int(self._sent(model, "search_count", [self._domain(model, domain), 0, None], True, context))

    def read(
        self, model: str, ids: Sequence[str], fields: Sequence[str], *, context: Mapping[str, Any] | None = None
    ) -> list[Record]:
        """These records in the order asked, each with `id`. Refused when one of them is not there."""
        if not ids:
            return []
        found: dict[str, Record] = {}
        for start in range(0, len(ids), PAGE):
            part = [_number(id) for id in ids[start : start + PAGE]]
            rows = self._rows(model, "read", [part, list(fields)], context)
            found.update((row["id"], row) for row in rows)
        return [found[str(id)] for id in ids]

    def search_read(
        self, model: str, domain: Domain, fields: Sequence[str], *, limit: int | None = None, offset: int = 0,
        order: Order | None = None, context: Mapping[str, Any] | None = None,
    ) -> list[Record]:  # fmt: skip
        """The records that a domain picks, each with `id`. A dotted field comes as `{"party.": {...}}`."""
        sent = [self._domain(model, domain), offset, limit, order, list(fields)]
        return self._rows(model, "search_read", sent, context)

    def _rows(self, model: str, method: str, params: Sequence[Any], context: Mapping[str, Any] | None) -> list[Record]:
        rows = self._sent(model, method, params, True, context)
        if not isinstance(rows, list):
            raise self.api.error(BadAnswer, f"{method} of {model} gave no list")
        return [self._decoded(model, row) for row in rows]

    def pages(
        self, model: str, fields: Sequence[str], *, since: datetime | None = None, domain: Domain = (),
        size: int = PAGE,
    ) -> Iterator[list[Record]]:  # fmt: skip
        """All records changed at `since` or later, oldest change first, archived ones included.

        Paged by (last_modified_at, id): a record changed meanwhile comes again at the end, none is missed. Both fields
        are always in the answer. Deletions leave no trace; compare `ids()` now and then.
        """
        wanted = list(dict.fromkeys((*fields, "last_modified_at")))
        order = [["last_modified_at", "ASC"], ["id", "ASC"]]
        position: list[Any] = [] if since is None else [["last_modified_at", ">=", since]]
        while True:
            rows = self.search_read(
                model, [*([list(domain)] if domain else ()), *position], wanted, limit=size, order=order,
                context={"active_test": False},
            )  # fmt: skip
            if rows:
                yield rows
            if len(rows) < size:
                return
            moment, last = rows[-1]["last_modified_at"], rows[-1]["id"]
            later = ["last_modified_at", ">", moment]
            position = [["OR", later, [["last_modified_at", "=", moment], ["id", ">", last]]]]

    def ids(self, model: str, domain: Domain = ()) -> Iterator[list[str]]:
        """The ids of all records there are, in pages, ascending, archived ones included."""
        last = "0"
        while True:
            found = self.search(
                model, [*([list(domain)] if domain else ()), ["id", ">", last]], limit=IDS_PER_CALL,
                order=[["id", "ASC"]], context={"active_test": False},
            )  # fmt: skip
            if found:
                yield found
                last = found[-1]
            if len(found) < IDS_PER_CALL:
                return

    # -- writing ----------------------------------------------------------------------------------------------------

    def create(
        self, model: str, values: Sequence[Mapping[str, Any]], *, context: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Make records, all or none; their ids in order. Never sent twice: Uncertain when no answer was heard."""
        if not values:
            return []
        sent = [self._encoded(model, one) for one in values]
        made = self._sent(model, "create", [sent], False, context)
        return [str(id) for id in made]

    def write(
        self,
        model: str,
        changes: Sequence[tuple[Sequence[str], Mapping[str, Any]]],
        *,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        """Change records, all or none: [(ids, values), ...]. Sent again after a stumble, as it does the same again.

        Except where it would not: with `_timestamp` in the context, or lines that are made along with it; then
        Uncertain tells that the answer was not heard.
        """
        params: list[Any] = []
        repeatable = "_timestamp" not in (context or {})
        for ids, values in changes:
            params += [[_number(id) for id in ids], self._encoded(model, values)]
            repeatable = repeatable and not any(_makes(value) for value in values.values())
        if params:
            self._sent(model, "write", params, repeatable, context)

    def delete(self, model: str, ids: Sequence[str]) -> None:
        """Delete records, all or none; those that are gone already do not matter."""
        if ids:
            self._sent(model, "delete", [[_number(id) for id in ids]], True, None)

    def press(
        self, model: str, button: str, ids: Sequence[str], *, idempotent: bool = False,
        context: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """Press a button on records (`post` on an invoice); the action it opens, or None.

        Most buttons refuse a second press, and some make things: Uncertain when no answer was heard.
        """
        return decode(self._sent(model, button, [[_number(id) for id in ids]], idempotent, context))

    # -- wizards ----------------------------------------------------------------------------------------------------

    def wizard(self, name: str, model: str, ids: Sequence[str]) -> Wizard:
        """Start a wizard on records; its first form is open. Use it in `with`: leaving ends it.

        with client.wizard("account.invoice.pay", "account.invoice", [id]) as pay:
            pay.fill(amount=..., payment_method=...); pay.choose("choice")
        """
        numbers = [_number(id) for id in ids]
        context = {
            **self.context, "active_model": model, "active_id": numbers[0] if numbers else None, "active_ids": numbers,
        }  # fmt: skip
        session, state, end = self._rpc(f"wizard.{name}.create", [context], idempotent=True, kind="write")
        wizard = Wizard(client=self, name=name, session=session, state=state, end=end, context=context)
        self.step_wizard(wizard, state, idempotent=True)
        return wizard

    def step_wizard(self, wizard: Wizard, state: str, *, idempotent: bool) -> None:
        """One step: send what was filled in, learn which form is open now."""
        data = {
            name: encode_record(values, wizard.types.get(name, {}), self.types)
            for name, values in wizard.values.items()
        }
        answer = self._rpc(
            f"wizard.{wizard.name}.execute", [wizard.session, data, state, dict(wizard.context)],
            idempotent=idempotent, kind="write",
        )  # fmt: skip
        view = answer.get("view") if isinstance(answer, Mapping) else None
        wizard.answer = decode(answer)
        wizard.state = wizard.end
        if view:
            wizard.state = str(view["state"])
            shown = view["fields_view"].get("fields", {})
            wizard.types[wizard.state] = shown
            given = {**(view.get("defaults") or {}), **(view.get("values") or {})}
            plain = {name: value for name, value in given.items() if not name.endswith(".") and "." not in name}
            wizard.defaults = decode_record(plain, shown, self.types)

    def end_wizard(self, wizard: Wizard) -> None:
        """Close the wizard's session."""
        self._rpc(f"wizard.{wizard.name}.delete", [wizard.session, dict(wizard.context)], idempotent=True, kind="write")


# -- records, by the types of their fields -----------------------------------------------------------------------------

Types = Mapping[str, Mapping[str, Any]]
_MANY = ("one2many", "many2many")
_ONE = ("many2one", "one2one")


def decode_record(row: Mapping[str, Any], types: Types, of: Callable[[str], Types]) -> Record:
    """A record as read: links as str ids, flags as bool, the rest as `decode`. `of` gives another model's fields."""
    out: Record = {}
    for name, value in row.items():
        if name == "id":
            out[name] = str(value)
        elif name.endswith("."):
            relation = str(types.get(name[:-1], {}).get("relation") or "")
            out[name] = _nested(value, of(relation) if relation else {}, of)
        else:
            out[name] = _decoded_value(value, str(types.get(name, {}).get("type", "")))
    return out


def _nested(value: Any, types: Types, of: Callable[[str], Types]) -> Any:
    if isinstance(value, Mapping):
        return decode_record(value, types, of)
    if isinstance(value, list):
        return [_nested(inner, types, of) for inner in value]
    return value


def _decoded_value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind in _ONE:
        return str(value)
    if kind in _MANY:
        return [str(id) for id in value]
    if kind == "boolean":
        return bool(value)
    if kind == "float" and isinstance(value, int):
        return Decimal(value)
    return decode(value)


def encode_record(values: Mapping[str, Any], types: Types, of: Callable[[str], Types]) -> Record:
    """Values to be written, each as its field wants it on the wire."""
    return {name: _encoded_value(value, types.get(name, {}), of) for name, value in values.items()}


def _encoded_value(value: Any, known: Mapping[str, Any], of: Callable[[str], Types]) -> Any:
    kind = str(known.get("type", ""))
    if value is None:
        return None
    if kind in _ONE:
        return _number(value)
    if kind in _MANY:
        relation = str(known.get("relation") or "")
        return [_command(command, of(relation) if relation else {}, of) for command in value]
    if kind in ("float", "integer", "biginteger") and isinstance(value, Decimal):
        return value  # a bare JSON number, digit for digit
    if kind == "numeric" and isinstance(value, int) and not isinstance(value, bool):
        return encode(Decimal(value))
    return encode(value)


def _command(command: Any, types: Types, of: Callable[[str], Types]) -> Any:
    """One command on linked records (["create", [values, ...]], ["write", ids, values], ["add", ids]), or an id."""
    if not isinstance(command, list | tuple):
        return _number(command)
    verb, *rest = command
    sent: list[Any] = []
    for part in rest:
        if isinstance(part, Mapping):
            sent.append(encode_record(part, types, of))
        else:
            sent.append(
                [encode_record(one, types, of) if isinstance(one, Mapping) else _number(one) for one in part or ()]
            )
    return [str(verb), *sent]


def _makes(value: Any) -> bool:
    """Whether a value makes linked records when it is written."""
    return isinstance(value, list | tuple) and any(
        isinstance(command, list | tuple) and command and command[0] in _MAKING for command in value
    )


def encode_domain(domain: Domain, types: Types) -> list[Any]:
    """A domain for the wire: ids of links become numbers, the other values as `encode`."""
    out: list[Any] = []
    for clause in domain:
        if isinstance(clause, str):
            out.append(clause)
        elif len(clause) >= 3 and isinstance(clause[0], str) and clause[0] not in ("AND", "OR"):
            name, operator, value, *rest = clause
            kind = "many2one" if name == "id" else str(types.get(name, {}).get("type", ""))
            is_link = kind in (*_ONE, *_MANY) and operator not in ("where", "not where")
            out.append([name, operator, _number(value) if is_link else encode(value), *rest])
        else:
            out.append(encode_domain(clause, types))
    return out


# -- looking whether all is set up -------------------------------------------------------------------------------------

# The module that brings a model, for the hint what to activate.
_MODULES: Mapping[str, str] = {
    "party": "party", "company": "company", "currency": "currency", "product": "product", "timesheet": "timesheet",
    "account.invoice": "account_invoice", "account": "account", "sale.opportunity": "sale_opportunity", "sale": "sale",
    "project": "project_invoice",
}  # fmt: skip


def examine(client: TrytonClient, requirements: Mapping[str, Any]) -> list[Finding]:
    """What stands between this connection and a working sync, each with what to do about it.

    `requirements`, all optional: {"read": {model: fields}, "write": {model: fields}, "create": models that records are
    made of (default: all that are written), "records": {model: codes of the records that must exist}, "ledger": bool
    (default: whether account.invoice is read or written)}. Of a dotted field the first part is looked for. Stops at
    credentials that do not work; everything else is reported together. Nothing is written.
    """
    try:
        company = client.company
    except PlatformError as error:
        return [Finding(level="error", what=f"cannot work with Tryton: {error.message}", fix=error.next_step)]
    findings = [
        Finding(level="ok", what=f"Tryton {client.server_version()}, logged in as {client.user}"),
        _company_finding(company),
    ]
    reads, writes = requirements.get("read") or {}, requirements.get("write") or {}
    creates = requirements.get("create", list(writes))
    for models, done in ((reads, "read"), (writes, "written")):
        found: list[Finding] = []
        for model, names in models.items():
            rights = [] if models is reads else ["write", *(["create"] if model in creates else [])]
            found += _usable(client, model, names, rights)
        if models and not found:
            found = [Finding(level="ok", what=f"{len(models)} models can be {done}, with all fields that are needed")]
        findings += found
    for model, codes in (requirements.get("records") or {}).items():
        findings += _there(client, model, list(codes))
    if requirements.get("ledger", "account.invoice" in reads or "account.invoice" in writes):
        findings += _ledger(client)
    return findings


def _company_finding(company: Company) -> Finding:
    if not company.code:
        return Finding(
            level="error", what=f"the party of company {company.name} has no code",
            fix="Give the company's party a code (Parties > Parties): it is the legal entity's code in Tieout.",
        )  # fmt: skip
    return Finding(level="ok", what=f"company {company.name} ({company.code}), books in {company.currency}")


def _module_of(model: str) -> str:
    return next((module for start, module in _MODULES.items() if f"{model}.".startswith(f"{start}.")), model)


# Names under which what lies below a record is written along with it (reverse_etl/targets/tryton.py).
_BELOW: Mapping[str, str] = {
    "address": "addresses",
    "contact": "contact_mechanisms",
    "identifier": "identifiers",
    "tasks": "children",
}


def _usable(client: TrytonClient, model: str, names: Sequence[str], rights: Sequence[str]) -> list[Finding]:
    """Whether the model is there with these fields, may be read, and what else is to be done with it may be done."""
    try:
        known = client.types(model)
        client.search(model, [], limit=1)
    except PlatformError as error:
        fix = (
            f"Activate the module {_module_of(model)} (Administration > Modules)."
            if error.code == "programming"
            else "Add the user to the groups that may see it (Administration > Users)."
        )
        return [Finding(level="error", what=f"{model} cannot be read: {error.message}", fix=fix)]
    heads = {name.partition(".")[0] for name in names if name != "_timestamp"}
    fields = sorted(_BELOW.get(head, head) if head not in known else head for head in heads)
    out = [
        Finding(level="error", what=f"{model} has no field {name}",
                fix=f"Activate the module that brings it (such as {_module_of(model)}).")
        for name in fields
        if name not in known
    ]  # fmt: skip
    if rights:
        access = client.call("ir.model.access", "get_access", [model], idempotent=True).get(model, {})
        if not all(access.get(right, True) for right in rights):
            fix = f"Add the user to a group that may {' and '.join(rights)} {model} (Administration > Users)."
            out.append(Finding(level="error", what=f"user {client.user} may not write {model}", fix=fix))
        out += [
            Finding(level="error", what=f"{model}.{name} cannot be written", fix="Take it out of the sync's fields.")
            for name in fields
            if known.get(name, {}).get("readonly") is True
        ]
    return out


# By what a record is named where Tieout needs it, and what to do when it is missing.
_NAMED_BY: Mapping[str, tuple[str, str]] = {
    "company.company": (
        "party.code",
        "Give the company's party this code (Parties > Parties): the legal entity's code.",
    ),
    "account.invoice.payment_term": ("name", "Create the payment term under this name."),
    "product.product": (
        "code",
        "Create a service product with this code, in an account category with accounts and taxes.",
    ),
}


def _there(client: TrytonClient, model: str, codes: Sequence[str]) -> list[Finding]:
    key, fix = _NAMED_BY.get(model, ("code", f"Create the {model}, or set its code."))
    try:
        rows = client.search_read(model, [[key, "in", list(codes)]], [key])
    except PlatformError as error:
        return [Finding(level="error", what=f"{model} cannot be looked up: {error.message}", fix=error.next_step)]
    head, _, rest = key.partition(".")
    found = [str(row[f"{head}."][rest] if rest else row[head]) for row in rows]
    out = [
        Finding(level="error", what=f"there is no {model} with {key} {code}", fix=fix)
        for code in codes
        if code not in found
    ]
    out += [
        Finding(level="error", what=f"{found.count(code)} records of {model} have the {key} {code}",
                fix="Keep it on one of them alone.")
        for code in codes
        if found.count(code) > 1
    ]  # fmt: skip
    return out or [Finding(level="ok", what=f"{model} {', '.join(codes)} found by {key}")]


def _ledger(client: TrytonClient) -> list[Finding]:
    """What an invoice needs before it can be posted: accounts, a revenue journal, an open period for today."""
    today = client.now().date()
    company = ["company", "=", client.company.id]
    needed: tuple[tuple[str, str, list[Any], str], ...] = (
        ("receivable account", "account.account",
         [company, ["type.receivable", "=", True], ["closed", "!=", True]],
         "Create the chart of accounts (Financial > Configuration > General Account)."),
        ("revenue account", "account.account", [company, ["type.revenue", "=", True], ["closed", "!=", True]],
         "Create the chart of accounts (Financial > Configuration > General Account)."),
        ("revenue journal", "account.journal", [["type", "=", "revenue"]],
         "Create a journal of type Revenue (Financial > Configuration > Journals)."),
        ("open period for today", "account.period",
         [company, ["state", "=", "open"], ["start_date", "<=", today], ["end_date", ">=", today]],
         "Create the fiscal year and its periods, or reopen the period (Financial > Configuration > Fiscal Years)."),
    )  # fmt: skip
    out = []
    for what, model, domain, fix in needed:
        try:
            if not client.search_count(model, domain):
                out.append(Finding(level="error", what=f"there is no {what}", fix=fix))
        except PlatformError as error:
            out.append(Finding(level="error", what=f"{model} cannot be read: {error.message}", fix=error.next_step))
    return out or [Finding(level="ok", what="accounts, journal and an open period for today are there")]


def connect(settings: Mapping[str, str | Secret], context: ClientContext) -> TrytonClient:
    """The client of one connection; sends nothing yet."""
    return TrytonClient(settings, context)


# Not the vendor's numbers: each call is a transaction, and a small server has few workers.
LIMITS = Limits(requests_per_second=None, burst=1, concurrency=4)

SPEC = PlatformSpec(
    name="tryton",
    label="Tryton",
    roles=("crm", "psa", "erp"),
    settings=(
        Setting(name="base_url", help="Address of the Tryton server, e.g. https://tryton.example.com"),
        Setting(name="database", help="Name of the database, as shown when logging in"),
        Setting(name="user", help="Login of the integration user in Tryton"),
        Setting(name="password", secret=True, help="Password of that user, at least eight characters"),
        Setting(
            name="company", required=False, help="Code or name of the company's party; default: the user's own company"
        ),
        Setting(name="ca_bundle", required=False, help="CA file to trust besides the public ones"),
    ),
    limits=LIMITS,
    connect=connect,
    examine=examine,
)
