"""What a raw table is: typed declarations that dlt, dbt and the tests all read.

A room's tables are declared in `ingestion/sources/<platform>.py` as `TABLES`.
`python -m ingestion.tables [platform ...]` prints every table with its columns and DuckDB types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa

# One word per kind of value; the same everywhere, so that a type says what a column means.
TEXT = pa.string()
ID = pa.string()  # every id is text, even where a vendor prints a number
FLAG = pa.bool_()
DATE = pa.date32()
TIME = pa.timestamp("us", tz="UTC")
COUNT = pa.int64()
CENTS = pa.int64()  # currency subunits; the currency and its base unit stand beside it
MONEY = pa.decimal128(18, 2)  # main units, as a CRM keeps them
LEDGER = pa.decimal128(20, 4)  # main units, as an ERP keeps them (four places for rates and currencies like KWD)
RATIO = pa.decimal128(18, 6)  # percents, quantities, hours, rates per hour
FX = pa.decimal128(20, 10)
JSON = pa.large_string()  # a vendor's list or object, as JSON text
LETTER = pa.string()  # 'T' or 'F': the vendor's booleans, made real ones in staging

# Columns that every raw table ends with.
CONNECTION = "_connection"
LOADED_AT = "_loaded_at"
DELETED_AT = "_deleted_at"
COMMON: dict[str, pa.DataType] = {CONNECTION: TEXT, LOADED_AT: TIME, DELETED_AT: TIME}

_BREAK_BEFORE_WORD = re.compile(r"([^_])([A-Z][a-z]+)")
_BREAK_BEFORE_CAPITAL = re.compile(r"([a-z0-9])([A-Z])")


def column_name(vendor_field: str) -> str:
    """The column for a vendor's field: dlt's snake_case of it; `__` stays (`VAT_Number__c` -> `vat_number__c`) and a
    dot of a nested field becomes `_` (`status.key` -> `status_key`). A test holds this equal to dlt's own naming."""
    parts = re.sub(r"[^A-Za-z0-9_]", "_", vendor_field).split("__")
    words = (_BREAK_BEFORE_CAPITAL.sub(r"\1_\2", _BREAK_BEFORE_WORD.sub(r"\1_\2", part)).lower() for part in parts)
    return "__".join(re.sub("_+", "_", word) for word in words)


def fields(*groups: Mapping[str, pa.DataType]) -> dict[str, tuple[str, pa.DataType]]:
    """{vendor field: (column, arrow type)} from groups of {vendor field: arrow type}, in order."""
    return {name: (column_name(name), kind) for group in groups for name, kind in group.items()}


class Deletes(Enum):
    """How the deletion of a record is seen. A deleted row stays, with `_deleted_at`."""

    NEVER = "the platform deletes none"
    FLAGGED = "deleted rows are delivered with a mark on them"
    LISTED = "the platform lists deleted records in a table of their own"
    UNLISTED = "the whole table is read each time; what is no longer in it is deleted"
    SWEPT = "every few runs all ids are read; what is no longer among them is deleted"
    WITH_PARENT = "rows go and come together with the record they belong to"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One raw table: which vendor object fills it, by which key, along which cursor, and how its deletes are seen.

    `name` is the dlt resource, the DuckDB table and the dbt source table. `key` are columns (without `_connection`,
    which is always part of the key). `cursor` is a vendor field that moves with every change, None where the whole
    table is read each time. `rides_with` names the table it is read along with, `replaces` the column whose rows are
    replaced together (all lines of one invoice). `optional` tables may be unknown to an org (a feature switched off):
    then the table is there and empty.
    """

    name: str
    vendor_object: str
    description: str
    columns: Mapping[str, tuple[str, pa.DataType]]
    key: tuple[str, ...] = ("id",)
    cursor: str | None = None
    deletes: Deletes = Deletes.NEVER
    rides_with: str | None = None
    replaces: str | None = None
    optional: bool = False

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema: declared columns, then the common ones. Columns of the key are not null."""
        required = {CONNECTION, *self.key}
        columns = (*self.columns.values(), *COMMON.items())
        return pa.schema([pa.field(name, kind, nullable=name not in required) for name, kind in columns])

    @property
    def cursor_column(self) -> str | None:
        """The column of `cursor`."""
        return self.columns[self.cursor][0] if self.cursor else None


# Two tables that every dataset has, whatever the platform.
OBSERVED = Table(
    name="_observed",
    vendor_object="",
    description="One row per connection: the platform's own clock when it was last read. The `as of` of every mart.",
    key=(),
    columns={name: (name, kind) for name, kind in {"observed_at": TIME, "run_id": TEXT, "load_id": TEXT}.items()},
)
QUARANTINE = Table(
    name="quarantine",
    vendor_object="",
    description="Rows that broke a rule of their table and were set aside, with the rule and the reason.",
    key=("table_name", "record_id", "rule"),
    columns={
        name: (name, kind)
        for name, kind in {"table_name": TEXT, "record_id": TEXT, "rule": TEXT, "reason": TEXT, "payload": JSON}.items()
    },
)


def duckdb_type(kind: pa.DataType) -> str:
    """The DuckDB type that an Arrow type becomes."""
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return {TEXT: "varchar", JSON: "varchar", FLAG: "boolean", DATE: "date", TIME: "timestamptz", COUNT: "bigint"}[kind]


def describe(platform: str, tables: Iterable[Table]) -> str:
    """The tables of one platform as text: name, key, cursor, deletes, and each column with its type."""
    lines = []
    for table in tables:
        key = ", ".join((CONNECTION, *table.key))
        lines.append(
            f"raw_{platform}.{table.name}  key ({key})  cursor {table.cursor_column or '-'}  deletes {table.deletes}"
        )
        lines.append(f"    -- {table.description}")
        lines.extend(f"    {field.name} {duckdb_type(field.type)}" for field in table.schema)
    return "\n".join(lines)


if __name__ == "__main__":
    import importlib
    import pkgutil
    import sys

    import ingestion.sources

    rooms = [room.name for room in pkgutil.iter_modules(ingestion.sources.__path__)]
    for wanted in sys.argv[1:] or rooms:
        declared = importlib.import_module(f"ingestion.sources.{wanted}").TABLES
        sys.stdout.write(describe(wanted, (*declared, OBSERVED, QUARANTINE)) + "\n\n")
