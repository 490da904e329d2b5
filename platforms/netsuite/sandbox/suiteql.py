"""SuiteQL: parsed as the Oracle SQL it is close to, refused where SuiteQL refuses, run on the real tables.

    text -> parse (oracle) -> what SuiteQL forbids -> names checked against the tables it shows -> SQLite -> strings

Dates need care on the way: SQLite has none, so every date function becomes one of ours over the stored text form (see
schema.py), `date + n` is recognised by the kinds of its columns, and raw date columns come out in the user's format.
"""

from __future__ import annotations

import calendar
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson
import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, ParseError, SqlglotError, TokenError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.transforms import eliminate_join_marks

from platforms.kit.sandbox.clock import SandboxClock
from platforms.kit.sandbox.service import Refusal
from platforms.kit.sandbox.store import Store
from platforms.netsuite.sandbox.schema import BY_TYPE, ENUMS, SUITEQL, Field

PAGE = 1000
IN_LIMIT = 1000
# Result rows kept for callers that page through a query by offset, over all queries.
_KEPT_ROWS = 300_000

_DISPLAY = {
    "subsidiary": "name",
    "currency": "symbol",
    "customer": "entityid",
    "job": "entityid",
    "entity": "entityid",
    "item": "itemid",
    "term": "name",
    "account": "fullname",
    "accountingperiod": "periodname",
    "employee": "entityid",
    "salestaxitem": "itemid",
    "projecttask": "title",
    "transaction": "tranid",
}
_TARGET = {"salesTaxItem": "salestaxitem", "accountingPeriod": "accountingperiod", "projectTask": "projecttask"}
_KINDS = {"int": "BIGINT", "ref": "BIGINT", "dec": "DOUBLE"}
_SCHEMA = {
    table: {name: _KINDS.get(f.kind, "TEXT") for name, f in columns.items()} for table, columns in SUITEQL.items()
}
_PLACEHOLDER = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|\?", re.DOTALL)


def invalid(detail: str, code: str = "INVALID_PARAMETER") -> Refusal:
    """The vendor's refusal of a query it cannot run."""
    text = f"Invalid search query. Detailed unprocessed description follows. Search error occurred: {detail}"
    return Refusal(code, text, (), 400)


# -- dates as text -----------------------------------------------------------------------------------------------------


def _moment(value: Any) -> datetime:
    text = str(value)
    return datetime.fromisoformat(text if len(text) > 10 else f"{text} 00:00:00")


def _text(moment: datetime) -> str:
    text = moment.strftime("%Y-%m-%d %H:%M:%S")
    return text[:10] if text.endswith(" 00:00:00") else text


def to_date(value: Any, layout: str) -> str | None:
    """TO_DATE with an Oracle layout, as stored text."""
    if value is None:
        return None
    pattern = _strftime(layout)
    try:
        return _text(datetime.strptime(str(value), pattern))  # noqa: DTZ007 - stored in UTC
    except ValueError:
        raise ValueError(f"date '{value}' does not fit the format '{layout}'") from None


def to_char(value: Any, layout: str | None) -> str | None:
    """TO_CHAR of a stored date (with an Oracle layout) or of a number."""
    if value is None:
        return None
    if layout is None:
        return render(value)
    if isinstance(value, int | float) or not re.match(r"\d{4}-\d\d-\d\d", str(value)):
        return _number_text(value, layout)
    moment = _moment(value)
    out, rest = "", layout
    while rest:
        for mask, give in _MASKS:
            if rest[: len(mask)].upper() == mask:
                out += give(moment)
                rest = rest[len(mask) :]
                break
        else:
            if rest[0] == '"' and '"' in rest[1:]:
                end = rest.index('"', 1)
                out, rest = out + rest[1:end], rest[end + 1 :]
            else:
                out, rest = out + rest[0], rest[1:]
    return out


