"""From a vendor's rows to typed Arrow columns, exactly: money never passes through a float.

A whole column is converted at once (about 60 ns a value). Only when that fails are its values looked at one by one, to
tell a few bad rows, which are set aside with the reason, from a changed type, which is refused.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import simplejson

from ingestion.errors import TypeChanged
from ingestion.tables import CONNECTION, DELETED_AT, JSON, LOADED_AT, Table, duckdb_type
from platforms.kit.secrets import mask

Row = Mapping[str, Any]

# Fewer values than this cannot tell a changed type from a typing error: they are set aside, not refused.
CHANGED_AT_LEAST = 3


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that was set aside: the vendor's record id, the rule it broke, the reason in words, the row as JSON."""

    table: str
    record_id: str
    rule: str
    reason: str
    payload: str


class _Bad(Exception):
    """One value is not what its column takes: the rule it breaks, and why."""

    def __init__(self, rule: str, reason: str) -> None:
        self.rule = rule
        super().__init__(reason)


def value_at(row: Row, field: str) -> Any:
    """The value of a field; a dot goes into a nested object (`status.key`), whose absence gives None."""
    if field in row:
        return row[field]
    head, dot, rest = field.partition(".")
    nested = row.get(head) if dot else None
    return value_at(nested, rest) if isinstance(nested, Mapping) else None


def to_arrow(
    table: Table,
    rows: Sequence[Row],
    *,
    connection: str,
    loaded_at: datetime,
    extra: Mapping[str, tuple[str, pa.DataType]] | None = None,
    deletion: tuple[str | None, str] | None = None,
) -> tuple[pa.Table, list[BadRow]]:
    """Rows as a typed Arrow table (declared columns, `extra` ones, then the common ones), and the rows set aside.

    Values may be JSON values (numbers as Decimal or int) or text. Text that is empty counts as null. `deletion` names
    the field that marks a deleted row (None: no mark, the time alone tells) and the one with the time it happened. A
    row whose key is null is set aside. Raises TypeChanged when at least half of a column's values (and no fewer than
    three) are of another kind.
    """
    columns = {**table.columns, **(extra or {})}
    arrays: dict[str, pa.Array] = {}
    troubles: dict[int, tuple[str, str]] = {}
    for field, (name, kind) in columns.items():
        nested = "." in field
        values = [value_at(row, field) for row in rows] if nested else [row.get(field) for row in rows]
        array, bad = convert(values, kind)
        if bad:
            _refuse_changed_type(table, connection, field, name, kind, values, bad, rows)
            for index, (rule, reason) in bad.items():
                troubles.setdefault(index, (rule, f"{name}: {reason}"))
        arrays[name] = array
    arrays[DELETED_AT] = _deleted(arrays, columns, deletion, len(rows))
    result, more = _finish(table, arrays, columns, len(rows), connection, loaded_at)
    for index in more:
        troubles.setdefault(index, ("key", f"{' and '.join(table.key)} must not be empty"))
    if not troubles:
        return result, []
    bad_rows = [
        BadRow(
            table=table.name,
            record_id=_record_id(table, rows[index], index),
            rule=rule,
            reason=mask(reason),
            payload=mask(simplejson.dumps(rows[index], use_decimal=True, default=str)),
        )
        for index, (rule, reason) in sorted(troubles.items())
    ]
    keep = pa.array([index not in troubles for index in range(len(rows))], pa.bool_())
    return result.filter(keep).cast(_schema(table, columns)), bad_rows


def from_csv(
    table: Table,
    content: bytes,
    *,
    connection: str,
    loaded_at: datetime,
    extra: Mapping[str, tuple[str, pa.DataType]] | None = None,
    deletion: tuple[str | None, str] | None = None,
) -> tuple[pa.Table, list[BadRow]]:
    """A page of vendor CSV (header row of vendor field names, empty value = null) as `to_arrow` gives it.

    The parser writes straight into typed columns; only a page with a value that does not fit goes row by row.
    """
    columns = {**table.columns, **(extra or {})}
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    try:
        read = pyarrow.csv.read_csv(
            io.BytesIO(content),
            parse_options=parse,
            convert_options=_typed({field: kind for field, (_, kind) in columns.items()}),
        )
    except pa.ArrowInvalid:
        return _from_text(table, content, parse, columns, connection, loaded_at, extra, deletion)
    arrays = {}
    for field, (name, kind) in columns.items():
        found = field in read.column_names
        arrays[name] = read.column(field).combine_chunks() if found else pa.nulls(read.num_rows, kind)
    arrays[DELETED_AT] = _deleted(arrays, columns, deletion, read.num_rows)
    result, bad = _finish(table, arrays, columns, read.num_rows, connection, loaded_at)
    if not bad:
        return result, []
    return _from_text(table, content, parse, columns, connection, loaded_at, extra, deletion)


