"""SOQL against a second opinion: every generated condition is also evaluated in Python over the same rows."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platforms.kit.sandbox.registry import open_ready
from platforms.salesforce.sandbox import SANDBOX
from platforms.salesforce.sandbox.schema import (
    FieldDef,
    PicklistValue,
    checkbox,
    custom_prefix,
    date,
    datetime,
    define,
    number,
    picklist,
    text,
)
from platforms.salesforce.sandbox.service import SalesforceService
from platforms.salesforce.sandbox.soql import SoqlError, date_range, parse

COLORS = ("Red", "Green", "Blue")
NAMES = ("ada", "Ada", "Bob", "carol's", "50%", "a_b", "back\\slash", "Zoë")
DAYS = [dt.date(2026, 1, 1) + dt.timedelta(days=n) for n in range(12)]
NUMBERS = (-2.5, 0.0, 0.1, 1.0, 2.25, 100.0)

SAMPLE = define(
    "Sample__c",
    custom_prefix(0),
    "Sample",
    "Samples",
    [
        text("Name", 80, name_field=True),
        text("Note__c", 80),
        number("Size__c", 12, 2),
        checkbox("Ready__c"),
        picklist("Color__c", COLORS, restricted=True),
        FieldDef(
            name="Tags__c",
            type="multipicklist",
            length=255,
            picklist=tuple(PicklistValue(value=v) for v in ("x", "y", "z")),
        ),
        date("Day__c"),
        datetime("At__c"),
    ],
)


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SalesforceService]:
    service = open_ready(SANDBOX, Path(tmp_path_factory.mktemp("soql")), seed=7)
    assert isinstance(service, SalesforceService)
    service.add_object(SAMPLE)
    yield service
    service.store.close()


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


rows = st.lists(
    st.fixed_dictionaries(
        {
            "Note__c": maybe(st.sampled_from(NAMES)),
            "Size__c": maybe(st.sampled_from(NUMBERS)),
            "Ready__c": st.booleans(),
            "Color__c": maybe(st.sampled_from(COLORS)),
            "Tags__c": maybe(st.sampled_from(["x", "y", "x;y", "x;z", "x;y;z"])),
            "Day__c": maybe(st.sampled_from(DAYS)),
            "At__c": maybe(st.sampled_from([dt.datetime(2026, 1, 3, h, tzinfo=dt.UTC) for h in (0, 9, 23)])),
        }
    ),
    max_size=12,
)


@dataclass(frozen=True)
class Condition:
    """A condition as SOQL, and what it means for a row. No third truth value: null compares as false."""

    soql: str
    holds: Callable[[Mapping[str, Any]], bool]


def quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def literal(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value.isoformat() if isinstance(value, dt.date) else repr(value)


def folded(value: Any) -> Any:
    """As the org compares text: without regard to (ASCII) case."""
    return value.encode().lower().decode() if isinstance(value, str) else value


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a is not None and folded(a) == folded(b),
    "!=": lambda a, b: a is None or folded(a) != folded(b),
    "<": lambda a, b: a is not None and folded(a) < folded(b),
    "<=": lambda a, b: a is not None and folded(a) <= folded(b),
    ">": lambda a, b: a is not None and folded(a) > folded(b),
    ">=": lambda a, b: a is not None and folded(a) >= folded(b),
}
POOLS: dict[str, list[Any]] = {
    "Note__c": list(NAMES),
    "Size__c": list(NUMBERS),
    "Color__c": list(COLORS),
    "Day__c": list(DAYS),
    "At__c": [dt.datetime(2026, 1, 3, 9, tzinfo=dt.UTC)],
}


@st.composite
def comparisons(draw: st.DrawFn) -> Condition:
    field = draw(st.sampled_from(list(POOLS)))
    value = draw(st.sampled_from(POOLS[field]))
    sign = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
    return Condition(f"{field} {sign} {literal(value)}", lambda row: COMPARE[sign](row[field], value))


@st.composite
def null_tests(draw: st.DrawFn) -> Condition:
    field = draw(st.sampled_from(list(POOLS)))
    if draw(st.booleans()):
        return Condition(f"{field} = null", lambda row: row[field] is None)
    return Condition(f"{field} != NULL", lambda row: row[field] is not None)


@st.composite
def memberships(draw: st.DrawFn) -> Condition:
    field = draw(st.sampled_from(["Note__c", "Size__c", "Color__c", "Day__c"]))
    values = draw(st.lists(st.sampled_from(POOLS[field]), min_size=1, max_size=3))
    listed = ", ".join(literal(value) for value in values)
    wanted = {folded(value) for value in values}
    if draw(st.booleans()):
        return Condition(f"{field} IN ({listed})", lambda row: row[field] is not None and folded(row[field]) in wanted)
    return Condition(f"{field} NOT IN ({listed})", lambda row: row[field] is None or folded(row[field]) not in wanted)


@st.composite
def likes(draw: st.DrawFn) -> Condition:
    pattern = draw(st.sampled_from(["a%", "%b", "%o%", "_da", "50\\%", "a\\_b", "%", "zo%", "%slash"]))
    glob = ""
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            glob += re.escape(pattern[at + 1])
            at += 2
            continue
        glob += {"%": ".*", "_": "."}.get(pattern[at], re.escape(pattern[at]))
        at += 1
    found = re.compile(glob, re.IGNORECASE | re.DOTALL)
    return Condition(
        f"Note__c LIKE '{pattern}'", lambda row: row["Note__c"] is not None and bool(found.fullmatch(row["Note__c"]))
    )


@st.composite
def tags(draw: st.DrawFn) -> Condition:
    wanted = draw(st.lists(st.sampled_from(["x", "y", "z", "x;y", "y;z"]), min_size=1, max_size=2))
    listed = ", ".join(quoted(one) for one in wanted)

    def includes(row: Mapping[str, Any]) -> bool:
        have = set((row["Tags__c"] or "").split(";"))
        return any(set(one.split(";")) <= have for one in wanted)

    if draw(st.booleans()):
        return Condition(f"Tags__c INCLUDES ({listed})", includes)
    return Condition(f"Tags__c EXCLUDES ({listed})", lambda row: not includes(row))


flags = st.sampled_from(
    [
        Condition("Ready__c = true", lambda row: row["Ready__c"]),
        Condition("Ready__c = FALSE", lambda row: not row["Ready__c"]),
        Condition("Ready__c != true", lambda row: not row["Ready__c"]),
    ]
)


def combine(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    def joined(word: str, many: list[Condition]) -> Condition:
        check = all if word == "AND" else any
        return Condition(
            "(" + f" {word} ".join(one.soql for one in many) + ")", lambda row: check(one.holds(row) for one in many)
        )

    several = st.lists(parts, min_size=2, max_size=3)
    return (
        several.map(lambda many: joined("AND", many))
        | several.map(lambda many: joined("or", many))
        | parts.map(lambda one: Condition(f"(NOT {one.soql})", lambda row: not one.holds(row)))
    )


conditions = st.recursive(
    comparisons() | null_tests() | memberships() | likes() | tags() | flags, combine, max_leaves=6
)


def fill(org: SalesforceService, given_rows: list[dict[str, Any]]) -> list[str]:
    org.store.write('DELETE FROM "Sample__c"')
    return org.insert_many("Sample__c", given_rows, actor="world")


calm = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@calm
@given(given_rows=rows, condition=conditions)
def test_a_condition_finds_exactly_the_rows_for_which_it_holds(
    org: SalesforceService, given_rows: list[dict[str, Any]], condition: Condition
) -> None:
    ids = fill(org, given_rows)
    found = [one["Id"] for one in org.query(f"SELECT Id FROM Sample__c WHERE {condition.soql}")]
    assert found == [i for i, row in zip(ids, given_rows, strict=True) if condition.holds(row)]


@calm
@given(given_rows=rows, descending=st.booleans(), last=st.booleans(), limit=st.integers(0, 8), offset=st.integers(0, 4))
def test_order_limit_and_offset_cut_what_python_would_cut(
    org: SalesforceService, given_rows: list[dict[str, Any]], descending: bool, last: bool, limit: int, offset: int
) -> None:
    ids = fill(org, given_rows)
    soql = (
        f"SELECT Id, Size__c FROM Sample__c ORDER BY Size__c {'DESC' if descending else 'ASC'} "
        f"NULLS {'LAST' if last else 'FIRST'} LIMIT {limit} OFFSET {offset}"
    )
    found = [one["Size__c"] for one in org.query(soql)]
    sizes = [row["Size__c"] for row in given_rows]
    empty = [None] * sizes.count(None)
    full = sorted((size for size in sizes if size is not None), reverse=descending)
    assert found == ((full + empty) if last else (empty + full))[offset : offset + limit]
    assert len(set(ids)) == len(ids)


@calm
@given(given_rows=rows)
def test_groups_add_up_to_what_python_adds_up(org: SalesforceService, given_rows: list[dict[str, Any]]) -> None:
    fill(org, given_rows)
    soql = (
        "SELECT Color__c, COUNT(Id) n, COUNT(Size__c) filled, SUM(Size__c) total, MAX(Day__c) newest "
        "FROM Sample__c GROUP BY Color__c HAVING COUNT(Id) > 1 ORDER BY COUNT(Id) DESC, Color__c"
    )
    found = {one["Color__c"]: one for one in org.query(soql)}
    expected: dict[str | None, dict[str, Any]] = {}
    for color in {row["Color__c"] for row in given_rows}:
        mine = [row for row in given_rows if row["Color__c"] == color]
        sizes = [row["Size__c"] for row in mine if row["Size__c"] is not None]
        days = [row["Day__c"].isoformat() for row in mine if row["Day__c"] is not None]
        if len(mine) > 1:
            expected[color] = {
                "n": len(mine),
                "filled": len(sizes),
                "total": round(sum(sizes), 2) if sizes else None,
                "newest": max(days, default=None),
            }
    assert {color: {k: one[k] for k in ("n", "filled", "total", "newest")} for color, one in found.items()} == expected


@pytest.mark.parametrize(
    ("word", "first", "last"),
    [
        ("TODAY", "2026-03-18", "2026-03-18"),
        ("YESTERDAY", "2026-03-17", "2026-03-17"),
        ("LAST_WEEK", "2026-03-08", "2026-03-14"),
        ("THIS_MONTH", "2026-03-01", "2026-03-31"),
        ("LAST_MONTH", "2026-02-01", "2026-02-28"),
        ("NEXT_QUARTER", "2026-04-01", "2026-06-30"),
        ("LAST_N_DAYS:7", "2026-03-11", "2026-03-18"),
        ("NEXT_N_DAYS:2", "2026-03-19", "2026-03-20"),
        ("LAST_N_MONTHS:2", "2026-01-01", "2026-02-28"),
        ("N_DAYS_AGO:3", "2026-03-15", "2026-03-15"),
        ("LAST_FISCAL_YEAR", "2025-01-01", "2025-12-31"),
        ("last_n_years:1", "2025-01-01", "2025-12-31"),
    ],
)
def test_a_date_word_stands_for_a_range_of_days(word: str, first: str, last: str) -> None:
    span = date_range(word, dt.date(2026, 3, 18))
    assert span is not None
    assert (span[0].isoformat(), (span[1] - dt.timedelta(days=1)).isoformat()) == (first, last)


def test_date_words_count_from_the_clock_of_the_org(service: SalesforceService) -> None:
    service.clock.set_at_least(dt.datetime(2026, 5, 20, 10, tzinfo=dt.UTC))
    account = service.insert("Account", {"Name": "Acme"}, actor="")
    assert service.query("SELECT Id FROM Account WHERE CreatedDate = TODAY") != []
    service.clock.set_at_least(dt.datetime(2026, 5, 22, tzinfo=dt.UTC))
    assert service.query("SELECT Id FROM Account WHERE CreatedDate = TODAY") == []
    assert [one["Id"] for one in service.query("SELECT Id FROM Account WHERE CreatedDate = LAST_N_DAYS:2")] == [account]


@pytest.mark.parametrize(
    ("soql", "code", "says"),
    [
        ("SELECT Nope FROM Account", "INVALID_FIELD", "No such column 'Nope'"),
        ("SELECT Foo__r.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Foo__r'"),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported"),
        ("SELECT Id, (SELECT Id FROM Nopes) FROM Account", "INVALID_TYPE", "'Nopes'"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "should be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE CreatedDate > '2026-01-01'", "INVALID_FIELD", "should not be enclosed"),
        ("SELECT Id FROM Account WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "of type dateTime"),
        ("SELECT Id FROM Account WHERE Id = 'xyz'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: xyz"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY", "'OR'"),
        ("SELECT Id FROM Account ORDER Name", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id, Id FROM Account", "MALFORMED_QUERY", "duplicate field selected: Id"),
        ("SELECT Name, COUNT(Id) FROM Account", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", "LIMIT"),
        ("SELECT Id FROM Account LIMIT 1 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        ("SELECT Id FROM Account WHERE BillingAddress = null", "INVALID_FIELD", "BillingAddress"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered"),
    ],
)
def test_a_statement_the_org_does_not_understand_is_refused_with_its_code(
    service: SalesforceService, soql: str, code: str, says: str
) -> None:
    with pytest.raises(SoqlError) as refused:
        service.query(soql)
    assert refused.value.code == code
    assert says in refused.value.message


def test_fields_named_like_keywords_are_fields() -> None:
    found = parse("select Type, Order, Limit from Group where Like like 'x' and In in ('y') order by Offset limit 3")
    assert found.source == "Group"
    assert found.limit == 3


def test_parents_children_and_semi_joins_are_followed(service: SalesforceService) -> None:
    acme = service.insert("Account", {"Name": "Acme", "BillingCity": "Leeds", "BillingCountryCode": "GB"}, actor="")
    other = service.insert("Account", {"Name": "Other", "ParentId": acme}, actor="")
    for place in range(3):
        service.insert("Contact", {"LastName": f"L{place}", "AccountId": acme}, actor="")
    service.insert("Contact", {"LastName": "Alone"}, actor="")
    (found,) = service.query(
        "SELECT Name, BillingAddress, "
        "(SELECT LastName FROM Contacts WHERE LastName != 'L1' ORDER BY LastName DESC LIMIT 1) "
        "FROM Account a WHERE a.Id IN (SELECT AccountId FROM Contact WHERE LastName LIKE 'L%')"
    )
    assert found["BillingAddress"]["city"] == "Leeds"
    assert [one["LastName"] for one in found["Contacts"]["records"]] == ["L2"]
    (child,) = service.query(
        "SELECT Parent.Name, Parent.Owner.Username, (SELECT Id FROM Contacts) FROM Account WHERE ParentId != null"
    )
    assert child["Parent"]["Name"] == "Acme"
    assert child["Contacts"] is None
    alone = service.query("SELECT LastName, Account.Name FROM Contact WHERE Account.Name = null")
    assert [(one["LastName"], one["Account"]) for one in alone] == [("Alone", None)]
    assert [one["Id"] for one in service.query(f"SELECT Id FROM Account WHERE Id = '{other[:15]}'")] == [other]
    nobody = service.query("SELECT Id FROM Account WHERE Id NOT IN (SELECT AccountId FROM Contact)")
    assert [one["Id"] for one in nobody] == [other]
