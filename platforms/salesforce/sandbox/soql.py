"""SOQL, parsed with a grammar and compiled to SQL over the sandbox's SQLite tables.

    text --parse--> Query --compile_query--> Compiled --(store)--> rows --shape--> JSON or CSV

SOQL knows no third truth value: a comparison with null is false, its negation true, `!=` and `NOT IN` let nulls
through. SQL does not behave so, hence the `IS TRUE` under every NOT. Text compares caselessly (the columns carry
that collation), ids do not, and a 15-character id means the same record as its 18-character form.
Dates such as `LAST_N_DAYS:7` count from the clock that is passed in, in UTC.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from platforms.salesforce.sandbox.ids import normal_id
from platforms.salesforce.sandbox.schema import NUMBER_TYPES, FieldDef, ObjectDef

MAX_STATEMENT = 100_000
MAX_OFFSET = 2_000
AGGREGATES = frozenset({"count", "count_distinct", "sum", "avg", "min", "max"})
DATE_FUNCTIONS: dict[str, str] = {
    "calendar_year": "CAST(substr({0}, 1, 4) AS INTEGER)",
    "calendar_month": "CAST(substr({0}, 6, 2) AS INTEGER)",
    "calendar_quarter": "((CAST(substr({0}, 6, 2) AS INTEGER) + 2) / 3)",
    "fiscal_year": "CAST(substr({0}, 1, 4) AS INTEGER)",
    "fiscal_month": "CAST(substr({0}, 6, 2) AS INTEGER)",
    "fiscal_quarter": "((CAST(substr({0}, 6, 2) AS INTEGER) + 2) / 3)",
    "day_in_month": "CAST(substr({0}, 9, 2) AS INTEGER)",
    "day_in_week": "(CAST(strftime('%w', substr({0}, 1, 10)) AS INTEGER) + 1)",
    "day_in_year": "CAST(strftime('%j', substr({0}, 1, 10)) AS INTEGER)",
    "week_in_year": "((CAST(strftime('%j', substr({0}, 1, 10)) AS INTEGER) + 6) / 7)",
    "hour_in_day": "CAST(substr({0}, 12, 2) AS INTEGER)",
    "day_only": "substr({0}, 1, 10)",
}
TRANSPARENT = frozenset({"tolabel", "format", "convertcurrency", "converttimezone"})


class SoqlError(Exception):
    """The statement cannot be answered; `code` is the vendor's error code."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


# --- the statement -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """A field path as written, with its place for messages."""

    text: str
    column: int
    line: int = 1


@dataclass(frozen=True)
class Call:
    """A function over an operand, or over nothing: COUNT()."""

    name: str
    argument: Path | Call | None
    column: int


Operand = Path | Call


@dataclass(frozen=True)
class Value:
    """A literal: kind is string, datetime, date, number, money or word; `raw` is the text of the statement."""

    kind: str
    raw: str
    column: int


@dataclass(frozen=True)
class Compare:
    """One predicate; `operator` is a SQL comparison, like, in, not in, includes or excludes."""

    operand: Operand
    operator: str
    values: tuple[Value, ...] | Query


@dataclass(frozen=True)
class Logic:
    """all (AND), any (OR) or not."""

    kind: str
    parts: tuple[Compare | Logic, ...]


Condition = Compare | Logic


@dataclass(frozen=True)
class Selected:
    """One item of the SELECT list."""

    operand: Operand
    alias: str | None


@dataclass(frozen=True)
class Order:
    """One item of ORDER BY."""

    operand: Operand
    descending: bool
    nulls_last: bool


@dataclass(frozen=True)
class Query:
    """A parsed statement."""

    text: str
    selected: tuple[Selected, ...]
    children: tuple[Query, ...]
    source: str
    source_column: int
    alias: str | None
    where: Condition | None = None
    group: tuple[Operand, ...] = ()
    having: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int | None = None

    @property
    def is_count(self) -> bool:
        """Whether this is SELECT COUNT() FROM ..., answered by totalSize alone."""
        only = self.selected[0].operand if len(self.selected) == 1 else None
        return isinstance(only, Call) and only.name == "count" and only.argument is None

    @property
    def is_aggregate(self) -> bool:
        """Whether rows are groups."""
        return bool(self.group) or any(
            isinstance(s.operand, Call) and s.operand.name in AGGREGATES for s in self.selected
        )


@cache
def _parser() -> Lark:
    grammar = files("platforms.salesforce.sandbox").joinpath("soql.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", start="query", propagate_positions=True)


def _caret(text: str, line: int, column: int, message: str) -> str:
    """A message in the vendor's form: the statement, a caret under the place, row and column."""
    row = text.splitlines()[line - 1] if text.splitlines() else ""
    start = max(0, column - 1 - 40)
    piece = row[start : column + 60]
    return f"\n{piece}\n{' ' * (column - 1 - start)}^\nERROR at Row:{line}:Column:{column}\n{message}"


