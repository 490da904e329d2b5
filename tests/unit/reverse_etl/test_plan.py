"""The comparison against a small independent model in Python, over random tables; and what a plan looks like."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl.journal.store import Journal
from reverse_etl.plan.model import ConservationBroken, SyncPlan
from reverse_etl.run import Engine, StalePlan
from reverse_etl.sync import Brakes
from tests.unit.reverse_etl.conftest import COLUMNS, INVOICE, Firm, counting, invoice, ticking
from tests.unit.reverse_etl.shelf import Shelf, World

TEXTS = st.one_of(
    st.none(), st.just(""), st.sampled_from(["Acme", "acme", " Acme", 'O"Brien \\ Söhne', "a\nb", "null", "1"])
)
AMOUNTS = st.one_of(st.none(), st.decimals(-1000, 1000, places=2), st.sampled_from([Decimal("0"), Decimal("-0.01")]))
DATES = st.one_of(st.none(), st.dates(date(2020, 1, 1), date(2020, 1, 4)))
ROW = st.fixed_dictionaries(
    {
        "name": TEXTS,
        "total": AMOUNTS,
        "due_on": DATES,
        "is_open": st.one_of(st.none(), st.booleans()),
        "currency": st.sampled_from(["EUR", "USD", None]),
        "_hold_reason": st.one_of(st.none(), st.none(), st.none(), st.sampled_from(["", "locked"])),
    }
)
TABLE = st.dictionaries(
    st.tuples(st.sampled_from(["shelf", "other"]), st.integers(1, 12).map(lambda n: f"INV_{n}")), ROW, max_size=14
)


def rows_of(table: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**invoice(key), **values, "_connection": connection, "_source_refs": None}
        for (connection, key), values in table.items()
    ]


def meaning(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says, with '' and null the same."""
    return {name: row[name] if row[name] != "" else None for name in ("name", "total", "due_on", "is_open")}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=TABLE, second=TABLE)