def _from_text(
    table: Table,
    content: bytes,
    parse: pyarrow.csv.ParseOptions,
    columns: Mapping[str, tuple[str, pa.DataType]],
    connection: str,
    loaded_at: datetime,
    extra: Mapping[str, tuple[str, pa.DataType]] | None,
    deletion: tuple[str | None, str] | None,
) -> tuple[pa.Table, list[BadRow]]:
    text = pyarrow.csv.read_csv(
        io.BytesIO(content), parse_options=parse, convert_options=_typed(dict.fromkeys(columns, pa.string()))
    )
    rows = [
        {k: _boolean(v) if k in columns and columns[k][1] == pa.bool_() else v for k, v in row.items()}
        for row in text.to_pylist()
    ]
    return to_arrow(table, rows, connection=connection, loaded_at=loaded_at, extra=extra, deletion=deletion)


def _typed(kinds: Mapping[str, pa.DataType]) -> pyarrow.csv.ConvertOptions:
    return pyarrow.csv.ConvertOptions(
        column_types=dict(kinds),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
        true_values=["true"],
        false_values=["false"],
        timestamp_parsers=[pyarrow.csv.ISO8601],
    )


def _boolean(text: str | None) -> bool | str | None:
    return {"true": True, "false": False}.get(text, text) if text is not None else None


def _deleted(
    arrays: Mapping[str, pa.Array],
    columns: Mapping[str, tuple[str, pa.DataType]],
    deletion: tuple[str | None, str] | None,
    count: int,
) -> pa.Array:
    nothing = pa.nulls(count, loaded_type())
    if deletion is None:
        return nothing
    flag, moment = deletion
    when = arrays[columns[moment][0]]
    return when if flag is None else pc.if_else(pc.fill_null(arrays[columns[flag][0]], False), when, nothing)


def loaded_type() -> pa.DataType:
    """The type of every timestamp: microseconds, UTC."""
    return pa.timestamp("us", tz="UTC")


def _schema(table: Table, columns: Mapping[str, tuple[str, pa.DataType]]) -> pa.Schema:
    required = {CONNECTION, *table.key}
    fields = [*columns.values(), (CONNECTION, pa.string()), (LOADED_AT, loaded_type()), (DELETED_AT, loaded_type())]
    return pa.schema([pa.field(name, kind, nullable=name not in required) for name, kind in fields])


def _finish(
    table: Table,
    arrays: dict[str, pa.Array],
    columns: Mapping[str, tuple[str, pa.DataType]],
    count: int,
    connection: str,
    loaded_at: datetime,
) -> tuple[pa.Table, set[int]]:
    """The table with its common columns, and the indexes of rows whose key is incomplete."""
    arrays[CONNECTION] = pa.repeat(pa.scalar(connection, pa.string()), count)
    arrays[LOADED_AT] = pa.repeat(pa.scalar(loaded_at.astimezone(UTC), loaded_type()), count)
    without_key: set[int] = set()
    for name in table.key:
        if arrays[name].null_count:
            without_key |= {i for i, null in enumerate(pc.is_null(arrays[name]).to_pylist()) if null}
    schema = _schema(table, columns)
    if without_key:
        schema = pa.schema([field.with_nullable(True) for field in schema])
    return pa.table([arrays[field.name] for field in schema], schema=schema), without_key


def convert(values: list[Any], kind: pa.DataType) -> tuple[pa.Array, dict[int, tuple[str, str]]]:
    """One column from vendor values, and for each value that does not fit: its index, the rule broken, the reason."""
    try:
        return _fast(values, kind), {}
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        converter = _converter(kind)
        converted: list[Any] = []
        bad: dict[int, tuple[str, str]] = {}
        for index, value in enumerate(values):
            try:
                converted.append(None if value is None or value == "" else converter(value))
            except _Bad as error:
                converted.append(None)
                bad[index] = (error.rule, str(error))
        return pa.array(converted, kind), bad