@lru_cache(maxsize=512)
def parse(text: str) -> Query:
    """The statement as data.

    Raises SoqlError MALFORMED_QUERY with the place of the fault; AND beside OR without parentheses is a fault.
    """
    if len(text) > MAX_STATEMENT:
        raise SoqlError("QUERY_TOO_COMPLICATED", f"SOQL statements cannot be longer than {MAX_STATEMENT} characters.")
    try:
        tree = _parser().parse(text)
    except UnexpectedEOF as error:
        raise SoqlError("MALFORMED_QUERY", "unexpected end of statement") from error
    except UnexpectedInput as error:
        if isinstance(error, UnexpectedToken) and error.token.type == "$END":
            raise SoqlError("MALFORMED_QUERY", "unexpected token: '<EOF>'") from error
        found = text[error.pos_in_stream : (error.pos_in_stream or 0) + 1] if error.pos_in_stream is not None else ""
        if isinstance(error, UnexpectedToken):
            found = str(error.token)
        elif isinstance(error, UnexpectedCharacters) and error.pos_in_stream is not None:
            match = re.match(r"\w+|.", text[error.pos_in_stream :], re.S)
            found = match.group() if match else found
        message = _caret(text, max(error.line, 1), max(error.column, 1), f"unexpected token: '{found}'")
        raise SoqlError("MALFORMED_QUERY", message) from error
    return _query(tree, text)


def _operand(node: Tree[Token]) -> Operand:
    token = node.children[0]
    assert isinstance(token, Token)
    if node.data == "path":
        return Path(str(token), token.column or 1, token.line or 1)
    argument = node.children[1] if len(node.children) > 1 else None
    return Call(str(token).lower(), _operand(argument) if isinstance(argument, Tree) else None, token.column or 1)


def _values(node: Any, text: str) -> tuple[Value, ...] | Query:
    if node.data == "query":
        return _query(node, text)
    return tuple(_value(child) for child in node.children)


def _value(node: Any) -> Value:
    token = node.children[0]
    return Value(token.type.lower(), str(token), token.column or 1)


def _condition(node: Any, text: str) -> Condition:
    trees = [child for child in node.children if isinstance(child, Tree)]
    if node.data in ("all_of", "any_of"):
        return Logic("all" if node.data == "all_of" else "any", tuple(_condition(t, text) for t in trees))
    if node.data == "negated":
        return Logic("not", (_condition(trees[0], text),))
    operand = _operand(trees[0])
    if node.data == "compare":
        sign = next(str(c) for c in node.children if isinstance(c, Token))
        return Compare(operand, "!=" if sign == "<>" else sign, (_value(trees[1]),))
    if node.data == "like":
        return Compare(operand, "like", (_value(trees[1]),))
    operator = {"is_in": "in", "not_in": "not in", "includes": "includes", "excludes": "excludes"}[node.data]
    return Compare(operand, operator, _values(trees[1], text))


def _query(tree: Any, text: str) -> Query:
    selected: list[Selected] = []
    children: list[Query] = []
    source: list[tuple[str, int, str | None]] = []
    parts: dict[str, Any] = {}
    for node in tree.children:
        if not isinstance(node, Tree):
            continue
        trees = [child for child in node.children if isinstance(child, Tree)]
        tokens = [child for child in node.children if isinstance(child, Token)]
        if node.data == "selected":
            selected.append(Selected(_operand(trees[0]), str(tokens[-1]) if tokens else None))
        elif node.data == "child_query":
            children.append(_query(trees[0], text))
        elif node.data == "from_item":
            names = [token for token in tokens if token.type == "PATH"]
            source.append((str(names[0]), names[0].column or 1, str(names[1]) if len(names) > 1 else None))
        elif node.data == "where":
            parts["where"] = _condition(trees[0], text)
        elif node.data == "having":
            parts["having"] = _condition(trees[0], text)
        elif node.data == "group":
            parts["group"] = tuple(_operand(t) for t in trees)
        elif node.data == "order":
            parts["order"] = tuple(_order_item(t) for t in trees)
        elif node.data in ("limit", "offset"):
            parts[node.data] = _whole(str(tokens[-1]))
    if len(source) != 1:
        raise SoqlError("MALFORMED_QUERY", "only one object may stand in FROM")
    name, column, alias = source[0]
    return Query(text, tuple(selected), tuple(children), name, column, alias, **parts)


def _whole(raw: str) -> int:
    if not raw.isdigit():
        raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{raw}'")
    return int(raw)


