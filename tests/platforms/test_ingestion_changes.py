"""The probe sees what a sensor must act upon, in as few calls as promised, and goes quiet once it was read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion import pipelines
from tests.platforms.kantata.firm import build_firm
from tests.platforms.netsuite.conftest import Firm as Books
from tests.unit.ingestion.support import Desk


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk = Desk(request.param, tmp_path, monkeypatch)
    with desk.sandbox:
        yield desk


@pytest.mark.parametrize("desk", ["salesforce"], indirect=True)
def test_a_deal_and_a_delete_in_salesforce_are_seen_with_one_call(desk: Desk) -> None:
    account = desk.service.insert("Account", {"Name": "a"}, actor="")
    other = desk.service.insert("Account", {"Name": "b"}, actor="")
    first = pipelines.changes("salesforce", desk.home)
    assert "account" in first.tables
    assert first.since is None
    assert first.calls == 2, "one log-in, one call"
    desk.load()
    quiet = pipelines.changes("salesforce", desk.home)
    assert quiet.tables == []
    assert pipelines.changes("salesforce", desk.home).state == quiet.state
    desk.service.update("Account", account, {"Name": "changed"}, actor="")
    assert pipelines.changes("salesforce", desk.home).tables == ["account"]
    desk.load(only=["account"])
    assert not pipelines.changes("salesforce", desk.home)
    desk.service.delete("Account", other, actor="")
    assert pipelines.changes("salesforce", desk.home).tables == ["account"]


@pytest.mark.parametrize("desk", ["kantata"], indirect=True)
def test_hours_and_submissions_in_kantata_are_seen(desk: Desk) -> None:
    firm = build_firm(desk.service)
    pipelines.changes("kantata", desk.home)
    desk.load()
    assert not pipelines.changes("kantata", desk.home)
    firm.sheet(60)
    assert set(pipelines.changes("kantata", desk.home).tables) == {"time_entries", "timesheet_submissions"}


@pytest.mark.parametrize("desk", ["netsuite"], indirect=True)
def test_a_payment_of_the_same_second_in_netsuite_is_seen_with_one_call(desk: Desk) -> None:
    books = Books(desk.service)
    customer = books.customer()
    invoice = books.invoice(customer, 100)
    pipelines.changes("netsuite", desk.home)
    desk.load()
    quiet = pipelines.changes("netsuite", desk.home)
    assert (quiet.tables, quiet.calls) == ([], 2)
    books.pay(customer, 10, (invoice, 10))
    assert pipelines.changes("netsuite", desk.home).tables == ["transaction"]
