"""Field values between the model, the journal and the platforms: written down as JSON, read back typed, compared.

In the journal money and other decimals are JSON *texts* ("10.50"), because most JSON readers would make floats of
numbers; dates and times are ISO texts, times in UTC. The kinds of a sync's fields are kept with its plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import simplejson

from reverse_etl.targets.base import Value


class Kind(StrEnum):
    """What a field's value is, as the model's column type says."""

    text = "text"
    decimal = "decimal"
    integer = "integer"
    boolean = "boolean"
    date = "date"
    timestamp = "timestamp"
    json = "json"


# Platforms keep times to the second or the millisecond; more than this apart is another time.
_SAME_TIME = timedelta(seconds=1)


def dump(value: Any) -> str:
    """Compact JSON; Decimals as exact numbers, dates and times as ISO texts."""
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False, separators=(",", ":"), default=_plain)


def load(text: str) -> Any:
    """JSON with every fraction as Decimal."""
    return simplejson.loads(text, use_decimal=True)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def typed(value: Any, kind: Kind) -> Value:
    """One value of `fields_json` as what a target gets. Text that does not fit its kind -> ValueError."""
    if value is None:
        return None
    try:
        match kind:
            case Kind.decimal:
                return Decimal(str(value))
            case Kind.integer:
                return int(value)
            case Kind.boolean:
                return value if isinstance(value, bool) else str(value).lower() == "true"
            case Kind.date:
                return date.fromisoformat(str(value))
            case Kind.timestamp:
                return datetime.fromisoformat(str(value)).astimezone(UTC)
            case Kind.json:
                parsed: Value = load(value) if isinstance(value, str) else value
                return parsed
            case Kind.text:
                return str(value)
    except (InvalidOperation, ValueError) as error:
        raise ValueError(f"{value!r} is not a {kind}") from error


def typed_fields(fields_json: str, kinds: Mapping[str, str]) -> dict[str, Value]:
    """`fields_json` as platform field -> value; a field without a kind is text."""
    return {name: typed(value, Kind(kinds.get(name, Kind.text))) for name, value in load(fields_json).items()}


def same(wanted: Any, found: Any) -> bool:
    """Does the platform hold what we sent?

    Forgiving where platforms are: '' is null, numbers by value however they are written, times within a second,
    surrounding blanks and line ends of texts, extra members in objects and lists of objects. Exact everywhere else:
    10.50 and 10.51 differ, a list with one line more differs.
    """
    wanted, found = _plainer(wanted), _plainer(found)
    if wanted is None or found is None:
        return wanted is None and found is None
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(same(value, found.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and all(map(same, wanted, found))
    if isinstance(wanted, bool) or isinstance(found, bool):
        return str(wanted).lower() == str(found).lower()
    if isinstance(wanted, datetime) or isinstance(found, datetime):
        left, right = _moment(wanted), _moment(found)
        return left is not None and right is not None and abs(left - right) <= _SAME_TIME
    if isinstance(wanted, date) or isinstance(found, date):
        return str(wanted)[:10] == str(found)[:10]
    if isinstance(wanted, (Decimal, int)) or isinstance(found, (Decimal, int)):
        number, other = _number(wanted), _number(found)
        return number is not None and number == other
    return str(wanted) == str(found)


def _plainer(value: Any) -> Any:
    if isinstance(value, str):
        text = value.replace("\r\n", "\n").strip()
        return text or None
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, tuple):
        return list(value)
    return value


def _number(value: Any) -> Decimal | None:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