def _order_item(node: Any) -> Order:
    tokens = {token.type: str(token).lower() for token in node.children if isinstance(token, Token)}
    operand = _operand(next(child for child in node.children if isinstance(child, Tree)))
    return Order(operand, tokens.get("DIRECTION") == "desc", tokens.get("NULLS", "").endswith("last"))


# --- literals ----------------------------------------------------------------------------------------------

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def unquote(raw: str, *, for_like: bool = False) -> str:
    """The text of a quoted literal; for LIKE an escaped wildcard keeps its backslash."""
    body = raw[1:-1]
    if "\\" not in body:
        return body

    def replacement(match: re.Match[str]) -> str:
        char = match.group(1)
        if char.startswith("u") and len(char) == 5:
            return chr(int(char[1:], 16))
        if for_like and char in "%_\\":
            return "\\" + char
        return _ESCAPES.get(char.lower(), char)

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", replacement, body, flags=re.S)


def instant_text(moment: dt.datetime) -> str:
    """An instant as the tables hold it and as JSON answers carry it."""
    moment = moment.astimezone(dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


def parse_instant(raw: str) -> dt.datetime | None:
    """An ISO instant with offset (`Z`, `+0000`, `+00:00`), any number of fraction digits; None when it is none."""
    match = re.fullmatch(
        r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2})?)(\.\d+)?(Z|z|[+-]\d{2}:?\d{2})?", raw.strip()
    )
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in (None, "Z", "z") else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    clock = clock if len(clock) == 8 else f"{clock}:00"
    try:
        return dt.datetime.fromisoformat(f"{day}T{clock}{((fraction or '.0') + '000000')[:7]}{offset}").astimezone(
            dt.UTC
        )
    except (ValueError, OverflowError):
        return None


def _month_shift(day: dt.date, months: int) -> dt.date:
    index = day.year * 12 + day.month - 1 + months
    return dt.date(index // 12, index % 12 + 1, 1)


def date_range(word: str, today: dt.date) -> tuple[dt.date, dt.date] | None:
    """The half-open range of days that a date literal stands for; None when the word is none. Weeks start on Sunday.

    `LAST_N_DAYS:n` ends with today, `LAST_N_WEEKS|MONTHS|QUARTERS|YEARS:n` end before the running period.
    """
    name, _, count = word.upper().partition(":")
    one = dt.timedelta(days=1)
    plain = {
        "TODAY": (today, today + one),
        "YESTERDAY": (today - one, today),
        "TOMORROW": (today + one, today + 2 * one),
        "LAST_90_DAYS": (today - 90 * one, today + one),
        "NEXT_90_DAYS": (today + one, today + 91 * one),
    }
    if not count and name in plain:
        return plain[name]
    units: dict[str, Callable[[int], dt.date]] = {
        "DAY": lambda n: today + n * one,
        "WEEK": lambda n: today - ((today.weekday() + 1) % 7) * one + n * 7 * one,
        "MONTH": lambda n: _month_shift(today.replace(day=1), n),
        "QUARTER": lambda n: _month_shift(today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1), 3 * n),
        "YEAR": lambda n: dt.date(today.year + n, 1, 1),
    }
    unit_name = name.replace("FISCAL_", "")
    match = re.fullmatch(r"(LAST|THIS|NEXT)_(WEEK|MONTH|QUARTER|YEAR)", unit_name)
    if match and not count:
        shift = {"LAST": -1, "THIS": 0, "NEXT": 1}[match.group(1)]
        start = units[match.group(2)]
        return start(shift), start(shift + 1)
    match = re.fullmatch(r"(LAST|NEXT)_N_(DAY|WEEK|MONTH|QUARTER|YEAR)S", unit_name)
    if match and count:
        start, n = units[match.group(2)], int(count)
        if match.group(1) == "LAST":
            return start(-n), (start(1) if match.group(2) == "DAY" else start(0))
        return start(1), start(n + 1)
    match = re.fullmatch(r"N_(DAY|WEEK|MONTH|QUARTER|YEAR)S_AGO", unit_name)
    if match and count:
        start, n = units[match.group(1)], int(count)
        return start(-n), start(-n + 1)
    return None


# --- compilation -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """One column of the answer: its path as a CSV header shows it, its place in the SQL row and its kind."""

    path: tuple[str, ...]
    index: int
    kind: str
    scale: int = 2
    parts: tuple[tuple[str, int], ...] = ()


@dataclass
class Node:
    """A level of a nested answer: the record itself, or a parent reached by a path."""

    object: str
    id_index: int
    columns: list[Column] = field(default_factory=list)
    parents: dict[str, Node] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


@dataclass
class Child:
    """A subquery over child records, and the column that points at the parent."""

    name: str
    compiled: Compiled
    key_index: int
    limit: int | None
    offset: int


