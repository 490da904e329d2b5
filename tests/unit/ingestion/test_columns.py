"""Vendor values become exact columns; what does not fit is set aside or refused, never bent."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.columns import convert, from_csv, to_arrow
from ingestion.errors import TypeChanged
from ingestion.tables import COUNT, DATE, FLAG, ID, JSON, MONEY, TEXT, TIME, Table, column_name, fields

THINGS = Table(
    name="things",
    vendor_object="Thing",
    description="",
    columns=fields(
        {"Id": ID, "Amount": MONEY, "IsWon": FLAG, "Day": DATE, "At": TIME, "Count": COUNT, "status.key": TEXT}
    ),
)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MONEY_VALUES = st.decimals(min_value=-(10**14), max_value=10**14, places=2, allow_nan=False, allow_infinity=False)


def _rows(*rows: dict[str, Any]) -> Any:
    return to_arrow(THINGS, rows, connection="c", loaded_at=NOW)


@settings(deadline=None)
@given(st.lists(MONEY_VALUES, max_size=20))
def test_money_survives_to_the_cent_as_json_and_as_text(values: list[Decimal]) -> None:
    assert convert(list(values), MONEY)[0].to_pylist() == values
    assert convert([str(value) for value in values], MONEY)[0].to_pylist() == values


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), MONEY_VALUES), min_size=1, max_size=20))
def test_csv_and_json_give_the_same_columns(values: list[Decimal | None]) -> None:
    rows = [{"Id": str(n), "Amount": value, "IsWon": True} for n, value in enumerate(values)]
    text = '"Id","Amount","IsWon"\n' + "".join(
        f'"{row["Id"]}","{"" if row["Amount"] is None else row["Amount"]}","true"\n' for row in rows
    )
    assert from_csv(THINGS, text.encode(), connection="c", loaded_at=NOW)[0] == _rows(*rows)[0]


def test_times_keep_their_moment_whatever_zone_they_are_written_in() -> None:
    written = ["2026-03-01T09:30:00.123+0000", "2026-03-01T01:30:00.123-08:00", "2026-03-01T09:30:00.123Z"]
    assert set(convert(written, TIME)[0].to_pylist()) == {datetime(2026, 3, 1, 9, 30, 0, 123000, tzinfo=UTC)}
    assert convert(["2026-03-01 09:30:00"], TIME)[0].to_pylist() == [datetime(2026, 3, 1, 9, 30, tzinfo=UTC)]


def test_empty_text_is_null_in_every_kind_of_column() -> None:
    for kind in (TEXT, DATE, TIME, MONEY, COUNT):
        assert convert(["", None], kind)[0].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("value", "kind", "rule"),
    [
        (Decimal("1.005"), MONEY, "precision"),
        (Decimal("1e30"), MONEY, "range"),
        (Decimal("1.5"), COUNT, "range"),
        (True, COUNT, "type"),
        (1, FLAG, "type"),
        ("soon", DATE, "type"),
        ("NaN", MONEY, "type"),
        ({"a": 1}, TEXT, "type"),
    ],
)
def test_what_does_not_fit_is_not_bent_until_it_does(value: Any, kind: Any, rule: str) -> None:
    array, bad = convert([value], kind)
    assert array.to_pylist() == [None]
    assert bad[0][0] == rule


def test_numbers_printed_as_ids_become_text_and_lists_become_json() -> None:
    assert convert([12, "13"], ID)[0].to_pylist() == ["12", "13"]
    assert convert([["1", "2"], {"a": Decimal("1.10")}, "x"], JSON)[0].to_pylist() == [
        '["1", "2"]',
        '{"a": 1.10}',
        '"x"',
    ]


def test_one_bad_row_is_set_aside_and_the_rest_flows() -> None:
    table, bad = _rows({"Id": "1", "Amount": "x"}, {"Id": "2", "Amount": Decimal(2)}, {"Id": None}, {"Id": "4"})
    assert table["id"].to_pylist() == ["2", "4"]
    assert [(row.record_id, row.rule) for row in bad] == [("1", "type"), ("row 3 without a key", "key")]
    assert not table.schema.field("id").nullable


def test_a_column_of_another_kind_is_refused_with_old_new_and_an_example() -> None:
    rows = [{"Id": f"00{n}", "Amount": {"value": n}} for n in range(5)]
    with pytest.raises(
        TypeChanged, match=r"amount is declared decimal\(18,2\), but 5 of 5 rows now deliver object"
    ) as e:
        _rows(*rows)
    assert "example record 000" in str(e.value)


def test_a_nested_field_is_reached_by_its_path() -> None:
    table, _ = _rows({"Id": "1", "status": {"key": 300}}, {"Id": "2", "status": None})
    assert table["status_key"].to_pylist() == ["300", None]


def test_deletion_is_read_from_the_mark_and_its_time() -> None:
    rows = [
        {"Id": "1", "IsWon": True, "At": "2026-03-01T00:00:00Z"},
        {"Id": "2", "IsWon": False, "At": "2026-03-02T00:00:00Z"},
    ]
    table, _ = to_arrow(THINGS, rows, connection="c", loaded_at=NOW, deletion=("IsWon", "At"))
    assert table["_deleted_at"].to_pylist() == [NOW, None]


def test_dates_stay_dates() -> None:
    assert convert(["2026-02-28", "2024-02-29"], DATE)[0].to_pylist() == [date(2026, 2, 28), date(2024, 2, 29)]


def test_column_names_are_those_dlt_would_give() -> None:
    from dlt.common.normalizers.naming.snake_case import NamingConvention

    from ingestion import sources

    naming = NamingConvention()
    for platform in ("salesforce", "kantata", "netsuite", "tryton", "tieout"):
        for table in sources.tables(platform):
            assert naming.normalize_identifier(table.name) == table.name
            for field, (column, _) in table.columns.items():
                assert naming.normalize_path(column) == column
                if platform != "tieout":  # renames some of the journal's columns on purpose
                    assert column_name(field) == column.removesuffix("_seconds")  # spans of time say their unit
                    assert naming.normalize_path(field) == column.removesuffix("_seconds")