def _fast(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == JSON:
        return pa.array([None if v is None else simplejson.dumps(v, use_decimal=True) for v in values], kind)
    if kind == pa.string():
        return _without_empty(pa.array(values, kind))
    if pa.types.is_date(kind):
        return pc.cast(_without_empty(pa.array(values, pa.string())), kind)
    if pa.types.is_timestamp(kind):
        text = _without_empty(pa.array(values, pa.string()))
        try:
            return pc.cast(text, kind)
        except pa.ArrowInvalid:  # no zone written: NetSuite's TO_CHAR of times, which are UTC
            return pc.assume_timezone(pc.cast(text, pa.timestamp("us")), "UTC")
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {str}:  # Arrow reads numbers from text exactly, and refuses what does not fit
        return pc.cast(_without_empty(pa.array(values, pa.string())), kind)
    if pa.types.is_int64(kind) and not kinds <= {int}:
        raise TypeError("Arrow would cut 1.5 to 1 and take True for 1")
    return pa.array(values, kind)


def _without_empty(text: pa.Array) -> pa.Array:
    empty = pc.equal(text, "")
    return pc.if_else(empty, pa.scalar(None, text.type), text) if pc.any(empty).as_py() else text


def _converter(kind: pa.DataType) -> Callable[[Any], Any]:
    if kind == pa.string():
        return _text
    if kind == pa.bool_():
        return _flag
    if pa.types.is_date(kind):
        return _date
    if pa.types.is_timestamp(kind):
        return _time
    if pa.types.is_int64(kind):
        return _count
    return lambda value: _decimal(value, kind)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    raise _Bad("type", f"text expected, not {_shown(value)}")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _Bad("type", f"true or false expected, not {_shown(value)}")


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Bad("type", f"a date (YYYY-MM-DD) expected, not {_shown(value)}") from None


def _time(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Bad("type", f"a time (ISO 8601) expected, not {_shown(value)}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _number(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str):
        try:
            return Decimal(value)
        except InvalidOperation:
            pass
    raise _Bad("type", f"a number expected, not {_shown(value)}")


def _count(value: Any) -> int:
    number = _number(value)
    if number.is_finite() and number == number.to_integral_value() and abs(number) < 2**63:
        return int(number)
    raise _Bad("range", f"a whole number of at most 64 bits expected, not {_shown(value)}")


def _decimal(value: Any, kind: pa.DataType) -> Decimal:
    number = _number(value)
    if not number.is_finite():
        raise _Bad("type", f"a number expected, not {_shown(value)}")
    rounded = number.quantize(Decimal(1).scaleb(-kind.scale)) if number.adjusted() < 28 - kind.scale else number
    if rounded != number:
        raise _Bad("precision", f"{_shown(value)} has more than {kind.scale} decimal places")
    if number.adjusted() >= kind.precision - kind.scale:
        raise _Bad("range", f"{_shown(value)} does not fit {duckdb_type(kind)}")
    return rounded


def _shown(value: Any) -> str:
    shown = value if isinstance(value, str) else simplejson.dumps(value, use_decimal=True, default=str)
    return mask(repr(shown[:40]) if isinstance(value, str) else shown[:40])


def kind_of(value: Any) -> str:
    """What kind of JSON value this is, in a word people use."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | Decimal | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list) else "object"


def inferred(value: Any) -> pa.DataType:
    """The column type for a field nobody declared, from its first value."""
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64()
    if isinstance(value, Decimal):
        return pa.decimal128(38, 9)
    return pa.string() if isinstance(value, str) else JSON


def _refuse_changed_type(
    table: Table,
    connection: str,
    field: str,
    name: str,
    kind: pa.DataType,
    values: list[Any],
    bad: Mapping[int, tuple[str, str]],
    rows: Sequence[Row],
) -> None:
    wrong = [index for index, (rule, _) in bad.items() if rule == "type"]
    filled = sum(1 for value in values if value is not None and value != "")
    if len(wrong) < CHANGED_AT_LEAST or 2 * len(wrong) < filled:
        return
    example = wrong[0]
    raise TypeChanged(
        f"column {name} is declared {duckdb_type(kind)}, but {len(wrong)} of {filled} rows now deliver "
        f"{kind_of(values[example])} in {field}, for example record {_record_id(table, rows[example], example)}. "
        f"Nothing of this run was loaded.",
        connection=connection,
        table=table.name,
        next_step=f"If {table.vendor_object}.{field} was meant to change, change its type in the table's declaration; "
        "otherwise have it changed back on the platform.",
    )


def _record_id(table: Table, row: Row, index: int) -> str:
    fields = {name: field for field, (name, _) in table.columns.items()}
    parts = [value_at(row, fields[name]) for name in table.key if name in fields]
    if not parts or any(part in (None, "") for part in parts):
        return f"row {index + 1} without a key"
    return mask(":".join(str(part) for part in parts))


def unknown_fields(table: Table, rows: Iterable[Row], extra: Iterable[str]) -> dict[str, Any]:
    """{field: first value that is not null} of fields in `rows` that the table does not declare."""
    declared = {field.partition(".")[0] for field in table.columns} | set(extra)
    found: dict[str, Any] = {}
    for row in rows:
        if not row.keys() <= declared:
            for field in row.keys() - declared:
                if found.get(field) is None:
                    found[field] = row[field]
    return found