@dataclass
class Compiled:
    """SQL for one statement.

    `ids_sql` finds the running numbers of the records, in order, limited; `page_sql` reads the columns of a set of
    them. For aggregates `ids_sql` reads the groups themselves and `page_sql` is empty.
    """

    query: Query
    object: ObjectDef
    ids_sql: str
    ids_params: list[Any]
    page_sql: str
    columns: list[Column]
    root: Node
    children: list[Child]
    aggregate: bool


class _Compiler:
    def __init__(
        self, query: Query, objects: Mapping[str, ObjectDef], now: dt.datetime, all_rows: bool, prefix: str = "t"
    ) -> None:
        self.query, self.objects, self.now, self.all_rows, self.prefix = query, objects, now, all_rows, prefix
        self.joins: dict[tuple[str, ...], tuple[str, ObjectDef]] = {}
        self.join_sql: list[str] = []
        self.params: list[Any] = []
        self.select: list[str] = []
        self.base = f"{prefix}0"

    # names

    def object_of(self, name: str) -> ObjectDef:
        found = self.objects.get(name.lower())
        if found is None:
            message = (
                f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to "
                "append the '__c' after the entity name. Please reference your WSDL or the describe call for the "
                "appropriate names."
            )
            raise SoqlError("INVALID_TYPE", _caret(self.query.text, 1, self.query.source_column, message))
        return found

    def resolve(self, path: Path, start: ObjectDef) -> tuple[str, ObjectDef, FieldDef, tuple[str, ...]]:
        """SQL alias, object, field and canonical path of a field path; joins parents as needed."""
        names = path.text.split(".")
        own = {start.name.lower(), self.query.source.lower(), (self.query.alias or "").lower()}
        if len(names) > 1 and names[0].lower() in own and names[0].lower() not in start.by_relationship:
            names = names[1:]
        alias, here = self.base, start
        walked: tuple[str, ...] = ()
        for name in names[:-1]:
            link = here.by_relationship.get(name.lower())
            if link is None or link.reference_to[0].lower() not in self.objects:
                message = (
                    f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom "
                    "relationship, be sure to append the '__r' after the custom relationship name. Please reference "
                    "your WSDL or the describe call for the appropriate names."
                )
                raise SoqlError("INVALID_FIELD", _caret(self.query.text, path.line, path.column, message))
            assert link.relationship is not None
            walked = (*walked, link.relationship)
            if walked not in self.joins:
                parent = self.objects[link.reference_to[0].lower()]
                new = f"{self.prefix}{len(self.joins) + 1}"
                self.join_sql.append(f'LEFT JOIN "{parent.name}" {new} ON {new}."Id" = {alias}."{link.name}"')
                self.joins[walked] = (new, parent)
            alias, here = self.joins[walked]
        found = here.by_lower.get(names[-1].lower())
        if found is None:
            message = (
                f"No such column '{names[-1]}' on entity '{here.name}'. If you are attempting to use a custom field, "
                "be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe "
                "call for the appropriate names."
            )
            raise SoqlError("INVALID_FIELD", _caret(self.query.text, path.line, path.column, message))
        return alias, here, found, (*walked, found.name)

    def expression(self, operand: Operand, start: ObjectDef) -> tuple[str, str, FieldDef | None]:
        """SQL, kind and field of an operand in WHERE, GROUP BY, HAVING or ORDER BY."""
        if isinstance(operand, Path):
            alias, _, one, _ = self.resolve(operand, start)
            if not one.stored:
                raise SoqlError(
                    "INVALID_FIELD", f"field '{one.name}' can not be filtered, grouped or ordered in a query call"
                )
            return f'{alias}."{one.name}"', one.type, one
        found: FieldDef | None
        if operand.name in AGGREGATES:
            if operand.argument is None:
                return "COUNT(*)", "int", None
            sql, kind, found = self.expression(operand.argument, start)
            if operand.name == "count":
                return f"COUNT({sql})", "int", None
            if operand.name == "count_distinct":
                return f"COUNT(DISTINCT {sql})", "int", None
            if operand.name in ("sum", "avg"):
                if kind not in NUMBER_TYPES and kind != "int":
                    raise SoqlError(
                        "MALFORMED_QUERY", f"field does not support aggregate operator {operand.name.upper()}"
                    )
                if operand.name == "avg":
                    return f"AVG({sql})", "double", None
                scale = found.scale if found else 6
                return f"ROUND(SUM({sql}), {scale})", kind, found
            return f"{operand.name.upper()}({sql})", kind, found
        if operand.argument is None:
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{operand.name}'")
        sql, kind, found = self.expression(operand.argument, start)
        if operand.name in TRANSPARENT:
            return sql, kind, found
        if operand.name in DATE_FUNCTIONS:
            if kind not in ("date", "datetime"):
                raise SoqlError("INVALID_FIELD", f"{operand.name.upper()} takes a date or datetime field")
            return DATE_FUNCTIONS[operand.name].format(sql), "date" if operand.name == "day_only" else "int", None
        raise SoqlError("MALFORMED_QUERY", f"unexpected function: '{operand.name}'")

    def unaliased(self, operand: Operand) -> Operand:
        """What an alias of the SELECT list stands for in ORDER BY."""
        if isinstance(operand, Path):
            for item in self.query.selected:
                if item.alias and item.alias.lower() == operand.text.lower():
                    return item.operand
        return operand

    # conditions

    def condition(self, node: Condition, start: ObjectDef, under_not: bool = False) -> str:
        if isinstance(node, Logic):
            if node.kind == "not":
                return f"(NOT {self.condition(node.parts[0], start, True)})"
            word = " AND " if node.kind == "all" else " OR "
            return "(" + word.join(self.condition(part, start, under_not) for part in node.parts) + ")"
        sql = self.predicate(node, start)
        return f"(({sql}) IS TRUE)" if under_not else f"({sql})"

    def predicate(self, node: Compare, start: ObjectDef) -> str:
        sql, kind, found = self.expression(node.operand, start)
        name = found.name if found else _spell(node.operand)
        if found is not None and found.type == "textarea" and found.length > 255:
            raise SoqlError("INVALID_FIELD", f"field '{name}' can not be filtered in a query call")
        if isinstance(node.values, Query):
            return self.semi_join(node, sql)
        if node.operator == "like":
            value = node.values[0]
            if (
                value.kind != "string"
                or kind in NUMBER_TYPES
                or kind in ("date", "datetime", "boolean", "id", "reference")
            ):
                raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {name} field")
            self.params.append(unquote(value.raw, for_like=True))
            return f"{sql} LIKE ? ESCAPE '\\'"
        if node.operator in ("includes", "excludes"):
            if kind != "multipicklist":
                raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", f"'{name}' is not a multi-select picklist")
            any_of = []
            for value in node.values:
                all_of = []
                for part in unquote(value.raw).split(";"):
                    self.params.append(f";{part};")
                    all_of.append(f"instr(';' || {sql} || ';', ?) > 0")
                any_of.append("(" + " AND ".join(all_of) + ")")
            matched = " OR ".join(any_of)
            return matched if node.operator == "includes" else f"{sql} IS NULL OR NOT ({matched})"
        if node.operator in ("in", "not in"):
            return self.listed(sql, kind, name, node)
        return self.compared(sql, kind, name, node.operator, node.values[0])

    def listed(self, sql: str, kind: str, name: str, node: Compare) -> str:
        assert not isinstance(node.values, Query)
        plain: list[Any] = []
        with_null = False
        for value in node.values:
            made = self.literal(kind, name, value)
            if isinstance(made, tuple):
                raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{value.raw}'")
            if made is None:
                with_null = True
            else:
                plain.append(made)
        self.params.append(json.dumps(plain))
        found = f"{sql} IN (SELECT value FROM json_each(?))"
        if len(plain) <= 200:
            self.params.pop()
            self.params.extend(plain)
            found = f"{sql} IN ({', '.join('?' for _ in plain)})"
        if node.operator == "in":
            return f"{found} OR {sql} IS NULL" if with_null else found
        return f"NOT ({found}) AND {sql} IS NOT NULL" if with_null else f"{sql} IS NULL OR NOT ({found})"

    def compared(self, sql: str, kind: str, name: str, operator: str, value: Value) -> str:
        made = self.literal(kind, name, value)
        if isinstance(made, tuple):
            low, high = made
            if operator == "=":
                self.params.extend((low, high))
                return f"{sql} >= ? AND {sql} < ?"
            if operator == "!=":
                self.params.extend((low, high))
                return f"{sql} IS NULL OR {sql} < ? OR {sql} >= ?"
            self.params.append(high if operator in ("<=", ">") else low)
            return f"{sql} {'<' if operator in ('<', '<=') else '>='} ?"
        if made is None:
            if operator not in ("=", "!="):
                raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {name} field")
            return f"{sql} IS NULL" if operator == "=" else f"{sql} IS NOT NULL"
        if kind in ("id", "reference", "boolean") and operator not in ("=", "!=") and kind == "boolean":
            raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {name} field")
        self.params.append(made)
        return f"{sql} IS NOT ?" if operator == "!=" else f"{sql} {operator} ?"

    def semi_join(self, node: Compare, sql: str) -> str:
        assert isinstance(node.values, Query)
        inner = _Compiler(node.values, self.objects, self.now, False, prefix=f"{self.prefix}s{len(self.params)}_")
        target = inner.object_of(node.values.source)
        if len(node.values.selected) != 1 or node.values.children:
            raise SoqlError("MALFORMED_QUERY", "The inner select statement must select one id or reference field")
        column, kind, _ = inner.expression(node.values.selected[0].operand, target)
        if kind not in ("id", "reference"):
            raise SoqlError("MALFORMED_QUERY", "The inner select field must be an id or reference field")
        where = [f"{column} IS NOT NULL"]
        if target.has_is_deleted:
            where.append(f'{inner.base}."IsDeleted" = 0')
        if node.values.where is not None:
            where.append(inner.condition(node.values.where, target))
        joins = " ".join(inner.join_sql)
        self.params.extend(inner.params)
        tail = f'(SELECT {column} FROM "{target.name}" {inner.base} {joins} WHERE {" AND ".join(where)})'
        return f"{sql} IN {tail}" if node.operator == "in" else f"{sql} IS NULL OR {sql} NOT IN {tail}"

    def literal(self, kind: str, name: str, value: Value) -> Any:
        """The SQL value of a literal for a field of this kind; a pair is a half-open range."""

        def wrong(expected: str) -> SoqlError:
            quotes = "should be" if expected == "string" else "should not be"
            message = (
                f"value of filter criterion for field '{name}' must be of type {expected} "
                f"and {quotes} enclosed in quotes"
            )
            return SoqlError("INVALID_FIELD", _caret(self.query.text, 1, value.column, message))

        word = value.raw.lower() if value.kind == "word" else ""
        if word == "null":
            return None
        if kind == "boolean":
            if word not in ("true", "false"):
                raise wrong("boolean")
            return int(word == "true")
        if kind in NUMBER_TYPES or kind == "int":
            if value.kind == "money":
                return float(value.raw[3:])
            if value.kind != "number":
                raise wrong("double" if kind != "int" else "int")
            return float(value.raw) if kind != "int" else _integer_if_whole(value.raw)
        if kind in ("date", "datetime"):
            return self.moment(kind, value, wrong)
        if value.kind != "string":
            raise wrong("string")
        plain = unquote(value.raw)
        if kind in ("id", "reference"):
            if not plain:
                return None
            made = normal_id(plain)
            if made is None:
                raise SoqlError(
                    "INVALID_QUERY_FILTER_OPERATOR",
                    _caret(self.query.text, 1, value.column, f"invalid ID field: {plain}"),
                )
            return made
        return plain or None

    def moment(self, kind: str, value: Value, wrong: Callable[[str], SoqlError]) -> Any:
        expected = "date" if kind == "date" else "dateTime"
        if value.kind == "word":
            span = date_range(value.raw, self.now.date())
            if span is None:
                raise wrong(expected)
            if kind == "date":
                return span[0].isoformat(), span[1].isoformat()
            return f"{span[0].isoformat()}T00:00:00.000+0000", f"{span[1].isoformat()}T00:00:00.000+0000"
        if value.kind != kind:
            raise wrong(expected)
        if kind == "date":
            try:
                return dt.date.fromisoformat(value.raw).isoformat()
            except ValueError:
                raise wrong(expected) from None
        parsed = parse_instant(value.raw)
        if parsed is None:
            raise wrong(expected)
        return instant_text(parsed)

    # the whole

    def from_sql(self, start: ObjectDef) -> str:
        return f'FROM "{start.name}" {self.base} {" ".join(self.join_sql)}'

    def where_sql(self, start: ObjectDef, extra: Iterable[str] = ()) -> str:
        parts = list(extra)
        if start.has_is_deleted and not self.all_rows:
            parts.append(f'{self.base}."IsDeleted" = 0')
        if self.query.where is not None:
            parts.append(self.condition(self.query.where, start))
        return f"WHERE {' AND '.join(parts)}" if parts else ""

    def order_sql(self, start: ObjectDef, tail: str) -> str:
        parts = []
        for item in self.query.order:
            sql, _, found = self.expression(self.unaliased(item.operand), start)
            if (found is not None and found.type in ("multipicklist",)) or (
                found is not None and (found.type == "textarea" and found.length > 255)
            ):
                raise SoqlError("INVALID_FIELD", f"field '{found.name}' can not be sorted in a query call")
            parts.append(f"{sql} {'DESC' if item.descending else 'ASC'} NULLS {'LAST' if item.nulls_last else 'FIRST'}")
        if tail:
            parts.append(tail)
        return f"ORDER BY {', '.join(parts)}" if parts else ""

    def limits(self) -> str:
        offset = self.query.offset or 0
        if offset > MAX_OFFSET:
            raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
        limit = -1 if self.query.limit is None else self.query.limit
        return f"LIMIT {limit} OFFSET {offset}" if limit >= 0 or offset else ""

    def output(self, start: ObjectDef) -> tuple[list[Column], Node]:
        """Columns and shape of a query for records."""
        root = Node(start.name, self.put(f'{self.base}."Id"'))
        columns: list[Column] = []
        seen: set[tuple[str, ...]] = set()
        for path in self.chosen(start):
            alias, _, found, walked = self.resolve(path, start)
            if walked in seen:
                raise SoqlError("MALFORMED_QUERY", f"duplicate field selected: {'.'.join(walked)}")
            seen.add(walked)
            node = root
            for depth in range(1, len(walked)):
                name = walked[depth - 1]
                if name not in node.parents:
                    joined, parent = self.joins[walked[:depth]]
                    node.parents[name] = Node(parent.name, self.put(f'{joined}."Id"'))
                    node.order.append(name)
                node = node.parents[name]
            if found.stored:
                column = Column(walked, self.put(f'{alias}."{found.name}"'), found.type, found.scale)
            else:
                parts = tuple((key, self.put(f'{alias}."{name}"')) for key, name in found.parts)
                column = Column(walked, -1, found.type, 0, parts)
            node.columns.append(column)
            node.order.append(found.name)
            columns.append(column)
        return columns, root

    def put(self, sql: str) -> int:
        if sql in self.select:
            return self.select.index(sql)
        self.select.append(sql)
        return len(self.select) - 1

    def chosen(self, start: ObjectDef) -> list[Path]:
        """Selected paths, with FIELDS(...) spelled out."""
        paths: list[Path] = []
        for item in self.query.selected:
            operand = item.operand
            if isinstance(operand, Call) and operand.name == "fields":
                which = operand.argument.text.lower() if isinstance(operand.argument, Path) else ""
                if which not in ("all", "standard", "custom"):
                    raise SoqlError("MALFORMED_QUERY", "FIELDS function must have one of ALL, CUSTOM or STANDARD")
                if which != "standard" and (self.query.limit is None or self.query.limit > 200):
                    raise SoqlError("MALFORMED_QUERY", "The SOQL FIELDS function must have a LIMIT of at most 200")
                for one in start.fields:
                    if which == "all" or one.custom == (which == "custom"):
                        paths.append(Path(one.name, operand.column))
                continue
            while isinstance(operand, Call) and operand.name in TRANSPARENT and operand.argument is not None:
                operand = operand.argument
            if not isinstance(operand, Path):
                raise SoqlError("MALFORMED_QUERY", f"unexpected function: '{operand.name}'")
            paths.append(operand)
        if not paths and not self.query.children:
            raise SoqlError("MALFORMED_QUERY", "unexpected token: 'FROM'")
        return paths


