"""From what a caller sends to what a column holds: checked here once, for HTTP, the world and tests alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from platforms.kit.sandbox.service import Refusal
from platforms.netsuite.sandbox.schema import ENUMS, Field

# Longest texts the ledger takes, by column (rule C-8); everything else is a 300-character text.
LENGTHS = {
    "entityid": 83,
    "companyname": 83,
    "altname": 83,
    "externalid": 255,
    "otherrefnum": 45,
    "memo": 4000,
    "comments": 4000,
    "description": 4000,
    "firstname": 32,
    "lastname": 32,
    "email": 254,
    "phone": 32,
    "vatregnumber": 20,
    "custbody_tieout_period": 7,
}
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_-]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DURATION = re.compile(r"(\d+):([0-5]\d)")


def bad(field: str, value: Any, path: str = "") -> Refusal:
    """The vendor's refusal of one field's value."""
    return Refusal("INVALID_CONTENT", f"Invalid Field Value {value} for field {field}", [path or field], 400)


def wrong_type(field: str, kind: str, value: Any, path: str = "") -> Refusal:
    """The vendor's refusal of a value of the wrong JSON type."""
    text = f"Invalid content in the request body. The value {value!r} of field {field} is not a valid {kind}."
    return Refusal("INVALID_CONTENT", text, [path or field], 400)


def money(value: Decimal, places: int) -> Decimal:
    """`value` rounded half up to `places` decimals, as the ledger rounds every amount."""
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def dec(value: Any) -> Decimal:
    """A stored number as the exact Decimal it stands for; None counts as zero."""
    if isinstance(value, Decimal):
        return value
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value or 0)


def bind(value: Any) -> Any:
    """A value as SQLite takes it."""
    return float(value) if isinstance(value, Decimal) else value


def stamp(moment: datetime) -> str:
    """A moment as stored: UTC, to the second, without the time part at midnight."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return text[:10] if text.endswith(" 00:00:00") else text


def parse(field: Field, value: Any, path: str = "") -> Any:
    """`value` as the column of `field` holds it; references are left as they came (see `Service.resolve`).

    None empties a field. Raises Refusal INVALID_CONTENT naming the path.
    """
    if value is None:
        return None
    kind, name = field.kind, field.name
    if kind == "ref":
        return value
    if kind == "enum":
        return _enum(field, value, path)
    if isinstance(value, Mapping | list):
        raise wrong_type(name, kind, value, path)
    if kind == "bool":
        if isinstance(value, bool):
            return "T" if value else "F"
        if value in ("T", "F"):
            return value
        raise wrong_type(name, "boolean", value, path)
    if kind == "str":
        return _text(field, value, path)
    if kind in ("dec", "int"):
        return _number(field, value, path)
    if kind == "date":
        return _date(name, value, path)
    if kind == "datetime":
        return _moment(name, value, path)
    if kind == "duration":
        return _duration(name, value, path)
    raise AssertionError(kind)


def _enum(field: Field, value: Any, path: str) -> str:
    allowed = ENUMS[field.target]
    given = value.get("id", value.get("refName")) if isinstance(value, Mapping) else value
    if str(given) in allowed:
        return str(given)
    for key, label in allowed.items():
        if label.lower() == str(given).lower():
            return key
    raise bad(field.name, given, path)


def _text(field: Field, value: Any, path: str) -> str | None:
    if isinstance(value, bool | Decimal | int | float):
        value = str(value)
    if not isinstance(value, str):
        raise wrong_type(field.name, "string", value, path)
    limit = LENGTHS.get(field.column, 300)
    if len(value) > limit:
        text = f"The field {field.name} contained more than the maximum number ( {limit} ) of characters allowed."
        raise Refusal("INVALID_CONTENT", text, [path or field.name], 400)
    if field.column == "externalid" and value and not _EXTERNAL_ID.fullmatch(value):
        text = f"Invalid external ID '{value}'. Use only letters, digits, underscores and hyphens."
        raise Refusal("INVALID_CONTENT", text, [path or field.name], 400)
    if field.column == "email" and value and not _EMAIL.fullmatch(value):
        raise bad(field.name, value, path)
    return value or None


def _number(field: Field, value: Any, path: str) -> Any:
    if isinstance(value, bool):
        raise wrong_type(field.name, "number", value, path)
    try:
        number = dec(value) if not isinstance(value, str) else Decimal(value)
    except (InvalidOperation, TypeError):
        raise wrong_type(field.name, "number", value, path) from None
    if not number.is_finite() or abs(number) >= Decimal(10) ** 13:
        raise bad(field.name, value, path)
    if field.kind == "int":
        if number != number.to_integral_value():
            raise wrong_type(field.name, "integer", value, path)
        return int(number)
    return number


def _date(name: str, value: Any, path: str) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    try:
        return date.fromisoformat(str(value)[:10]).isoformat()
    except ValueError:
        raise wrong_type(name, "date (YYYY-MM-DD)", value, path) from None


def _moment(name: str, value: Any, path: str) -> str:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise wrong_type(name, "date-time (ISO 8601)", value, path) from None
    return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _duration(name: str, value: Any, path: str) -> str:
    found = _DURATION.fullmatch(str(value))
    if found is None:
        raise wrong_type(name, 'duration ("H:MM")', value, path)
    return f"{int(found[1])}:{found[2]}"
