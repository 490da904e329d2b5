"""The target against a real Tryton: what it makes, what it finds, what it says when Tryton refuses."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import date
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
import yaml

from platforms.kit.errors import AskPerson, Refused
from platforms.tryton.client import TrytonClient
from platforms.tryton.server import RunningServer
from reverse_etl.targets.base import TARGET_ID, KeyKind, Outcome, Promise, Receipt, Target, Verb, WriteRow, target_for
from reverse_etl.targets.tryton import GUARD, TrytonTarget
from reverse_etl.values import same

pytestmark = pytest.mark.tryton

SYNCS = Path(__file__).parents[3] / "dbt_project" / "models" / "reverse_etl" / "tryton" / "_tryton__syncs.yml"
NUMBERS = itertools.count(1)
KEY_FIELDS = {"party.party": "code", "project.work": "comment", "account.invoice": "reference"}
TIME = {
    "product.code": "SVC-TIME",
    "quantity": D("1.25"),
    "unit_price": D("120.5"),
    "description": "Work",
    "note": "k:1",
}


@pytest.fixture
def target(client: TrytonClient) -> Target:
    return target_for("tryton")(client, "tryton")


def row(key: str, fields: Mapping[str, Any], verb: Verb = Verb.create, **more: Any) -> WriteRow:
    return WriteRow(entry_id=f"e-{key}", key=key, verb=verb, fields=fields, **more)


def key(kind: str = "K") -> str:
    return f"{kind}_{next(NUMBERS):04d}"


def write(target: Target, object: str, *rows: WriteRow) -> list[Receipt]:
    receipts = target.write(object, rows[0].verb, rows, key_field=KEY_FIELDS.get(object, TARGET_ID), batch_id="b")
    by_id = {receipt.entry_id: receipt for receipt in receipts}
    assert sorted(by_id) == sorted(r.entry_id for r in rows)
    return [by_id[r.entry_id] for r in rows]


def make(target: Target, object: str, row: WriteRow) -> str:
    (receipt,) = write(target, object, row)
    assert receipt.outcome is Outcome.done, receipt.message
    return str(receipt.target_id)


def customer(**more: Any) -> dict[str, Any]:
    return {
        "name": "Acme", "address.street": "Coolsingel 1", "address.postal_code": "3011 AD", "address.city": "Rotterdam",
        "address.country.code": "NL", "contact.email": "billing@acme.example", "identifier.eu_vat": "BE0897290877",
        "customer_payment_term.name": "Net 45", **more,
    }  # fmt: skip


def project(party: str, **more: Any) -> dict[str, Any]:
    return {"name": "Migration", "type": "project", "party": party, "project_invoice_method": "manual", **more}


def invoice(party: str, **more: Any) -> dict[str, Any]:
    return {"party": party, "currency.code": "EUR", "invoice_date": date(2026, 3, 31), "lines": [TIME], **more}


@pytest.fixture
def party(target: Target) -> str:
    return make(target, "party.party", row(key("P"), customer()))


def held(target: Target, object: str, wanted: WriteRow) -> None:
    """What is found by key and by id is what was sent."""
    for field, asked in ((KEY_FIELDS[object], wanted.key), (TARGET_ID, wanted.target_id or "")):
        if asked:
            (there,) = target.find(object, field, [asked], list(wanted.fields))[asked]
            different = {
                name: (value, there.fields[name])
                for name, value in wanted.fields.items()
                if name in there.fields and not same(value, there.fields[name])
            }
            assert different == {}


def test_the_promises(target: Target) -> None:
    for object in KEY_FIELDS:
        assert target.capability(object).promise is Promise.exactly_once
    assert target.capability("sale.opportunity").key_kind is KeyKind.target_id
    with pytest.raises(Refused, match=r"there are party\.party"):
        target.capability("res.user")


# -- parties -----------------------------------------------------------------------------------------------------------


def test_a_party_is_made_with_address_number_and_mail_and_found_as_sent(target: Target) -> None:
    wanted = row(key("P"), customer())
    id = make(target, "party.party", wanted)
    held(target, "party.party", WriteRow(**{**wanted.__dict__, "target_id": id}))


def test_parts_of_a_party_are_changed_where_they_are_made_where_missing_and_emptied(
    target: Target, client: TrytonClient
) -> None:
    code = key("P")
    id = make(target, "party.party", row(code, customer()))
    fields = {
        "address.street": "Blaak 7", "contact.email": None, "contact.phone": "+31 10 1234567", "name": "Acme BV",
        "identifier.eu_vat": "NL820646660B01",
    }  # fmt: skip
    changed = row(code, fields, Verb.update, target_id=id)
    for _ in range(2):  # twice does no harm
        assert write(target, "party.party", changed)[0].outcome is Outcome.done
    held(target, "party.party", changed)
    for model in ("party.address", "party.contact_mechanism", "party.identifier"):
        assert client.search_count(model, [["party", "=", id]]) == 1


def test_a_code_that_is_there_already_is_told_and_the_rest_of_the_batch_is_sent_again(target: Target) -> None:
    code = key("P")
    make(target, "party.party", row(code, {"name": "First"}))
    old, new = write(target, "party.party", row(code, {"name": "Second"}), row(key("P"), {"name": "New"}))
    assert (old.outcome, new.outcome) == (Outcome.conflict, Outcome.retry)
    assert target.find("party.party", "code", [new.entry_id[2:]], ()) == {new.entry_id[2:]: ()}


def test_one_bad_party_in_the_middle_refuses_the_batch_and_is_named_when_it_is_alone(
    target: Target, server: RunningServer
) -> None:
    rows = [row(key("P"), customer(name=f"N{n}")) for n in range(5)]
    rows[2] = row(rows[2].key, customer(**{"identifier.eu_vat": "BE123"}))
    with pytest.raises(Refused):
        write(target, "party.party", *rows)
    assert server.query("SELECT count(*) FROM party_party WHERE code IN (?, ?)", [rows[0].key, rows[4].key]) == [(0,)]
    (refused,) = write(target, "party.party", rows[2])
    assert refused.outcome is Outcome.refused
    assert "BE123" in refused.message


def test_a_value_that_names_nothing_is_told_without_a_write(target: Target) -> None:
    before = target.calls()
    bad, good = write(
        target,
        "party.party",
        row(key("P"), customer(**{"customer_payment_term.name": "Net 1"})),
        row(key("P"), customer()),
    )
    assert good.outcome is Outcome.done
    assert bad.outcome is Outcome.ask_person
    assert "Net 1" in bad.message
    assert target.calls().since(before).writes == 1


def test_a_deactivated_party_is_found_and_told_when_it_cannot_be_changed(target: Target, admin: TrytonClient) -> None:
    code = key("P")
    id = make(target, "party.party", row(code, customer()))
    admin.write("party.party", [([id], {"active": False})])
    assert [f.target_id for f in target.find("party.party", "code", [code], ["name"])[code]] == [id]
    (told,) = write(target, "party.party", row(code, {"name": "New"}, Verb.update, target_id=id))
    assert told.outcome is Outcome.ask_person
    assert "is deactivated. Finance decides" in told.message


def test_a_record_that_is_gone_is_told(target: Target) -> None:
    (told,) = write(target, "party.party", row("999999", {"name": "New"}, Verb.update, target_id="999999"))
    assert "There is no party.party 999999 any more" in told.message


# -- projects ----------------------------------------------------------------------------------------------------------


def test_a_project_with_tasks_and_a_task_of_its_own(target: Target, client: TrytonClient, party: str) -> None:
    tasks = [{"name": "Build", "product.code": "ROLE-CONSULTANT", "list_price": D("135"), "timesheet_available": True}]
    wanted = row(key("PRJ"), project(party, tasks=tasks, comment="Sold in March"))
    id = make(target, "project.work", wanted)
    held(target, "project.work", WriteRow(**{**wanted.__dict__, "target_id": id}))
    [task] = client.search_read("project.work", [["parent", "=", id]], ["name", "type", "timesheet_works", "product"])
    assert (task["name"], task["type"], len(task["timesheet_works"])) == ("Build", "task", 1)
    more = row(key("TASK"), {"name": "Test", "type": "task", "parent": id, "effort_duration": D("3600")})
    held(target, "project.work", WriteRow(**{**more.__dict__, "target_id": make(target, "project.work", more)}))


def test_people_may_write_below_the_key_and_a_changed_text_keeps_it(
    target: Target, admin: TrytonClient, party: str
) -> None:
    ours = key("PRJ")
    id = make(target, "project.work", row(ours, project(party)))
    [now] = admin.read("project.work", [id], ["comment"])
    admin.write("project.work", [([id], {"comment": f"{now['comment']}\nCall Mia first."})])
    (there,) = target.find("project.work", "comment", [ours], ["comment", "name"])[ours]
    assert there.fields == {"comment": "Call Mia first.", "name": "Migration"}
    write(target, "project.work", row(ours, {"comment": "New text"}, Verb.update, target_id=id))
    assert admin.read("project.work", [id], ["comment"])[0]["comment"] == f"{ours}\nNew text"


def test_a_key_is_not_taken_for_one_that_begins_like_it(target: Target, party: str) -> None:
    ours = key("PRJ")
    make(target, "project.work", row(f"{ours}0", project(party)))
    make(target, "project.work", row(ours.replace("_", "X"), project(party)))
    assert target.find("project.work", "comment", [ours], ()) == {ours: ()}


def test_a_deactivated_customer_gets_neither_project_nor_invoice(
    target: Target, admin: TrytonClient, party: str
) -> None:
    admin.write("party.party", [([party], {"active": False})])
    for object, fields in (("project.work", project(party)), ("account.invoice", invoice(party))):
        (told,) = write(target, object, row(key(), fields))
        assert told.outcome is Outcome.ask_person
        assert "Party Acme is deactivated. Finance decides" in told.message


# -- invoices ----------------------------------------------------------------------------------------------------------


def test_an_invoice_is_filled_in_as_the_screens_would_and_found_as_sent(
    target: Target, client: TrytonClient, party: str
) -> None:
    fixed = {
        "product.code": "SVC-FIXED",
        "quantity": D(1),
        "unit_price": D("1000"),
        "description": "Step",
        "note": "k:m:1",
    }
    wanted = row(key("INV"), invoice(party, lines=[TIME, fixed], description="March"))
    id = make(target, "account.invoice", wanted)
    held(target, "account.invoice", WriteRow(**{**wanted.__dict__, "target_id": id}))
    names = [
        "state",
        "untaxed_amount",
        "tax_amount",
        "total_amount",
        "journal.type",
        "account.type.receivable",
        "payment_term.name",
    ]
    [made] = client.read("account.invoice", [id], names)
    assert (made["state"], made["payment_term."]["name"], made["journal."]["type"]) == ("draft", "Net 45", "revenue")
    # 1.25 h at 120.50 are 150.625, which Tryton rounds half to even; 21 % of 1,150.62 are 241.63.
    assert (made["untaxed_amount"], made["tax_amount"], made["total_amount"]) == (
        D("1150.62"),
        D("241.63"),
        D("1392.25"),
    )
    units = client.search_read("account.invoice.line", [["invoice", "=", id]], ["unit.name", "account.type.revenue"])
    assert {line["unit."]["name"] for line in units} == {"Hour", "Unit"}


def post(admin: TrytonClient, invoice: str) -> None:
    """As a person posts: a question (due already) is answered with yes."""
    while True:
        try:
            admin.press("account.invoice", "post", [invoice])
            return
        except AskPerson as question:
            if question.code != "UserWarning":
                raise
            admin.call("res.user.warning", "skip", question.record, False, idempotent=True)


def test_finance_can_post_what_was_made(target: Target, admin: TrytonClient, party: str) -> None:
    id = make(target, "account.invoice", row(key("INV"), invoice(party)))
    post(admin, id)
    assert admin.read("account.invoice", [id], ["state"])[0]["state"] == "posted"
    (told,) = write(target, "account.invoice", row("i", {"party": party}, Verb.update, target_id=id))
    assert told.outcome is Outcome.ask_person
    assert "is posted and cannot be changed any more. Finance decides" in told.message


def test_lines_of_a_draft_are_replaced(target: Target, server: RunningServer, party: str) -> None:
    id = make(target, "account.invoice", row(key("INV"), invoice(party)))
    changed = row("i", {"lines": [{**TIME, "quantity": D(2)}, TIME], "description": "New"}, Verb.update, target_id=id)
    assert write(target, "account.invoice", changed)[0].outcome is Outcome.done
    assert server.query("SELECT quantity FROM account_invoice_line WHERE invoice = ? ORDER BY id", [id]) == [
        (2.0,),
        (1.25,),
    ]
    held(target, "account.invoice", WriteRow(**{**changed.__dict__, "key": "", "target_id": id}))


def test_a_line_must_come_to_the_amount_that_is_due(target: Target, party: str) -> None:
    wanted = row(key("INV"), invoice(party, lines=[{**TIME, "amount": D("150.62")}]))
    held(
        target, "account.invoice", WriteRow(**{**wanted.__dict__, "target_id": make(target, "account.invoice", wanted)})
    )
    (told,) = write(target, "account.invoice", row(key("INV"), invoice(party, lines=[{**TIME, "amount": D("150.63")}])))
    assert told.outcome is Outcome.ask_person
    assert "comes to 150.62 in Tryton, but 150.63 are due" in told.message


def test_a_batch_of_invoices_is_one_write_and_few_reads(target: Target, server: RunningServer, party: str) -> None:
    make(target, "account.invoice", row(key("INV"), invoice(party)))  # knows accounts and products now
    rows = [row(key("INV"), invoice(party)) for _ in range(25)]
    before = target.calls()
    assert {receipt.outcome for receipt in write(target, "account.invoice", *rows)} == {Outcome.done}
    spent = target.calls().since(before)
    assert spent.writes == target.call_floor("account.invoice", Verb.create, 25) == 1
    assert spent.reads <= 5, "party, address, period, guard, and the look for the keys"


def test_a_reference_that_is_there_already_is_told_and_the_others_are_made(target: Target, party: str) -> None:
    there = row(key("INV"), invoice(party))
    make(target, "account.invoice", there)
    old, new = write(target, "account.invoice", there, row(key("INV"), invoice(party)))
    assert (old.outcome, new.outcome) == (Outcome.conflict, Outcome.done)


def test_a_closed_period_is_told_before_there_is_a_draft(target: Target, admin: TrytonClient, party: str) -> None:
    period = admin.search("account.period", [["start_date", "=", date(2025, 5, 1)]])
    admin.press("account.period", "close", period)
    late, good = write(
        target, "account.invoice",
        row(key("INV"), invoice(party, invoice_date=date(2025, 5, 20))), row(key("INV"), invoice(party)),
    )  # fmt: skip
    assert good.outcome is Outcome.done
    assert late.outcome is Outcome.ask_person
    assert "Period 2025-05 is closed. Finance decides: reopen period 2025-05" in late.message
    (never,) = write(target, "account.invoice", row(key("INV"), invoice(party, invoice_date=date(2031, 1, 1))))
    assert "No period of Tryton covers 2031-01-01" in never.message


def test_a_missing_account_is_told(target: Target, admin: TrytonClient, client: TrytonClient, party: str) -> None:
    names = ["default_account_receivable", "default_category_account_revenue"]
    [books] = admin.read("account.configuration", ["1"], names)
    admin.write("account.configuration", [(["1"], {"default_account_receivable": None})])
    try:
        (told,) = write(target_for("tryton")(client, "t"), "account.invoice", row(key("INV"), invoice(party)))
    finally:
        admin.write("account.configuration", [(["1"], {name: books[name] for name in names})])
    assert "There is no receivable account for Acme" in told.message
    (line,) = write(
        target, "account.invoice", row(key("INV"), invoice(party, lines=[{"quantity": D(1), "unit_price": D(1)}]))
    )
    assert "There is no revenue account" in line.message


# -- the guard ---------------------------------------------------------------------------------------------------------


class Late:
    """A client whose creates are lost on the way: nobody hears of them, until `arrive` carries them out."""

    def __init__(self, client: TrytonClient) -> None:
        self.client = client
        self.lost: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def create(self, model: str, values: Any, *, context: Any = None) -> list[str]:
        from platforms.kit.errors import Uncertain

        self.lost.append((model, values, context))
        raise Uncertain("nobody answered")

    def arrive(self) -> str:
        model, values, context = self.lost.pop()
        try:
            self.client.create(model, values, context=context)
        except Refused as error:
            return error.code
        return "done"


@pytest.mark.parametrize("object", ["project.work", "account.invoice"])
@pytest.mark.parametrize("moment", ["before the look", "after the look", "after the second send"])
def test_a_create_that_arrives_late_never_makes_a_second_record(
    target: Target, client: TrytonClient, server: RunningServer, party: str, object: str, moment: str
) -> None:
    from platforms.kit.errors import Uncertain

    make(target, object, row(key(), {"project.work": project, "account.invoice": invoice}[object](party)))
    wanted = row(key("L"), {"project.work": project, "account.invoice": invoice}[object](party))
    late = Late(client)
    with pytest.raises(Uncertain):
        write(target_for("tryton")(late, "tryton"), object, wanted)
    if moment == "before the look":
        assert late.arrive() == "done"
    found = target.read_back(
        object, [wanted], key_field=KEY_FIELDS[object], fields=["name"] if object == "project.work" else []
    )
    assert bool(found[wanted.entry_id]) is (moment == "before the look")
    if moment == "after the look":
        assert late.arrive() == "ConcurrencyException"
    (receipt,) = write(target, object, wanted)
    assert receipt.outcome is (Outcome.conflict if moment == "before the look" else Outcome.done)
    if moment == "after the second send":
        assert late.arrive() == "ConcurrencyException"
    assert len(target.find(object, KEY_FIELDS[object], [wanted.key], ())[wanted.key]) == 1


def test_there_is_one_guard_for_projects_however_many_targets_there_were(
    client: TrytonClient, server: RunningServer, party: str
) -> None:
    for _ in range(3):
        make(target_for("tryton")(client, "tryton"), "project.work", row(key("PRJ"), project(party)))
    assert server.query("SELECT count(*) FROM project_work WHERE comment LIKE ?", [f"{GUARD}%"]) == [(1,)]


def test_a_user_without_rights_stops_the_connection(server: RunningServer, admin: TrytonClient) -> None:
    [rule] = admin.create(
        "ir.model.access",
        [
            {
                "model": "party.party",
                "group": None,
                "perm_read": True,
                "perm_write": False,
                "perm_create": False,
                "perm_delete": False,
            }
        ],
    )
    admin_groups = admin.search("res.group", [["name", "=", "Party Administration"]])
    user = admin.search("res.user", [["login", "=", "tieout"]])
    admin.write("res.user", [(user, {"groups": [["remove", admin_groups]]})])
    try:
        with server.client() as client, pytest.raises(AskPerson, match=r"may not create party\.party"):
            write(target_for("tryton")(client, "tryton"), "party.party", row(key("P"), {"name": "x"}))
    finally:
        admin.write("res.user", [(user, {"groups": [["add", admin_groups]]})])
        admin.delete("ir.model.access", [rule])


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_a_deal_is_changed_by_id(target: Target, admin: TrytonClient, party: str) -> None:
    [deal] = admin.create("sale.opportunity", [{"party": party, "description": "Deal"}])
    (done,) = write(target, "sale.opportunity", row(deal, {"comment": "Project 7"}, Verb.update, target_id=deal))
    assert done.outcome is Outcome.done
    assert target.find("sale.opportunity", TARGET_ID, [deal], ["comment"])[deal][0].fields == {"comment": "Project 7"}


def test_a_won_or_lost_deal_carries_our_note_once(target: Target, admin: TrytonClient, party: str) -> None:
    employee = admin.search("company.employee", [])[0]
    [deal] = admin.create("sale.opportunity", [{"party": party, "description": "Deal", "employee": employee}])
    admin.press("sale.opportunity", "opportunity", [deal])
    admin.press("sale.opportunity", "lost", [deal])
    admin.write("sale.opportunity", [([deal], {"notes": [["create", [{"message": "Tieout is great, says Mia"}]]]})])
    for text in ("Invoiced 100", "Invoiced 100", "Invoiced 200\nPaid 100"):
        changed = row(deal, {"notes.tieout": text}, Verb.update, target_id=deal)
        assert write(target, "sale.opportunity", changed)[0].outcome is Outcome.done
        (there,) = target.find("sale.opportunity", TARGET_ID, [deal], ["notes.tieout"])[deal]
        assert there.fields == {"notes.tieout": text}
        assert admin.search_count("ir.note", [["resource", "=", f"sale.opportunity,{deal}"]]) == 2
    assert target.fields_exist("sale.opportunity", ["notes.tieout", "notes.mine"]) == {
        "notes.tieout": True,
        "notes.mine": False,
    }


def test_a_record_that_is_taken_over_keeps_what_people_gave_it(target: Target, admin: TrytonClient) -> None:
    [party] = admin.create("party.party", [{"name": "Known"}])
    [given] = admin.read("party.party", [party], ["code"])
    adopted = row(key("P"), {}, Verb.update, target_id=party, adopt=True)
    assert isinstance(target, TrytonTarget)
    assert target.keys_of_others("party.party", [adopted], key_field="code") == {adopted.entry_id: given["code"]}
    before = target.calls()
    assert write(target, "party.party", adopted)[0].outcome is Outcome.done
    assert target.calls().since(before).writes == 0
    [work] = admin.create(
        "project.work", [{"name": "W", "type": "project", "party": party, "comment": "Call Mia first."}]
    )
    ours = row(key("PRJ"), {}, Verb.update, target_id=work, adopt=True)
    for _ in range(2):
        assert write(target, "project.work", ours)[0].outcome is Outcome.done
    assert admin.read("project.work", [work], ["comment"])[0]["comment"] == f"{ours.key}\nCall Mia first."
    assert [f.target_id for f in target.find("project.work", "comment", [ours.key], ())[ours.key]] == [work]


def test_a_number_of_no_type_is_not_checked(target: Target) -> None:
    wanted = row(key("P"), {"name": "Abroad", "identifier.unspecified": "CHE-123"})
    held(target, "party.party", WriteRow(**{**wanted.__dict__, "target_id": make(target, "party.party", wanted)}))


def test_fields_that_exist_and_may_be_written(target: Target) -> None:
    asked = [
        "name",
        "code",
        "address.street",
        "address.country.code",
        "contact.email",
        "contact.pigeon",
        "identifier.eu_vat",
        "nosuch",
    ]
    assert [name for name, there in target.fields_exist("party.party", asked).items() if not there] == [
        "contact.pigeon",
        "nosuch",
    ]
    asked = ["comment", "number", "tasks", "party.code", "effort_duration"]
    assert [name for name, there in target.fields_exist("project.work", asked).items() if not there] == ["number"]
    assert target.fields_exist("account.invoice", ["lines", "reference", "state"]) == {
        "lines": True,
        "reference": True,
        "state": False,
    }
    assert target.fields_exist("timesheet.line", ["invoice_line"]) == {"invoice_line": False}


def test_every_field_that_the_syncs_write_exists(target: Target) -> None:
    models = yaml.safe_load(SYNCS.read_text(encoding="utf-8"))["models"]
    syncs = [model["config"]["meta"]["sync"] for model in models if "sync" in model["config"].get("meta", {})]
    assert {sync["object"] for sync in syncs} <= {*KEY_FIELDS, "sale.opportunity"}
    for sync in syncs:
        assert sync["key"]["field"] == KEY_FIELDS.get(sync["object"], "id")
        there = target.fields_exist(sync["object"], list(sync["fields"].values()))
        assert [name for name, exists in there.items() if not exists] == [], sync["object"]


def test_a_link_opens_the_record_in_the_web_client(target: Target, server: RunningServer) -> None:
    assert target.link("party.party", "4") == f"{server.url}/#{server.database}/model/party.party/4"