def _integer_if_whole(raw: str) -> int | float:
    number = float(raw)
    return int(number) if number.is_integer() else number


def _spell(operand: Operand) -> str:
    if isinstance(operand, Path):
        return operand.text
    return f"{operand.name}({_spell(operand.argument) if operand.argument else ''})"


def compile_query(
    query: Query, objects: Mapping[str, ObjectDef], now: dt.datetime, *, all_rows: bool = False
) -> Compiled:
    """SQL for a statement over the org's `objects` (by lower-case name).

    `all_rows` adds deleted records (queryAll). Raises SoqlError with the vendor's code for what the org does not know.
    """
    maker = _Compiler(query, objects, now, all_rows)
    start = maker.object_of(query.source)
    if query.is_count:
        where = maker.where_sql(start)
        limits = maker.limits()
        inner = f"SELECT 1 {maker.from_sql(start)} {where} {limits}"
        sql = f"SELECT COUNT(*) FROM ({inner})"
        return Compiled(query, start, sql, maker.params, "", [], Node(start.name, 0), [], True)
    if query.is_aggregate:
        return _compile_aggregate(maker, start)
    columns, root = maker.output(start)
    children = [_compile_child(maker, start, child) for child in query.children]
    select = ", ".join(f"{sql} AS c{index}" for index, sql in enumerate(maker.select))
    page_joins = maker.from_sql(start)
    chosen = f"WHERE {maker.base}._seq IN (SELECT value FROM json_each(?))"
    page_sql = f"SELECT {maker.base}._seq AS seq, {select} {page_joins} {chosen}"
    finder = _Compiler(query, objects, now, all_rows)
    where = finder.where_sql(start)
    order = finder.order_sql(start, f"{finder.base}._seq")
    ids_sql = f"SELECT {finder.base}._seq {finder.from_sql(start)} {where} {order} {finder.limits()}"
    return Compiled(query, start, ids_sql, finder.params, page_sql, columns, root, children, False)


