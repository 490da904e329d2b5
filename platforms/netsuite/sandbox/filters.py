"""The `q` parameter of record collections: `field OPERATOR value`, joined by AND and OR, AND binding tighter.

    companyName START_WITH Acme AND (isInactive IS false OR email EMPTY)

Values with spaces stand in double quotes; sets stand in brackets. Dates are bare dates in the account's own format,
and a moment is compared by its day: AFTER a day means from the next day on.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from platforms.kit.sandbox.service import Refusal
from platforms.netsuite.sandbox.schema import Field, Record

_TOKEN = re.compile(r'\s*(?:(?P<quoted>"[^"]*")|(?P<mark>[()\[\],])|(?P<word>[^\s()\[\],"]+))')
_TEXT = {"IS", "CONTAIN", "START_WITH", "END_WITH"}
_NUMBER = {"EQUAL": "=", "GREATER": ">", "GREATER_OR_EQUAL": ">=", "LESS": "<", "LESS_OR_EQUAL": "<="}
_DATE = {"ON", "AFTER", "BEFORE", "ON_OR_AFTER", "ON_OR_BEFORE"}
_SET = {"ANY_OF", "BETWEEN", "WITHIN"}


def _refuse(text: str) -> Refusal:
    return Refusal("INVALID_PARAMETER", text, (), 400, query_parameter="q")


def compile_filter(record: Record, text: str, date_format: str) -> tuple[str, list[Any]]:
    """SQL condition and parameters for a `q`. Raises Refusal INVALID_PARAMETER naming what is wrong."""
    parser = _Parser(record, text, date_format)
    sql = parser.either()
    if parser.peek() is not None:
        raise _refuse(f"Invalid query: unexpected '{parser.peek()}'.")
    return sql, parser.params


class _Parser:
    def __init__(self, record: Record, text: str, date_format: str) -> None:
        self._record, self._format = record, date_format
        self._tokens: list[tuple[str, bool]] = []
        self._at = 0
        self.params: list[Any] = []
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None:
                raise _refuse(f"Invalid query near '{text[place:][:20]}'.")
            place = found.end()
            if found["quoted"] is not None:
                self._tokens.append((found["quoted"][1:-1], True))
            else:
                self._tokens.append((found["mark"] or found["word"], False))
        if not self._tokens:
            raise _refuse("The query is empty.")

    def peek(self) -> str | None:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else None

    def _next(self, what: str) -> str:
        token = self.peek()
        if token is None:
            raise _refuse(f"Invalid query: {what} is missing at the end.")
        self._at += 1
        return token

    def _is(self, word: str) -> bool:
        if self._at < len(self._tokens) and not self._tokens[self._at][1] and self._tokens[self._at][0].upper() == word:
            self._at += 1
            return True
        return False

    def either(self) -> str:
        parts = [self._both()]
        while self._is("OR"):
            parts.append(self._both())
        return f"({' OR '.join(parts)})" if len(parts) > 1 else parts[0]

    def _both(self) -> str:
        parts = [self._one()]
        while self._is("AND"):
            parts.append(self._one())
        return f"({' AND '.join(parts)})" if len(parts) > 1 else parts[0]

    def _one(self) -> str:
        if self._is("("):
            inner = self.either()
            if not self._is(")"):
                raise _refuse("Invalid query: ')' is missing.")
            return inner
        name = self._next("a field")
        field = self._record.field(name)
        if field is None or not field.in_rest or not field.filterable:
            raise _refuse(f"Invalid query: field '{name}' does not exist or cannot be filtered.")
        return self._condition(field, self._next("an operator").upper())

    def _condition(self, field: Field, operator: str) -> str:
        column = f'"{field.column}"'
        if operator in ("EMPTY", "EMPTY_NOT"):
            return f"{column} IS {'NOT ' if operator == 'EMPTY_NOT' else ''}NULL"
        if operator == "ON_NOT":
            negative, plain = True, "ON"
        else:
            negative = operator.endswith("_NOT") or operator == "IS_NOT"
            plain = operator.removesuffix("_NOT")
        sql = self._plain(field, column, plain, operator)
        return f"NOT coalesce({sql}, 0)" if negative else sql

    def _plain(self, field: Field, column: str, operator: str, said: str) -> str:
        kind = field.kind
        if kind == "bool" and operator == "IS":
            value = self._next("a value").lower()
            if value not in ("true", "false"):
                raise _refuse(f"Invalid query: '{value}' is not a boolean.")
            self.params.append("T" if value == "true" else "F")
            return f"coalesce({column}, 'F') = ?"
        if kind in ("date", "datetime") and operator in _DATE:
            return self._dated(column, operator, self._date(self._next("a date")))
        if kind in ("int", "dec", "ref") and operator in _NUMBER:
            self.params.append(self._number(self._next("a number")))
            return f"{column} {_NUMBER[operator]} ?"
        if operator in _SET and kind not in ("bool",):
            values = self._values()
            if operator == "ANY_OF":
                self.params += [self._number(v) if kind in ("int", "dec", "ref") else v for v in values]
                return f"{column} IN ({', '.join('?' * len(values))})"
            if len(values) != 2:
                raise _refuse(f"Invalid query: {operator} takes two values.")
            if kind in ("date", "datetime"):
                self.params += [
                    self._date(values[0]).isoformat(),
                    (self._date(values[1]) + timedelta(days=1)).isoformat(),
                ]
                return f"({column} >= ? AND {column} < ?)"
            self.params += [self._number(v) for v in values]
            return f"{column} BETWEEN ? AND ?"
        if kind in ("str", "enum", "duration") and operator in _TEXT:
            value = self._next("a value")
            escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            pattern = {"IS": escaped, "CONTAIN": f"%{escaped}%", "START_WITH": f"{escaped}%", "END_WITH": f"%{escaped}"}
            self.params.append(pattern[operator])
            return f"{column} LIKE ? ESCAPE '\\'"
        raise _refuse(f"Invalid query: operator '{said}' cannot be used with field '{field.name}'.")

    def _dated(self, column: str, operator: str, day: date) -> str:
        following = (day + timedelta(days=1)).isoformat()
        if operator == "ON":
            self.params += [day.isoformat(), following]
            return f"({column} >= ? AND {column} < ?)"
        sign, bound = {
            "AFTER": (">=", following),
            "BEFORE": ("<", day.isoformat()),
            "ON_OR_AFTER": (">=", day.isoformat()),
            "ON_OR_BEFORE": ("<", following),
        }[operator]
        self.params.append(bound)
        return f"{column} {sign} ?"

    def _values(self) -> list[str]:
        if not self._is("["):
            return [self._next("a value")]
        values = [self._next("a value")]
        while self._is(","):
            values.append(self._next("a value"))
        if not self._is("]"):
            raise _refuse("Invalid query: ']' is missing.")
        return values

    @staticmethod
    def _number(text: str) -> float | int:
        try:
            return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
        except ValueError:
            raise _refuse(f"Invalid query: '{text}' is not a number.") from None

    def _date(self, text: str) -> date:
        marks = {"YYYY": r"(?P<y>\d{4})", "MM": r"(?P<m>\d{1,2})", "DD": r"(?P<d>\d{1,2})", "M": r"(?P<m>\d{1,2})",
                 "D": r"(?P<d>\d{1,2})"}  # fmt: skip
        pattern = "".join(marks.get(part, re.escape(part)) for part in re.findall(r"Y+|M+|D+|[^YMD]+", self._format))
        found = re.fullmatch(pattern, text.strip())
        try:
            if found is None:
                raise ValueError
            return date(int(found["y"]), int(found["m"]), int(found["d"]))
        except ValueError:
            raise _refuse(f"Parsing of value '{text}' failed with date format '{self._format}'.") from None