_MASKS: tuple[tuple[str, Callable[[datetime], str]], ...] = (
    ("YYYY", lambda m: f"{m.year:04d}"),
    ("MONTH", lambda m: m.strftime("%B").upper()),
    ("MON", lambda m: m.strftime("%b").upper()),
    ("HH24", lambda m: f"{m.hour:02d}"),
    ("HH12", lambda m: f"{(m.hour % 12) or 12:02d}"),
    ("HH", lambda m: f"{(m.hour % 12) or 12:02d}"),
    ("DDD", lambda m: f"{m.timetuple().tm_yday:03d}"),
    ("DD", lambda m: f"{m.day:02d}"),
    ("DAY", lambda m: m.strftime("%A").upper()),
    ("DY", lambda m: m.strftime("%a").upper()),
    ("MM", lambda m: f"{m.month:02d}"),
    ("MI", lambda m: f"{m.minute:02d}"),
    ("SSSSS", lambda m: str(m.hour * 3600 + m.minute * 60 + m.second)),
    ("SS", lambda m: f"{m.second:02d}"),
    ("FF3", lambda m: "000"),
    ("AM", lambda m: "AM" if m.hour < 12 else "PM"),
    ("PM", lambda m: "AM" if m.hour < 12 else "PM"),
    ("YY", lambda m: f"{m.year % 100:02d}"),
    ("IW", lambda m: f"{m.isocalendar().week:02d}"),
    ("Q", lambda m: str((m.month + 2) // 3)),
    ("D", lambda m: str(m.isoweekday() % 7 + 1)),
)


def _number_text(value: Any, layout: str) -> str:
    places = len(layout.rpartition(".")[2]) if "." in layout else 0
    try:
        return f"{Decimal(str(value)):.{places}f}"
    except ArithmeticError:
        raise ValueError(f"'{value}' is neither a date nor a number") from None


@lru_cache(maxsize=256)
def _strftime(layout: str) -> str:
    out, rest = "", layout
    pairs = (
        ("YYYY", "%Y"), ("MON", "%b"), ("HH24", "%H"), ("HH12", "%I"), ("HH", "%I"), ("DD", "%d"), ("MM", "%m"),
        ("MI", "%M"), ("SS", "%S"), ("AM", "%p"), ("PM", "%p"), ("YY", "%y"),
    )  # fmt: skip
    while rest:
        for mask, code in pairs:
            if rest[: len(mask)].upper() == mask:
                out, rest = out + code, rest[len(mask) :]
                break
        else:
            out, rest = out + rest[0].replace("%", "%%"), rest[1:]
    return out


def _add_days(value: Any, days: Any) -> str | None:
    if value is None or days is None:
        return None
    return _text(_moment(value) + timedelta(seconds=round(float(days) * 86400)))


def _days_between(one: Any, other: Any) -> float | None:
    return None if one is None or other is None else (_moment(one) - _moment(other)).total_seconds() / 86400


def _add_months(value: Any, months: Any) -> str | None:
    if value is None or months is None:
        return None
    moment = _moment(value)
    last = moment.day == calendar.monthrange(moment.year, moment.month)[1]
    number = moment.year * 12 + moment.month - 1 + int(months)
    year, month = divmod(number, 12)
    end = calendar.monthrange(year, month + 1)[1]
    return _text(moment.replace(year=year, month=month + 1, day=end if last else min(moment.day, end)))


def _truncate(value: Any, unit: str) -> str | None:
    if value is None:
        return None
    day = _moment(value).date()
    unit = unit.upper()
    if unit in ("MM", "MONTH", "MON"):
        day = day.replace(day=1)
    elif unit in ("YYYY", "YEAR", "YY", "Y"):
        day = day.replace(month=1, day=1)
    elif unit in ("Q", "QUARTER"):
        day = day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    elif unit in ("IW", "WEEK"):
        day -= timedelta(days=day.weekday())
    elif unit not in ("DD", "DAY", "DDD", "J"):
        raise ValueError(f"TRUNC does not know the unit '{unit}'")
    return day.isoformat()


def _last_day(value: Any) -> str | None:
    if value is None:
        return None
    moment = _moment(value)
    return _text(moment.replace(day=calendar.monthrange(moment.year, moment.month)[1]))


def _months_between(one: Any, other: Any) -> float | None:
    if one is None or other is None:
        return None
    a, b = _moment(one), _moment(other)
    months = (a.year - b.year) * 12 + a.month - b.month
    ends = all(m.day == calendar.monthrange(m.year, m.month)[1] for m in (a, b))
    return float(months) if a.day == b.day or ends else months + (a.day - b.day) / 31


def _label(enum: str, value: Any) -> str | None:
    return None if value is None else ENUMS[enum].get(str(value), str(value))


def _status_label(kind: Any, status: Any) -> str | None:
    record = BY_TYPE.get(str(kind))
    if record is None or status is None:
        return None
    field = record.field("status")
    assert field is not None
    return f"{ENUMS['trantype'][str(kind)]} : {ENUMS[field.target].get(str(status), status)}"


def _regexp_like(value: Any, pattern: Any) -> int | None:
    return None if value is None else int(re.search(str(pattern), str(value)) is not None)


_FUNCTIONS: tuple[tuple[str, int, Callable[..., Any]], ...] = (
    ("ns_to_date", 2, to_date),
    ("ns_to_char", 2, to_char),
    ("ns_add_days", 2, _add_days),
    ("ns_days_between", 2, _days_between),
    ("ns_add_months", 2, _add_months),
    ("ns_truncate", 2, _truncate),
    ("ns_last_day", 1, _last_day),
    ("ns_months_between", 2, _months_between),
    ("ns_label", 2, _label),
    ("ns_status_label", 2, _status_label),
    ("ns_regexp_like", 2, _regexp_like),
)


def render(value: Any) -> str:
    """A scalar as SuiteQL gives it: always a string, numbers without needless zeros or exponents."""
    if isinstance(value, float):
        text = format(round(value, 10), ".15g")
        if "e" in text:
            text = format(Decimal(text), "f")
        return "0" if text == "-0" else text
    return str(value)


def user_date(text: str, layout: str) -> str:
    """A stored date in the account's date format (time parts are left off, as the vendor does)."""
    year, month, day = text[:10].split("-")
    out = layout.replace("YYYY", year)
    for mask, part in (("MM", month), ("M", str(int(month))), ("DD", day), ("D", str(int(day)))):
        out = re.sub(rf"(?<![A-Z]){mask}(?![A-Z])", part, out)
    return out


# -- compiling ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A query ready to run: SQLite text, output names, which outputs are raw dates, and how many `?` it has."""

    sql: str
    names: tuple[str, ...]
    dates: tuple[bool, ...]
    params: int


@lru_cache(maxsize=512)
def compile_query(text: str) -> Compiled:
    """Parse, check and translate one SuiteQL query. Raises Refusal as the vendor does."""
    bare = re.sub(r"'(?:[^']|'')*'", "''", text)
    if "[" in bare:
        raise invalid("Square brackets are not supported.")
    if re.search(r"\b(date|timestamp)\s*''", bare, re.IGNORECASE):
        raise invalid("Date literals are not supported. Use TO_DATE.")
    numbered, count = _number_placeholders(text)
    try:
        parsed = sqlglot.parse(numbered.rstrip().rstrip(";"), read="oracle")
    except (ParseError, TokenError) as error:
        raise invalid(f"Invalid or unsupported search. {_first_line(error)}") from None
    if len(parsed) != 1 or not isinstance(parsed[0], exp.Query):
        raise invalid("Invalid or unsupported search. Only one SELECT is allowed.")
    tree: exp.Expr = parsed[0]
    _forbid(tree)
    if any(column.args.get("join_mark") for column in tree.find_all(exp.Column)):
        tree = eliminate_join_marks(tree)
    for name in tree.find_all(exp.Identifier):
        name.set("this", name.this.lower())
        name.set("quoted", False)
    tree = tree.transform(_builtin).transform(_rownum)
    _row_limits(tree)
    _known_tables(tree)
    try:
        tree = qualify(tree, schema=_SCHEMA, dialect="sqlite", validate_qualify_columns=True)
    except OptimizeError as error:
        raise _not_found(error) from None
    kinds = _Kinds(tree)
    selects = tree.selects
    dates = tuple(kinds.of(select) == "date" for select in selects)
    names = tuple(re.sub(r"^_col_(\d+)$", _expr_name, select.alias_or_name.lower()) for select in selects)
    _translate(tree, kinds)
    try:
        sql = tree.sql("sqlite", unsupported_level=sqlglot.ErrorLevel.IGNORE)
    except SqlglotError as error:
        raise invalid(f"Invalid or unsupported search. {_first_line(error)}") from None
    return Compiled(sql=sql, names=names, dates=dates, params=count)


def _expr_name(found: re.Match[str]) -> str:
    return f"expr{int(found[1]) + 1}"


def _first_line(error: Exception) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()[0]


def _number_placeholders(text: str) -> tuple[str, int]:
    count = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal count
        if found[0] != "?":
            return found[0]
        count += 1
        return f":p{count}"

    return _PLACEHOLDER.sub(replace, text), count


def _forbid(tree: exp.Expr) -> None:
    if tree.find(exp.With):
        raise invalid("Invalid or unsupported search. WITH clauses are not supported.")
    for found in tree.find_all(exp.In):
        if len(found.expressions) > IN_LIMIT:
            raise invalid(f"More than {IN_LIMIT} values in one IN list are not supported.")
    for add in tree.find_all(exp.Add):
        if any(isinstance(side, exp.Literal) and side.is_string for side in (add.this, add.expression)):
            raise invalid("Concatenation with + is not supported. Use ||.")
    marks = any(column.args.get("join_mark") for column in tree.find_all(exp.Column))
    if marks:
        for join in tree.find_all(exp.Join):
            if join.args.get("on") is not None or join.args.get("using"):
                raise invalid("ANSI and Oracle join syntax cannot be mixed in one query.")
        for equals in tree.find_all(exp.EQ):
            left = equals.this
            if isinstance(left, exp.Column) and left.args.get("join_mark"):
                raise invalid("Right outer joins in Oracle syntax are not supported.")
    for kind in (exp.Insert, exp.Update, exp.Delete, exp.Create, exp.Drop):
        if tree.find(kind):
            raise invalid("Invalid or unsupported search.")


def _builtin(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Dot) and node.this.name.lower() == "builtin":
        call = node.expression
        name = call.name.upper() if isinstance(call, exp.Anonymous) else ""
        if name in ("DF", "CF") and len(call.expressions) == 1:
            return (
                call.expressions[0] if name == "CF" else exp.Anonymous(this="BUILTIN_DF", expressions=call.expressions)
            )
        raise invalid(f"BUILTIN.{name or '?'} is not available in this sandbox; BUILTIN.DF and BUILTIN.CF are.")
    return node


def _rownum(node: exp.Expr) -> exp.Expr:
    """ROWNUM outside WHERE; what stands in a WHERE is turned into a limit by `_row_limits`."""
    if _is_rownum(node) and not node.find_ancestor(exp.Where):
        call = exp.Window(this=exp.RowNumber())
        return exp.alias_(call, "rownum") if isinstance(node.parent, exp.Select) else call
    return node


def _is_rownum(node: Any) -> bool:
    return isinstance(node, exp.Pseudocolumn | exp.Column) and node.name.lower() == "rownum"


def _row_limits(tree: exp.Expr) -> None:
    """`ROWNUM <= n` in a WHERE limits the rows; any n rows are right, so the first in order are."""
    for select in list(tree.find_all(exp.Select)):
        where = select.args.get("where")
        if where is None or not any(_is_rownum(node) for node in where.find_all(exp.Column, exp.Pseudocolumn)):
            continue
        keep, limit = [], None
        for part in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
            left, right = getattr(part, "this", None), part.args.get("expression")
            if not _is_rownum(left):
                keep.append(part)
                continue
            if not isinstance(right, exp.Literal) or not isinstance(part, exp.LTE | exp.LT | exp.EQ):
                raise invalid("ROWNUM can only be compared with a number by <=, < or = 1.")
            limit = int(right.this) - (1 if isinstance(part, exp.LT) else 0)
        if limit is None:
            raise invalid("ROWNUM can only stand alone in a condition.")
        select.set("where", exp.Where(this=exp.and_(*keep)) if keep else None)
        select.set("limit", exp.Limit(expression=exp.Literal.number(max(0, limit))))


def _known_tables(tree: exp.Expr) -> None:
    for table in tree.find_all(exp.Table):
        if table.name not in SUITEQL and table.name != "dual":
            raise invalid(f"Record '{table.name}' was not found.")
        if table.name == "dual":
            table.replace(exp.Subquery(
                this=exp.select(exp.alias_(exp.Literal.string("X"), "dummy")),
                alias=exp.TableAlias(this=exp.to_identifier(table.alias or "dual")),
            ))  # fmt: skip


def _not_found(error: OptimizeError) -> Refusal:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    found = re.search(r"(?:Column '?|Unknown column: )\"?([\w.\"]+)", text)
    if found is None:
        return invalid(f"Invalid or unsupported search. {text.splitlines()[0]}")
    column = found[1].replace('"', "").split(".")[-1]
    return invalid(f"Field '{column}' was not found. Reason: NOT_EXPOSED - Field is not exposed to this search.")


class _Kinds:
    """What kind of value an expression gives: 'date', or '' for anything else; and which table a column is of."""

    def __init__(self, tree: exp.Expr) -> None:
        self._sources: dict[int, Mapping[str, Any]] = {}
        for scope in traverse_scope(tree):
            for column in scope.columns:
                self._sources[id(column)] = scope.sources
        self._known: dict[int, str] = {}

    def field(self, column: exp.Column) -> Field | None:
        """The field behind a column, None when it comes from an expression."""
        source = self._sources.get(id(column), {}).get(column.table)
        if isinstance(source, exp.Table):
            return SUITEQL.get(source.name, {}).get(column.name)
        if isinstance(source, Scope):
            for select in source.expression.selects:
                if select.alias_or_name == column.name:
                    inner = select.unalias()
                    return self.field(inner) if isinstance(inner, exp.Column) else None
        return None

    def table(self, column: exp.Column) -> str:
        """The table a column belongs to; '' when it comes from a subquery."""
        source = self._sources.get(id(column), {}).get(column.table)
        return source.name if isinstance(source, exp.Table) else ""

    def of(self, node: Any) -> str:
        """'date' or ''. Remembered by node, so that it can be asked after children were rewritten."""
        if not isinstance(node, exp.Expr):
            return ""
        key = id(node)
        if key not in self._known:
            self._known[key] = self._of(node)
        return self._known[key]

    def _of(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Column):
            found = self.field(node)
            if found is not None:
                return "date" if found.kind in ("date", "datetime") else ""
            source = self._sources.get(id(node), {}).get(node.table)
            if isinstance(source, Scope):
                for select in source.expression.selects:
                    if select.alias_or_name == node.name:
                        return self.of(select.unalias())
            return ""
        if isinstance(node, exp.Alias | exp.Paren | exp.Min | exp.Max | exp.Coalesce | exp.Subquery):
            inner = node.this
            if isinstance(node, exp.Subquery) and isinstance(inner, exp.Select):
                return self.of(inner.selects[0]) if inner.selects else ""
            return self.of(inner)
        if isinstance(node, exp.Case):
            return self.of(node.args["ifs"][0].args["true"])
        if isinstance(node, _DATES):
            return "date"
        if isinstance(node, exp.Anonymous) and node.name.upper() == "TRUNC":
            return self.of(node.expressions[0])
        if isinstance(node, exp.Anonymous) and node.name.upper() in _DATE_CALLS:
            return "date"
        if isinstance(node, exp.Add):
            return "date" if "date" in (self.of(node.this), self.of(node.expression)) else ""
        if isinstance(node, exp.Sub):
            return "date" if self.of(node.this) == "date" and self.of(node.expression) != "date" else ""
        return ""


_DATE_CALLS = frozenset(
    [
        "TO_DATE",
        "TO_TIMESTAMP",
        "ADD_MONTHS",
        "LAST_DAY",
        "NS_TO_DATE",
        "NS_ADD_MONTHS",
        "NS_LAST_DAY",
        "NS_TRUNCATE",
        "NS_ADD_DAYS",
        "NS_NOW",
    ]
)
_DATES = (
    exp.StrToDate, exp.StrToTime, exp.CurrentTimestamp, exp.CurrentDate, exp.DateTrunc, exp.TimestampTrunc,
    exp.AddMonths, exp.LastDay, exp.TsOrDsToDate,
)  # fmt: skip


def _call(name: str, *arguments: Any) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=[a for a in arguments])


def _translate(tree: exp.Expr, kinds: _Kinds) -> None:
    """Rewrite what SQLite does not know, from the leaves up; kinds are asked before anything changes."""
    nodes = list(tree.walk(bfs=False))
    for node in nodes:
        kinds.of(node)
    for node in reversed(nodes):
        new = _translated(node, kinds)
        if new is not None and new is not node:
            node.replace(new)


def _translated(node: exp.Expr, kinds: _Kinds) -> exp.Expr | None:
    if isinstance(node, exp.Anonymous):
        return _translated_call(node, kinds)
    if isinstance(node, exp.StrToDate | exp.StrToTime):
        layout = node.args.get("format")
        if layout is not None and not isinstance(layout, exp.Literal):
            return _call("ns_to_date", node.this, layout)
        return _call("ns_to_date", node.this, exp.Literal.string(_oracle(layout)))
    if isinstance(node, exp.TsOrDsToDate):
        return _call("ns_to_date", node.this, exp.Literal.string("MM/DD/YYYY"))
    if isinstance(node, exp.ToChar):
        return _call("ns_to_char", node.this, node.args.get("format") or exp.Null())
    if isinstance(node, exp.TimeToStr):
        return _call("ns_to_char", node.this, exp.Literal.string(_oracle(node.args.get("format"))))
    if isinstance(node, exp.CurrentTimestamp | exp.CurrentDate):
        return _call("ns_now") if isinstance(node, exp.CurrentTimestamp) else _call("ns_truncate", _call("ns_now"),
                                                                                 exp.Literal.string("DD"))  # fmt: skip
    if isinstance(node, exp.DateTrunc | exp.TimestampTrunc):
        unit = node.args.get("unit")
        return _call("ns_truncate", node.this, exp.Literal.string(unit.name if unit is not None else "DD"))
    if isinstance(node, exp.GroupConcat) and isinstance(node.this, exp.Order):
        # This SQLite cannot order inside an aggregate; the order of a LISTAGG is the order of the rows.
        node.set("this", node.this.this)
        return None
    if isinstance(node, exp.AddMonths):
        return _call("ns_add_months", node.this, node.expression)
    if isinstance(node, exp.LastDay):
        return _call("ns_last_day", node.this)
    if isinstance(node, exp.MonthsBetween):
        return _call("ns_months_between", node.this, node.expression)
    if isinstance(node, exp.RegexpLike):
        return _call("ns_regexp_like", node.this, node.expression)
    if isinstance(node, exp.ToNumber):
        return exp.Cast(this=node.this, to=exp.DataType.build("real"))
    if isinstance(node, exp.Add) and kinds.of(node) == "date":
        first, second = (node.this, node.expression)
        if kinds.of(first) != "date":
            first, second = second, first
        return _call("ns_add_days", first, second)
    if isinstance(node, exp.Sub) and kinds.of(node.this) == "date":
        if kinds.of(node.expression) == "date":
            return _call("ns_days_between", node.this, node.expression)
        return _call("ns_add_days", node.this, exp.Neg(this=exp.Paren(this=node.expression)))
    return None


def _translated_call(node: exp.Anonymous, kinds: _Kinds) -> exp.Expr | None:
    name, given = node.name.upper(), node.expressions
    if name == "BUILTIN_DF":
        return _display(given[0], kinds)
    if name in ("TO_DATE", "TO_TIMESTAMP"):
        return _call("ns_to_date", given[0], given[1] if len(given) > 1 else exp.Literal.string("MM/DD/YYYY"))
    if name == "TRUNC":
        if kinds.of(node) == "date":
            return _call("ns_truncate", given[0], given[1] if len(given) > 1 else exp.Literal.string("DD"))
        return exp.Cast(this=given[0], to=exp.DataType.build("int"))
    if name == "TO_CHAR":
        return _call("ns_to_char", given[0], given[1] if len(given) > 1 else exp.Null())
    if name == "ADD_MONTHS":
        return _call("ns_add_months", *given)
    if name == "LAST_DAY":
        return _call("ns_last_day", *given)
    if name == "MONTHS_BETWEEN":
        return _call("ns_months_between", *given)
    if name.lower().startswith("ns_"):
        return None
    raise invalid(f"Invalid or unsupported search. Function {name} is not supported.")


def _display(column: Any, kinds: _Kinds) -> exp.Expr:
    """BUILTIN.DF(column): the text a person sees for it."""
    if not isinstance(column, exp.Column):
        raise invalid("BUILTIN.DF takes a column.")
    field, table = kinds.field(column), kinds.table(column)
    if table == "transaction" and column.name == "status":
        kind = exp.column("type", table=column.args["table"].copy(), quoted=True)
        return _call("ns_status_label", kind, column.copy())
    if table == "transaction" and column.name == "type":
        return _call("ns_label", exp.Literal.string("trantype"), column.copy())
    if field is None:
        return column
    if field.kind == "enum":
        return _call("ns_label", exp.Literal.string(field.target), column.copy())
    target = _TARGET.get(field.target, field.target)
    if field.kind == "ref" and target in _DISPLAY:
        inner = exp.select(exp.column(_DISPLAY[target], table="_df", quoted=True)).from_(
            exp.Table(this=exp.to_identifier(target, quoted=True), alias=exp.TableAlias(this=exp.to_identifier("_df")))
        )
        return inner.where(exp.EQ(this=exp.column("id", table="_df", quoted=True), expression=column.copy())).subquery()
    return column


def _oracle(format: Any) -> str:
    """sqlglot turns Oracle layouts into strftime ones; ours are Oracle's."""
    text = format.name if isinstance(format, exp.Expr) else str(format or "%m/%d/%Y")
    for code, mask in (("%Y", "YYYY"), ("%m", "MM"), ("%d", "DD"), ("%H", "HH24"), ("%I", "HH12"), ("%M", "MI"),
                       ("%S", "SS"), ("%b", "MON"), ("%p", "AM"), ("%y", "YY"), ("%B", "MONTH"),
                       (".%f", "")):  # fmt: skip
        text = text.replace(code, mask)
    return text


# -- running -----------------------------------------------------------------------------------------------------------


class SuiteQL:
    """Runs queries on one store. Keeps the results of queries that are paged through until the data changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._clock = SandboxClock(store)
        self._kept: OrderedDict[tuple[Any, ...], tuple[int, list[bytes]]] = OrderedDict()
        self._ready = threading.local()

    def page(
        self, text: str, params: Sequence[Any], *, limit: int, offset: int, cap: int, date_format: str
    ) -> tuple[list[bytes], int]:
        """One page as JSON objects, and the number of rows in all (at most `cap`)."""
        query = compile_query(text)
        if len(params) != query.params:
            raise invalid(f"{query.params} parameters are needed but {len(params)} were given.")
        bound = {f"p{n}": _bindable(value) for n, value in enumerate(params, 1)}
        connection = self._connection()
        key = (text, tuple(bound.values()), date_format, cap)
        version = connection.execute("PRAGMA data_version").fetchone()[0] * 1_000_003 + connection.total_changes
        kept = self._kept.get(key)
        if kept is not None and kept[0] == version:
            self._kept.move_to_end(key)
            return kept[1][offset : offset + limit], len(kept[1])
        try:
            if offset == 0:
                rows = connection.execute(f"SELECT * FROM ({query.sql}) LIMIT {limit + 1}", bound).fetchall()
                total = len(rows)
                if total > limit:
                    counted = f"SELECT count(*) FROM (SELECT 1 FROM ({query.sql}) LIMIT {cap})"
                    total = connection.execute(counted, bound).fetchone()[0]
                return _encode(rows[:limit], query, date_format), min(total, cap)
            rows = connection.execute(f"SELECT * FROM ({query.sql}) LIMIT {cap}", bound).fetchall()
        except sqlite3.Error as error:
            said, self._ready.said = getattr(self._ready, "said", ""), ""
            raise invalid(f"Invalid or unsupported search. {said or error}") from None
        encoded = _encode(rows, query, date_format)
        self._keep(key, version, encoded)
        return encoded[offset : offset + limit], len(encoded)

    def _keep(self, key: tuple[Any, ...], version: int, encoded: list[bytes]) -> None:
        self._kept[key] = (version, encoded)
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(len(rows) for _, rows in self._kept.values()) > _KEPT_ROWS:
            self._kept.popitem(last=False)

    def _telling(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """SQLite says only that a function failed; this keeps what it said."""

        def run(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (ValueError, OverflowError, TypeError, KeyError) as error:
                self._ready.said = str(error)
                raise

        return run

    def _connection(self) -> sqlite3.Connection:
        connection = self._store.connection
        if getattr(self._ready, "connection", None) is not connection:
            for name, arguments, function in _FUNCTIONS:
                connection.create_function(name, arguments, self._telling(function), deterministic=True)
            connection.create_function("ns_now", 0, lambda: self._clock.now().strftime("%Y-%m-%d %H:%M:%S"))
            self._ready.connection = connection
        return connection


def _bindable(value: Any) -> Any:
    """A parameter as SQLite compares it best: canonical whole numbers as numbers, everything else as it came."""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9]\d{0,17})", value):
        return int(value)
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    raise invalid("A parameter is neither text nor number.")


def _encode(rows: Sequence[Sequence[Any]], query: Compiled, date_format: str) -> list[bytes]:
    out = []
    columns = list(zip(query.names, query.dates, strict=True))
    for row in rows:
        item: dict[str, Any] = {"links": []}
        for (name, is_date), value in zip(columns, row, strict=True):
            if value is None:
                continue
            if is_date and isinstance(value, str):
                item[name] = user_date(value, date_format)
            else:
                item[name] = value if type(value) is str else render(value)
        out.append(orjson.dumps(item))
    return out