def _compile_child(maker: _Compiler, start: ObjectDef, child: Query) -> Child:
    for other in maker.objects.values():
        for one in other.fields:
            same = one.child_relationship and one.child_relationship.lower() == child.source.lower()
            if same and start.name in one.reference_to:
                inner = _Compiler(child, maker.objects, maker.now, maker.all_rows, prefix="c")
                columns, root = inner.output(other)
                key = inner.put(f'{inner.base}."{one.name}"')
                where = inner.where_sql(other, [f'{inner.base}."{one.name}" IN (SELECT value FROM json_each(?))'])
                order = inner.order_sql(other, f"{inner.base}._seq")
                sql = f"SELECT {', '.join(inner.select)} {inner.from_sql(other)} {where} {order}"
                compiled = Compiled(child, other, "", inner.params, sql, columns, root, [], False)
                return Child(one.child_relationship or "", compiled, key, child.limit, child.offset or 0)
    message = (
        f"Didn't understand relationship '{child.source}' in FROM part of query call. If you are attempting to use a "
        "custom relationship, be sure to append the '__r' after the custom relationship name. Please reference your "
        "WSDL or the describe call for the appropriate names."
    )
    raise SoqlError("INVALID_TYPE", _caret(maker.query.text, 1, child.source_column, message))