def test_the_plan_is_what_a_plain_comparison_says(first: Any, second: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        firm = Firm(Path(folder), Journal.in_memory(clock=ticking(), ids=counting()))
        firm.others["other"] = Shelf(World(), connection="other")
        firm.desire(rows_of(first))
        firm.run(settle=False)
        known = {place: meaning(row) for place, row in first.items() if not row["_hold_reason"]}
        assert set(firm.journal.known(INVOICE.name)) == set(known)

        firm.desire(rows_of(second))
        plan = firm.engine().plan().syncs[0]
        expected: dict[str, int] = {}
        money: dict[str, Decimal] = {}
        for place, row in second.items():
            action = "update" if place in known else "create"
            if row["_hold_reason"]:
                action = "held"
            elif known.get(place) == meaning(row):
                action = "unchanged"
            expected[action] = expected.get(action, 0) + 1
            if action in ("create", "update") and row["total"] is not None:
                money[row["currency"] or ""] = money.get(row["currency"] or "", Decimal(0)) + row["total"]
        assert plan.unchanged == expected.pop("unchanged", 0)
        assert plan.actions == expected
        assert plan.retired == len(set(known) - set(second))
        planned: dict[str, Decimal] = {}
        for action in ("create", "update"):
            for currency, total in plan.amounts.get(action, {}).items():
                planned[currency] = planned.get(currency, Decimal(0)) + total
        assert planned == money

        firm.run(settle=False)
        for place, row in second.items():
            if row["_hold_reason"]:
                continue
            world = firm.world if place[0] == "shelf" else firm.others["other"].world
            (record,) = [r for r in world.records.values() if r["@key"] == place[1]]
            held = {"name": "name", "total": "money.total", "due_on": "dueDate", "is_open": "open"}
            assert {name: record.get(target) for name, target in held.items()} == meaning(row)
        assert firm.engine().plan().writes == 0


def test_spellings_of_one_value_are_no_change(firm: Firm) -> None:
    types = {**COLUMNS, "seen_at": "timestamptz"}
    firm.change(fields={"name": "name", "total": "total", "seen_at": "seenAt"})
    firm.desire([invoice("INV_1", "", "10.50", seen_at="2026-01-01 12:00:00+02")], columns=types)
    firm.run()
    types = {**COLUMNS, "total": "decimal(20, 4)", "seen_at": "timestamp"}
    firm.desire([invoice("INV_1", None, "10.5000", seen_at="2026-01-01 10:00:00")], columns=types)
    assert firm.engine().plan().writes == 0
    firm.desire([invoice("INV_1", None, "10.5001", seen_at="2026-01-01 10:00:00")], columns=types)
    assert firm.engine().plan().writes == 1


def test_a_scale_that_shrinks_does_not_round_a_difference_away(firm: Firm) -> None:
    firm.desire([invoice("INV_1", total="10.505")], columns={**COLUMNS, "total": "decimal(18, 3)"})
    firm.run()
    firm.desire([invoice("INV_1", total="10.51")])
    assert firm.engine().plan().writes == 1


def test_large_money_keeps_every_cent(firm: Firm) -> None:
    firm.desire([invoice("INV_1", total="9007199254740993.01")])
    firm.run()
    (record,) = firm.world.records.values()
    assert record["money.total"] == Decimal("9007199254740993.01")
    firm.desire([invoice("INV_1", total="9007199254740993.02")])
    assert firm.engine().plan().writes == 1


def test_json_columns_go_out_parsed_with_exact_numbers(firm: Firm) -> None:
    firm.change(fields={"name": "name", "lines": "lines"}, json=frozenset({"lines"}))
    types = {**COLUMNS, "lines": "varchar"}
    firm.desire([invoice("INV_1", lines='[{"amount": 0.10, "ref": "a:1"}]')], columns=types)
    assert firm.run().settled == 1
    (record,) = firm.world.records.values()
    assert record["lines"] == [{"amount": Decimal("0.10"), "ref": "a:1"}]
    firm.desire([invoice("INV_1", lines='[{"amount": ')], columns=types)
    report = firm.run()
    assert (report.held, report.updated) == (1, 0)
    assert firm.journal.entries_by(state="held")[0].reason == "column lines is not valid JSON"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([invoice("INV_1"), invoice("INV_1")], "external_id must be unique; not so: INV_1 (2 rows, connection shelf)"),
        ([invoice("INV_1"), invoice("")], "1 of 2 rows have no external_id or no _connection"),
        ([invoice("INV_1", _connection=None)], "1 of 1 rows have no external_id or no _connection"),
    ],
)
def test_bad_keys_are_an_error_of_that_sync_alone(firm: Firm, rows: list[dict[str, Any]], told: str) -> None:
    firm.syncs = (INVOICE, replace(INVOICE, name="sync_shelf__other", table="sync_shelf__other"))
    firm.desire(rows)
    firm.desire([invoice("INV_9")], table="sync_shelf__other")
    first, second = firm.engine().apply().syncs
    assert told in (first.error or "")
    assert first.error is not None
    assert first.error.startswith("models/shelf.yml: model sync_shelf__invoice: ")
    assert (first.ok, second.created) == (False, 1)


@pytest.mark.parametrize(
    ("types", "told"),
    [
        ({"total": "double"}, "column total has type DOUBLE, which cannot be sent; cast it to a decimal"),
        ({"name": "varchar[]"}, "column name has type VARCHAR[], which cannot be sent; cast it, or list it under json"),
    ],
)
def test_types_that_cannot_be_sent_are_refused(firm: Firm, types: dict[str, str], told: str) -> None:
    firm.desire([], columns={**COLUMNS, **types})
    assert told in (firm.run().error or "")


def test_a_removed_column_is_named(firm: Firm) -> None:
    firm.desire([], columns={name: kind for name, kind in COLUMNS.items() if name != "due_on"})
    assert "column due_on of config.meta.sync is not in the table" in (firm.run().error or "")


