"""What goes over the wire to Tryton and what comes back, without a server: values, domains, errors, second tries."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import httpx
import pytest

from platforms.kit.context import ClientContext
from platforms.kit.errors import AskPerson, BadAnswer, Conflict, NotSent, PlatformError, Refused, Retry, Uncertain
from platforms.kit.secrets import Secret
from platforms.tryton import client as room
from platforms.tryton.client import TrytonClient

PARTY: Mapping[str, Mapping[str, Any]] = {
    "id": {"type": "integer"},
    "name": {"type": "char"},
    "active": {"type": "boolean"},
    "lang": {"type": "many2one", "relation": "ir.lang"},
    "addresses": {"type": "one2many", "relation": "party.address"},
    "categories": {"type": "many2many", "relation": "party.category"},
    "credit": {"type": "numeric"},
    "share": {"type": "float"},
    "origin": {"type": "reference"},
}
ADDRESS: Mapping[str, Mapping[str, Any]] = {
    "id": {"type": "integer"},
    "city": {"type": "char"},
    "party": {"type": "many2one", "relation": "party.party"},
}


def of(model: str) -> Mapping[str, Mapping[str, Any]]:
    return {"party.address": ADDRESS, "party.party": PARTY}.get(model, {})


# -- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (date(2026, 11, 23), {"__class__": "date", "year": 2026, "month": 11, "day": 23}),
        (
            datetime(2026, 11, 23, 14, 30, 1, 250, tzinfo=UTC),
            {"__class__": "datetime", "year": 2026, "month": 11, "day": 23, "hour": 14, "minute": 30, "second": 1, "microsecond": 250},
        ),
        (timedelta(hours=2.5), {"__class__": "timedelta", "seconds": Decimal(9000)}),
        (time(9, 30), {"__class__": "time", "hour": 9, "minute": 30, "second": 0, "microsecond": 0}),
        (Decimal("12500.00"), {"__class__": "Decimal", "decimal": "12500.00"}),
        (b"\x00pdf", {"__class__": "bytes", "base64": base64.b64encode(b"\x00pdf").decode()}),
        ("text", "text"),
        (True, True),
        (None, None),
        ([1, {"a": Decimal("0.1")}], [1, {"a": {"__class__": "Decimal", "decimal": "0.1"}}]),
    ],
)  # fmt: skip
def test_values_come_back_as_they_went(value: Any, wire: Any) -> None:
    assert room.encode(value) == wire
    assert room.decode(wire) == value


def test_a_moment_travels_as_utc_and_never_without_a_zone() -> None:
    east = datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert room.encode(east)["day"] == 31
    with pytest.raises(TypeError, match="no time zone"):
        room.encode(east.replace(tzinfo=None))


def test_money_is_never_a_float() -> None:
    with pytest.raises(TypeError, match="money is Decimal"):
        room.encode({"amount": 12.5})


def test_an_unknown_kind_of_value_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="surprise"):
        room.decode({"__class__": "surprise"})


def test_a_record_is_read_by_the_types_of_its_fields() -> None:
    row = {
        "id": 7, "name": "Acme", "active": 1, "lang": 2, "addresses": [4, 5], "categories": [], "share": 1,
        "credit": {"__class__": "Decimal", "decimal": "10.00"}, "origin": "sale.sale,3",
        "addresses.": [{"id": 4, "city": "Delft", "party": 7}], "lang.": None,
    }  # fmt: skip
    assert room.decode_record(row, PARTY, of) == {
        "id": "7", "name": "Acme", "active": True, "lang": "2", "addresses": ["4", "5"], "categories": [],
        "share": Decimal(1), "credit": Decimal("10.00"), "origin": "sale.sale,3",
        "addresses.": [{"id": "4", "city": "Delft", "party": "7"}], "lang.": None,
    }  # fmt: skip


def test_a_record_is_written_by_the_types_of_its_fields() -> None:
    values = {
        "lang": "2", "credit": 10, "share": Decimal("2.5"), "name": "12", "origin": "sale.sale,3",
        "addresses": [["create", [{"city": "Delft", "party": "7"}]], ["write", ["4"], {"city": "Ede"}], ("delete", ["5"])],
        "categories": [["add", ["1", "2"]]],
    }  # fmt: skip
    assert room.encode_record(values, PARTY, of) == {
        "lang": 2, "credit": {"__class__": "Decimal", "decimal": "10"}, "share": Decimal("2.5"), "name": "12",
        "origin": "sale.sale,3",
        "addresses": [["create", [{"city": "Delft", "party": 7}]], ["write", [4], {"city": "Ede"}], ["delete", [5]]],
        "categories": [["add", [1, 2]]],
    }  # fmt: skip


def test_a_domain_has_numbers_for_links_and_text_for_texts() -> None:
    domain = [
        "OR",
        ["id", ">", "4"],
        [["lang", "=", "2"], ["name", "=", "2"]],
        ["addresses", "in", ["1", None]],
        ["lang", "=", None],
    ]
    assert room.encode_domain(domain, PARTY) == [
        "OR", ["id", ">", 4], [["lang", "=", 2], ["name", "=", "2"]], ["addresses", "in", [1, None]], ["lang", "=", None],
    ]  # fmt: skip


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (["UserError", ["The code must be unique.", "", None]], Refused),
        (["UserWarning", ["key.1", "In the past.", ""]], AskPerson),
        (["ConcurrencyException", "Records were modified"], Conflict),
        (["LoginException", ["password", "Password", "password"]], AskPerson),
        (["'nosuch'", ""], Refused),
        ("odd", Refused),
    ],
)
def test_the_first_item_of_an_error_decides_what_to_do(item: Any, kind: type[PlatformError]) -> None:
    assert type(room.error_of(item)) is kind


def test_an_error_keeps_what_a_person_needs() -> None:
    assert room.error_of(["UserError", ["No.", "Because.", None]]).message == "No. Because."
    assert room.error_of(["UserError", ["No.", "", [["x"], {"account": {}, "party": {}}]]]).fields == (
        "account",
        "party",
    )
    question = room.error_of(["UserWarning", ["key.1", "In the past.", ""]])
    assert (question.record, question.message) == ("key.1", "In the past.")
    assert "nosuch" in room.error_of(["'nosuch'", ""]).message


# -- a client over a wire of our own -------------------------------------------------------------------------------


Answer = Callable[[str, list[Any]], Any]


class Server:
    """A Tryton that knows log-in and preferences; the rest is up to `answer`, which may also raise or give a Response."""

    def __init__(self, answer: Answer, *, version: str = "8.2") -> None:
        self.answer, self.version = answer, version
        self.asked: list[str] = []
        self.sessions = 0
        self.expired = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert set(body) == {"id", "method", "params"}
        method, params = body["method"], body["params"]
        self.asked.append(method)
        result: Any
        if method == "common.db.login":
            if params[1]["password"] != "open-sesame":
                return httpx.Response(401, html="<p>no</p>")
            self.sessions += 1
            self.expired = False
            result = [3, f"session-{self.sessions}-of-this-server", None]
        elif self.expired:
            return httpx.Response(401)
        elif method == "common.server.version":
            result = self.version
        elif method == "model.res.user.get_preferences":
            result = {"company": 1, "companies": [1], "language": "sv", "employee": 2}
        elif method == "model.company.company.search_read":
            result = [
                {
                    "id": 1,
                    "party": 9,
                    "party.": {"id": 9, "code": "NL", "name": "Kade"},
                    "currency.": {"id": 1, "code": "EUR"},
                }
            ]
        elif method.endswith(".fields_get"):
            result = {
                name: dict(known)
                for name, known in of(method.removeprefix("model.").removesuffix(".fields_get")).items()
            }
        else:
            result = self.answer(method, params)
        if isinstance(result, httpx.Response):
            return result
        key = "error" if isinstance(result, PlannedError) else "result"
        return httpx.Response(200, json={"id": body["id"], key: list(result) if key == "error" else result})


class PlannedError(list[Any]):
    """An answer that is an error item."""


def connect(server: Server, naps: list[float] | None = None, password: str = "open-sesame") -> TrytonClient:
    context = ClientContext(
        connection="books",
        transport=httpx.MockTransport(server),
        sleep=(naps if naps is not None else []).append,
        random=random.Random(1),
    )
    settings: dict[str, str | Secret] = {
        "base_url": "https://tryton.example", "database": "firm", "user": "tieout", "password": Secret(password),
    }  # fmt: skip
    return TrytonClient(settings, context)


def nothing(method: str, params: list[Any]) -> Any:
    return None


def test_every_call_carries_the_company_and_a_language_that_does_not_depend_on_the_user() -> None:
    seen: list[Any] = []

    def answer(method: str, params: list[Any]) -> Any:
        seen.append(params[-1])
        return []

    client = connect(Server(answer))
    client.search("party.party", [])
    client.search("party.party", [], context={"active_test": False})
    assert [(sent["company"], sent["language"], sent.get("active_test")) for sent in seen] == [
        (1, "en", None),
        (1, "en", False),
    ]
    assert (client.company.id, client.company.code, client.company.currency) == ("1", "NL", "EUR")


def test_an_old_session_is_renewed_once_and_the_call_repeated() -> None:
    server = Server(lambda method, params: 5)
    client = connect(server)
    client.search_count("party.party", [])
    server.expired = True
    assert client.search_count("party.party", []) == 5
    assert server.sessions == 2


def test_a_wrong_password_is_a_persons_to_mend_and_never_shown() -> None:
    with pytest.raises(AskPerson) as caught:
        connect(Server(nothing), password="wrong-and-secret").ping()
    assert "user and password" in caught.value.next_step
    assert "wrong-and-secret" not in str(caught.value)


def test_a_series_that_was_not_tested_is_refused() -> None:
    with pytest.raises(AskPerson, match=r"7\.0"):
        connect(Server(nothing, version="7.0")).search("party.party", [])


@pytest.mark.parametrize(
    "answer", [httpx.ReadError("cut"), httpx.Response(504, html="<p>late</p>"), httpx.Response(200, json={"id": 1})]
)
def test_a_create_that_nobody_heard_of_is_uncertain_and_sent_once(answer: Any) -> None:
    def cut(method: str, params: list[Any]) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    server = Server(cut)
    with pytest.raises(Uncertain):
        connect(server).create("party.party", [{"name": "Acme"}])
    assert server.asked.count("model.party.party.create") == 1


def test_a_create_that_never_left_is_sent_again() -> None:
    tries: list[int] = []

    def answer(method: str, params: list[Any]) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise httpx.ConnectError("refused")
        return [12]

    assert connect(Server(answer)).create("party.party", [{"name": "Acme"}]) == ["12"]


def test_a_refused_create_was_rolled_back_and_says_why() -> None:
    server = Server(lambda method, params: PlannedError(["UserError", ["The code on party must be unique.", "", None]]))
    with pytest.raises(Refused, match="must be unique"):
        connect(server).create("party.party", [{"code": "A"}])


def unlucky_first(method_end: str) -> tuple[Server, list[str]]:
    tried: list[str] = []

    def answer(method: str, params: list[Any]) -> Any:
        tried.append(method)
        if len(tried) == 1:
            return httpx.Response(503, html="<p>database is locked</p>")
        return None

    return Server(answer), tried


def test_a_write_is_repeated_because_it_does_the_same_again() -> None:
    server, tried = unlucky_first("write")
    connect(server).write("party.party", [(["1"], {"name": "Acme"})])
    assert tried == ["model.party.party.write"] * 2


@pytest.mark.parametrize(
    ("values", "context"),
    [
        ({"addresses": [["create", [{"city": "Delft"}]]]}, {}),
        ({"name": "Acme"}, {"_timestamp": {"party.party,1": "1795428174.5391"}}),
    ],
    ids=["makes an address", "only if nobody wrote since"],
)
def test_a_write_that_would_not_do_the_same_again_is_not_repeated(values: Any, context: Any) -> None:
    server, tried = unlucky_first("write")
    with pytest.raises(Uncertain):
        connect(server).write("party.party", [(["1"], values)], context=context)
    assert len(tried) == 1


def test_a_button_is_pressed_once() -> None:
    server, tried = unlucky_first("post")
    with pytest.raises(Uncertain):
        connect(server).press("party.party", "post", ["1"])
    assert len(tried) == 1


def test_what_is_not_offered_is_a_persons_to_allow() -> None:
    server = Server(lambda method, params: httpx.Response(403, html="<p>Forbidden</p>"))
    with pytest.raises(AskPerson, match="does not offer"):
        connect(server).call("ir.model.data", "search", [], idempotent=True)


def test_a_page_that_is_not_tryton_is_named_as_such() -> None:
    server = Server(lambda method, params: httpx.Response(200, html="<p>Welcome to the proxy</p>"))
    with pytest.raises(BadAnswer, match=r"tryton\.example"):
        connect(server).search("party.party", [])


def test_a_server_that_stays_away_ends_as_a_retry_with_pauses() -> None:
    naps: list[float] = []
    server = Server(lambda method, params: httpx.Response(503, html="<p>gone</p>"))
    with pytest.raises(Retry):
        connect(server, naps).search("party.party", [])
    assert len(naps) == 5


def test_an_unreachable_server_is_not_sent() -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    context = ClientContext(connection="books", transport=httpx.MockTransport(gone), sleep=lambda _: None)
    settings: dict[str, str | Secret] = {
        "base_url": "https://tryton.example", "database": "firm", "user": "tieout", "password": Secret("open-sesame"),
    }  # fmt: skip
    with pytest.raises(NotSent):
        TrytonClient(settings, context).ping()


def test_pages_go_on_behind_the_last_change_and_id() -> None:
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    stamp = room.encode(moment)
    positions: list[Any] = []

    def answer(method: str, params: list[Any]) -> Any:
        domain, _, limit, order, fields, context = params
        positions.append(domain)
        assert (limit, order[1], context["active_test"]) == (2, ["id", "ASC"], False)
        assert fields == ["name", "last_modified_at"]
        ids = [1, 2] if len(positions) == 1 else [3]
        return [{"id": id, "name": "x", "last_modified_at": stamp} for id in ids]

    pages = list(
        connect(Server(answer)).pages("party.party", ["name"], since=moment, domain=[["name", "!=", "y"]], size=2)
    )
    assert [[row["id"] for row in page] for page in pages] == [["1", "2"], ["3"]]
    own = [["name", "!=", "y"]]
    assert positions == [
        [own, ["last_modified_at", ">=", stamp]],
        [own, ["OR", ["last_modified_at", ">", stamp], [["last_modified_at", "=", stamp], ["id", ">", 2]]]],
    ]