def _compile_aggregate(maker: _Compiler, start: ObjectDef) -> Compiled:
    query = maker.query
    if query.children:
        raise SoqlError("MALFORMED_QUERY", "Aggregate queries can not have child subqueries")
    grouped = {_spell(operand).lower() for operand in query.group}
    columns: list[Column] = []
    unnamed = 0
    for item in query.selected:
        sql, kind, found = maker.expression(item.operand, start)
        is_aggregate = isinstance(item.operand, Call) and item.operand.name in AGGREGATES
        if not is_aggregate and _spell(item.operand).lower() not in grouped:
            raise SoqlError("MALFORMED_QUERY", f"Field must be grouped or aggregated: {_spell(item.operand)}")
        if item.alias:
            name = item.alias
        elif isinstance(item.operand, Path):
            name = found.name if found else item.operand.text
        else:
            name = f"expr{unnamed}"
            unnamed += 1
        maker.select.append(sql)
        columns.append(Column((name,), len(maker.select) - 1, kind, found.scale if found else 6))
    group_sql = ", ".join(maker.expression(operand, start)[0] for operand in query.group)
    where = maker.where_sql(start)
    having = f"HAVING {maker.condition(query.having, start)}" if query.having is not None else ""
    order = maker.order_sql(start, group_sql)
    sql = (
        f"SELECT {', '.join(maker.select)} {maker.from_sql(start)} {where} "
        f"{'GROUP BY ' + group_sql if group_sql else ''} {having} {order} {maker.limits()}"
    )
    root = Node("AggregateResult", -1, columns, {}, [column.path[0] for column in columns])
    return Compiled(query, start, sql, maker.params, "", columns, root, [], True)