def test_a_missing_table_or_snapshot_is_told(firm: Firm) -> None:
    assert "is not there; run `tieout build` first" in (firm.run().error or "")
    firm.desire([], table="something_else")
    assert "cannot be read" in (firm.run().error or "")


def test_a_plan_prints_as_table_json_and_html_and_has_a_digest(firm: Firm) -> None:
    firm.change(brakes=Brakes(max_changes=1))
    firm.desire([invoice("INV_1", "<b>Acme</b>"), invoice("INV_2", _hold_reason="locked"), invoice("INV_3")])
    plan = firm.engine().plan()
    assert "2 changes are more than max_changes 1" in plan.to_text()
    assert "+ sync_shelf__invoice INV_1" in plan.to_text()
    assert "      money.total:  -> 10.50" in plan.to_text()
    told = json.loads(plan.to_json())
    assert (told["digest"], told["syncs"][0]["create"], told["syncs"][0]["held"]) == (plan.digest, 2, 1)
    assert told["syncs"][0]["amounts"]["create"] == {"EUR": "21"}
    assert "&lt;b&gt;Acme" in plan.to_html()
    assert "<b>Acme" not in plan.to_html()
    assert firm.engine().plan().digest == plan.digest
    firm.desire([invoice("INV_3"), invoice("INV_2", _hold_reason="locked"), invoice("INV_1", "<b>Acme</b>")])
    assert firm.engine().plan().digest == plan.digest, "the order of rows is not a change"
    firm.desire([invoice("INV_1", "<b>Acme</b>"), invoice("INV_2", _hold_reason="locked"), invoice("INV_3", "x")])
    assert firm.engine().plan().digest != plan.digest


def test_planning_changes_nothing_and_calls_nobody(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])

    def nobody(connection: str, platform: str) -> Shelf:
        raise AssertionError("a plan calls no platform")

    engine = Engine(journal=firm.journal, snapshot=firm.snapshot, targets=nobody, syncs=firm.syncs)
    assert engine.plan().writes == 1
    assert firm.journal.revision(INVOICE.name) == 0
    assert firm.journal.counts() == {}


def test_a_plan_that_is_no_longer_true_is_not_applied(firm: Firm) -> None:
    firm.desire([invoice("INV_1")])
    plan = firm.engine().plan()
    firm.desire([invoice("INV_1", "changed since")])
    report = firm.engine().apply(plan).syncs[0]
    assert "plan again" in (report.error or "")
    assert firm.world.writes == 0
    assert firm.engine().apply(firm.engine().plan()).syncs[0].created == 1
    assert StalePlan.__doc__


def test_the_conservation_law_is_checked_on_every_plan() -> None:
    SyncPlan(sync="s", platform="p", object="o", desired=3, unchanged=1, actions={"create": 1, "held": 1}).check()
    with pytest.raises(ConservationBroken, match="3 desired, but 1 unchanged"):
        SyncPlan(sync="s", platform="p", object="o", desired=3, unchanged=1, actions={"create": 1}).check()


def test_entries_keep_the_order_of_connection_and_key(firm: Firm) -> None:
    firm.desire([invoice(key) for key in ("INV_2", "INV_10", "INV_1")])
    firm.run()
    assert [key for _, key, _ in firm.world.log] == ["INV_1", "INV_10", "INV_2"]


def test_times_reach_the_target_as_utc(firm: Firm) -> None:
    firm.change(fields={"seen_at": "seenAt"})
    firm.desire([invoice("INV_1", seen_at="2026-01-01 12:00:00+02")], columns={**COLUMNS, "seen_at": "timestamptz"})
    assert firm.run().settled == 1
    (record,) = firm.world.records.values()
    assert record["seenAt"] == datetime(2026, 1, 1, 10, tzinfo=UTC)