# --- answers -----------------------------------------------------------------------------------------------


def shaper(node: Node, base: str) -> Callable[[Sequence[Any]], dict[str, Any] | None]:
    """A function from a SQL row to the nested JSON record; `base` is `/services/data/vXX.0`."""
    by_name = {column.path[-1]: column for column in node.columns}
    steps: list[tuple[str, str, Any]] = []
    for name in node.order:
        if name in node.parents:
            steps.append((name, "parent", shaper(node.parents[name], base)))
            continue
        column = by_name[name]
        if column.kind == "boolean":
            steps.append((name, "boolean", column.index))
        elif column.parts:
            steps.append((name, "address", column.parts))
        else:
            steps.append((name, "plain", column.index))
    type_name, id_index = node.object, node.id_index
    url = f"{base}/sobjects/{type_name}/"

    def record(row: Sequence[Any]) -> dict[str, Any] | None:
        if id_index >= 0 and row[id_index] is None:
            return None
        attributes = {"type": type_name}
        if id_index >= 0:
            attributes["url"] = url + row[id_index]
        out: dict[str, Any] = {"attributes": attributes}
        for name, how, what in steps:
            if how == "plain":
                out[name] = row[what]
            elif how == "boolean":
                value = row[what]
                out[name] = None if value is None else bool(value)
            elif how == "parent":
                out[name] = what(row)
            else:
                out[name] = address_value({key: row[index] for key, index in what})
        return out

    return record


def address_value(parts: Mapping[str, Any]) -> dict[str, Any] | None:
    """A compound address; null when every part is."""
    if all(value is None for value in parts.values()):
        return None
    return {
        "city": parts.get("city"),
        "country": parts.get("country"),
        "countryCode": parts.get("countryCode"),
        "geocodeAccuracy": None,
        "latitude": None,
        "longitude": None,
        "postalCode": parts.get("postalCode"),
        "state": parts.get("state"),
        "stateCode": None,
        "street": parts.get("street"),
    }
