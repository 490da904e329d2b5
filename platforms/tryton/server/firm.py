"""A small firm that lives in Tryton: it sells, works, invoices and is paid, through JSON-RPC and Tryton's own rules.

    populate(client, seed, start=date(2026, 9, 1))                  customers and opportunities in every state
    advance(client, seed, since=date(2026, 9, 7), days=7)           deals are won, people log hours on projects' tasks
    finance(client, seed, on=date(2026, 10, 31))                    drafts are posted, payments come in, one is credited

`client` is the administrator's (`RunningServer.admin`), who does what people would do. Everything is drawn from the
seed and from names and dates, never from ids or the clock: the same calls make the same firm, and a call repeated over
the same days adds nothing. `finance` needs only accounting, so it also serves a Tryton that plays no other role.

How a deal says how it is billed: by the products of its lines. Tryton's opportunity lines have no price; a product's
list price is it. SVC-* products cost 1 a unit, so their quantity is an amount in the company's currency.

    billing model       lines                                   what the firm does with it
    Time and materials  ROLE-* in hours                         hours on tasks with the role's product and price
    Fixed fee           one SVC-FIXED                           hours on tasks; nobody bills by them
    Milestone           SVC-FIXED, `note` = day it falls due    the same; each line is billed when its day has come
    Retainer            SVC-RETAINER, `note` = first of month   the same; each line is billed for its month

A deal's `reference` is the customer's purchase order, if there is one; its `description` is its name. A won deal has a
sale in state processing whose invoice and shipment methods are manual: Tryton makes no invoice of it by itself.
Projects are made by Tieout, or by a person with `start_project`; tasks that a project lacks are planned by its lead.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from platforms.kit.errors import AskPerson, Refused
from platforms.tryton.client import Record, TrytonClient

# name, country, city, postal code, identifier's type and number (their check digits are right: Tryton looks)
_CUSTOMERS: tuple[tuple[str, str, str, str, str, str], ...] = (
    ("Rijnmond Logistics BV", "NL", "Rotterdam", "3011 AA", "eu_vat", "NL004495445B01"),
    ("Sluis & Polder NV", "NL", "Utrecht", "3511 BX", "eu_vat", "NL820646660B01"),
    ("Brouwerij Dommel", "BE", "Antwerp", "2000", "eu_vat", "BE0403019261"),
    ("Maasland Kliniek", "BE", "Genk", "3600", "eu_vat", "BE0428759497"),
    ("Nordsee Windkraft GmbH", "DE", "Bremen", "28195", "eu_vat", "DE136695976"),
    ("Atelier Gaillac", "FR", "Toulouse", "31000", "eu_vat", "FR40303265045"),
    ("Éditions du Vieux Pont", "FR", "Lyon", "69001", "eu_vat", "FR23334175221"),
    ("Halland Skogs AB", "SE", "Halmstad", "302 42", "eu_vat", "SE123456789701"),
    ("Øresund Havnedrift A/S", "DK", "Copenhagen", "1050", "eu_vat", "DK13585628"),
    ("Moselle Assurances SA", "LU", "Luxembourg", "1118", "eu_vat", "LU15027442"),
    ("Saimaa Paperi Oy", "FI", "Lappeenranta", "53100", "eu_vat", "FI20774740"),
    ("Pennine Water Ltd", "GB", "Leeds", "LS1 4AP", "gb_vat", "GB980780684"),
)
_TITLES = (
    "Data platform", "Warehouse move", "Ledger clean-up", "Planning model", "Customer portal", "Tariff engine",
    "Quality dashboard", "Order intake", "Archive search", "Forecasting", "Access review", "Price study",
)  # fmt: skip
MODELS = ("Time and materials", "Fixed fee", "Milestone", "Retainer")
_ROLES = ("ROLE-CONSULTANT", "ROLE-ARCHITECT", "ROLE-ANALYST", "ROLE-PARTNER")
_TERMS = ("Net 15", "Net 30", "Net 45", "Net 60")
# What becomes of the first deals, so that every firm has each model won and each state; later ones are drawn.
_OUTCOMES = ("won", "won", "won", "won", "opportunity", "converted", "lead", "lost", "cancelled")
_PREFIX = "INV_"


@dataclass(kw_only=True)
class Report:
    """What happened, by business names. `refused` holds (reference, Tryton's own words)."""

    customers: int = 0
    deals: dict[str, int] = field(default_factory=dict)
    won: list[str] = field(default_factory=list)
    hours: Decimal = Decimal(0)
    lines: int = 0
    posted: list[str] = field(default_factory=list)
    paid: list[str] = field(default_factory=list)
    partly_paid: list[str] = field(default_factory=list)
    credited: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def _chance(seed: int, *about: object) -> random.Random:
    """A source of chance for one matter: it does not depend on what was drawn before."""
    return random.Random(":".join(map(str, (seed, *about))))


# -- selling -----------------------------------------------------------------------------------------------------------


def populate(
    client: TrytonClient, seed: int, *, start: date, customers: int = len(_CUSTOMERS), deals: int = 16
) -> Report:
    """Customers, and opportunities that began in the month from `start`: the first nine show every state and model."""
    report = Report()
    parties = _customers(client, seed, customers)
    report.customers = len(parties)
    known = {str(row["description"]) for row in client.search_read("sale.opportunity", [], ["description"])}
    for number in range(deals):
        name, outcome = _deal(client, seed, number, parties, start, known)
        if name:
            report.deals[outcome] = report.deals.get(outcome, 0) + 1
            report.won += [name] if outcome == "won" else []
    return report


def _customers(client: TrytonClient, seed: int, count: int) -> list[Record]:
    chosen = list(_CUSTOMERS[:count])
    there = {row["name"]: row for row in client.search_read("party.party", [], ["name"])}
    terms = _ids_by(client, "account.invoice.payment_term", "name")
    made = []
    for name, country, city, postal, kind, number in chosen:
        if name in there:
            continue
        chance = _chance(seed, "customer", name)
        domain = "".join(letter for letter in name.lower().split()[0] if letter.isascii() and letter.isalpha())
        made.append(
            {
                "name": name,
                "customer_payment_term": terms[chance.choice(_TERMS)],
                "addresses": [["create", [{
                    "street": f"{chance.randint(1, 180)} Kade", "postal_code": postal, "city": city,
                    "country": _country(client, country), "invoice": True,
                }]]],
                "identifiers": [["create", [{"type": kind, "code": number}]]],
                "contact_mechanisms": [["create", [
                    {"type": "email", "value": f"invoices@{domain}.example", "invoice": True},
                    {"type": "phone", "value": f"+31 10 {chance.randint(2000000, 7999999)}"},
                ]]],
            }
        )  # fmt: skip
    client.create("party.party", made)
    names = [row[0] for row in chosen]
    rows = client.search_read("party.party", [["name", "in", names]], ["name", "addresses", "customer_payment_term"])
    return sorted(rows, key=lambda row: names.index(row["name"]))


def _country(client: TrytonClient, code: str) -> str:
    found = client.search("country.country", [["code", "=", code]])
    return found[0] if found else client.create("country.country", [{"name": code, "code": code}])[0]


def _deal(
    client: TrytonClient, seed: int, number: int, parties: Sequence[Record], start: date, known: set[str]
) -> tuple[str, str]:
    chance = _chance(seed, "deal", number)
    party = chance.choice(parties)
    model = MODELS[number % len(MODELS)]
    outcome = _OUTCOMES[number] if number < len(_OUTCOMES) else chance.choice(_OUTCOMES)
    name = f"{_TITLES[number % len(_TITLES)]} {number + 1:02d} for {party['name']}"
    begun = start + timedelta(days=chance.randint(0, 27))
    lines, amount = _lines(client, chance, model, begun)
    if name in known:
        return "", ""
    employees = client.search("company.employee", [], order=[["id", "ASC"]])
    values: Record = {
        "description": name, "party": party["id"], "address": party["addresses"][0], "start_date": begun,
        "amount": amount, "payment_term": party["customer_payment_term"], "employee": chance.choice(employees),
        "conversion_probability": Decimal(chance.choice(("0.25", "0.5", "0.75"))),
        "comment": f"Billed as {model.lower()}.", "lines": [["create", lines]],
    }  # fmt: skip
    if chance.random() < 0.6:
        values["reference"] = f"PO-{chance.randint(10000, 99999)}"
    [made] = client.create("sale.opportunity", [values])
    steps = {"lead": (), "lost": ("opportunity", "lost"), "cancelled": ("cancel",)}.get(outcome, ("opportunity",))
    for button in steps:
        client.press("sale.opportunity", button, [made])
    if outcome in ("converted", "won"):
        _convert(client, made)
    if outcome == "won":
        _win(client, made)
    return name, outcome


def _lines(client: TrytonClient, chance: random.Random, model: str, begun: date) -> tuple[list[Record], Decimal]:
    """The lines of a deal of this model, and what they come to at list prices."""
    products = {
        row["code"]: row
        for row in client.search_read("product.product", [], ["code", "list_price_used", "default_uom"])
    }
    month = begun.replace(day=1)
    asked: list[tuple[str, int, str, str | None]] = []
    if model == "Time and materials":
        for role in _ROLES[: chance.randint(1, 3)]:
            asked.append((role, chance.randrange(24, 160, 8), "Work by the hour", None))
    elif model == "Fixed fee":
        asked.append(("SVC-FIXED", chance.randrange(8000, 40000, 500), "Fixed price", None))
    elif model == "Milestone":
        for part, title in enumerate(("Design", "Delivery", "Acceptance")):
            due = (begun + timedelta(days=21 * (part + 1))).isoformat()
            asked.append(("SVC-FIXED", chance.randrange(3000, 15000, 250), title, due))
    else:
        monthly = chance.randrange(1500, 6000, 100)
        for _ in range(chance.randint(3, 6)):
            asked.append(("SVC-RETAINER", monthly, f"Retainer {month:%Y-%m}", month.isoformat()))
            month = (month + timedelta(days=31)).replace(day=1)
    lines = [
        {
            "product": products[code]["id"], "quantity": Decimal(quantity), "unit": products[code]["default_uom"],
            "description": description, "note": note, "sequence": position,
        }
        for position, (code, quantity, description, note) in enumerate(asked, 1)
    ]  # fmt: skip
    amount = sum((Decimal(quantity) * products[code]["list_price_used"] for code, quantity, _, _ in asked), Decimal(0))
    return lines, amount


def _convert(client: TrytonClient, opportunity: str) -> None:
    """The customer got a quotation: a sale that bills nothing by itself."""
    client.press("sale.opportunity", "convert", [opportunity])
    [row] = client.read("sale.opportunity", [opportunity], ["sales"])
    client.write("sale.sale", [(row["sales"], {"invoice_method": "manual", "shipment_method": "manual"})])
    client.press("sale.sale", "quote", row["sales"])


def _win(client: TrytonClient, opportunity: str) -> None:
    """The customer said yes. Confirming the sale makes the opportunity won."""
    [row] = client.read("sale.opportunity", [opportunity], ["sales"])
    press(client, "sale.sale", "confirm", row["sales"])


def win(client: TrytonClient, name: str) -> None:
    """Win the deal of this description, from whatever open state it is in."""
    [row] = client.search_read("sale.opportunity", [["description", "=", name]], ["state"])
    if row["state"] == "lead":
        client.press("sale.opportunity", "opportunity", [row["id"]])
    if row["state"] in ("lead", "opportunity"):
        _convert(client, row["id"])
    if row["state"] != "won":
        _win(client, row["id"])


# -- working -----------------------------------------------------------------------------------------------------------


def advance(client: TrytonClient, seed: int, *, since: date, days: int, wins: float = 0.2) -> Report:
    """The days from `since` on: some open deals are won, and people log hours on the working days.

    `wins` is the chance of each open deal to be won in these days. Hours go onto tasks that take them, of projects that
    are not done: at most eight a day and person, in quarters, noted with what was done. Where a task has an effort, its
    progress follows the hours, and it is done when they are used up.
    """
    report = Report()
    open_deals = client.search_read(
        "sale.opportunity", [["state", "in", ["opportunity", "converted"]]], ["description"], order=[["id", "ASC"]]
    )
    for row in open_deals:
        if _chance(seed, "win", row["description"], since).random() < wins:
            win(client, row["description"])
            report.won.append(row["description"])
    plan_tasks(client)
    tasks = _open_tasks(client)
    people = _people(client)
    for offset in range(days):
        day = since + timedelta(days=offset)
        if day.weekday() < 5:
            _log(client, seed, day, tasks, people, report)
    _progress(client, tasks)
    return report


def start_project(client: TrytonClient, name: str, party: str, *, comment: str = "") -> str:
    """A project as a person would start it by hand, billed by Tieout; its id. `party` is the customer's id."""
    values = {
        "name": name, "type": "project", "party": party, "project_invoice_method": "manual", "comment": comment,
    }  # fmt: skip
    return client.create("project.work", [values])[0]


def plan_tasks(client: TrytonClient) -> int:
    """Projects of customers without tasks get two from their lead; how many projects were planned."""
    products = {row["code"]: row for row in client.search_read("product.product", [], ["code", "list_price_used"])}
    domain: list[Any] = [["type", "=", "project"], ["party", "!=", None], ["children", "=", None]]
    bare = client.search("project.work", domain)
    changes = []
    for project in bare:
        tasks = [
            {
                "name": name, "type": "task", "product": products[code]["id"],
                "list_price": products[code]["list_price_used"], "timesheet_available": True,
                "effort_duration": timedelta(hours=hours),
            }
            for name, code, hours in (("Delivery", "ROLE-CONSULTANT", 120), ("Steering", "ROLE-PARTNER", 24))
        ]  # fmt: skip
        changes.append(([project], {"children": [["create", tasks]]}))
    client.write("project.work", changes)
    return len(bare)


def _open_tasks(client: TrytonClient) -> list[Record]:
    """Tasks that take hours and are not done, in an order that does not depend on ids."""
    fields = ["name", "timesheet_works", "effort_duration", "parent.name", "progress", "status.progress"]
    rows = client.search_read("project.work", [["type", "=", "task"], ["timesheet_works", "!=", None]], fields)
    taking = [row for row in rows if row["timesheet_works"] and not (row["status."] or {}).get("progress")]
    for row in taking:
        row["label"] = f"{(row['parent.'] or {}).get('name', '')} / {row['name']}"
    return sorted(taking, key=lambda row: str(row["label"]))


def _people(client: TrytonClient) -> list[tuple[str, str]]:
    rows = client.search_read("company.employee", [], ["party.name"])
    return sorted((row["party."]["name"], row["id"]) for row in rows)


def _log(
    client: TrytonClient,
    seed: int,
    day: date,
    tasks: Sequence[Record],
    people: Sequence[tuple[str, str]],
    report: Report,
) -> None:
    busy = {row["employee"] for row in client.search_read("timesheet.line", [["date", "=", day]], ["employee"])}
    lines = []
    for name, employee in people:
        chance = _chance(seed, "hours", name, day)
        if employee in busy or not tasks or chance.random() < 0.1:
            continue
        left = Decimal(8)
        for task in chance.sample(list(tasks), min(len(tasks), chance.randint(1, 3))):
            hours = min(left, Decimal(chance.randint(4, 18)) / 4)
            if hours > 0:
                left -= hours
                report.hours += hours
                lines.append(
                    {
                        "employee": employee, "work": task["timesheet_works"][0], "date": day,
                        "duration": timedelta(minutes=int(hours * 60)), "description": f"{task['name']}: {name}",
                    }
                )  # fmt: skip
    client.create("timesheet.line", lines)
    report.lines += len(lines)


def _progress(client: TrytonClient, tasks: Sequence[Record]) -> None:
    """Tasks with an effort stand where their hours say; those that used them up are done."""
    done = client.search("project.work.status", [["progress", "=", Decimal(1)]], limit=1)
    planned = {task["timesheet_works"][0]: task for task in tasks if task["effort_duration"]}
    spent: dict[str, timedelta] = {}
    for row in client.search_read("timesheet.line", [["work", "in", list(planned)]], ["work", "duration"]):
        spent[row["work"]] = spent.get(row["work"], timedelta()) + row["duration"]
    changes: list[tuple[list[str], Record]] = []
    for work, duration in spent.items():
        share = min(Decimal(1), Decimal(duration // timedelta(minutes=1)) / _minutes(planned[work]["effort_duration"]))
        values: Record = {"progress": share.quantize(Decimal("0.01"))}
        if share == 1 and done:
            values["status"] = done[0]
        changes.append(([planned[work]["id"]], values))
    client.write("project.work", changes)


def _minutes(duration: timedelta) -> Decimal:
    return Decimal(max(1, duration // timedelta(minutes=1)))


# -- invoicing and being paid ------------------------------------------------------------------------------------------


def finance(
    client: TrytonClient, seed: int, *, on: date, prefix: str = _PREFIX, credit: float = 0.05, pay: bool = True
) -> Report:
    """What the finance department does on a day: posts what Tieout drafted, books what came in, credits a mistake.

    Drafts whose reference starts with `prefix` are posted in the order of their dates (Tryton numbers without going
    back: one that comes late is dated like the last one posted). What Tryton refuses stays a draft and is reported.
    Six in ten invoices are paid in full 5 to 40 days after their date, if that is not after `on`; two in ten in two
    parts; the others not at all. Of the unpaid ones, `credit` is the chance to be cancelled by a credit note.
    """
    report = Report()
    drafts = client.search_read(
        "account.invoice", [["type", "=", "out"], ["state", "=", "draft"], ["reference", "like", f"{prefix}%"]],
        ["reference", "invoice_date"],
    )  # fmt: skip
    for draft in sorted(drafts, key=lambda row: (row["invoice_date"] or on, row["reference"], int(row["id"]))):
        try:
            _post(client, draft["id"], draft["invoice_date"], on)
            report.posted.append(draft["reference"])
        except Refused as error:
            report.refused.append((draft["reference"], error.message))
    if pay:
        _settle(client, seed, on, prefix, credit, report)
    return report


def _post(client: TrytonClient, invoice: str, dated: date | None, on: date) -> None:
    last = client.search_read(
        "account.invoice", [["type", "=", "out"], ["number", "!=", None]], ["invoice_date"], limit=1,
        order=[["invoice_date", "DESC"]],
    )  # fmt: skip
    wanted = dated or on
    if last and last[0]["invoice_date"].year == wanted.year:
        wanted = max(wanted, last[0]["invoice_date"])
    if wanted != dated:
        client.write("account.invoice", [([invoice], {"invoice_date": wanted})])
    press(client, "account.invoice", "post", [invoice])


def _settle(client: TrytonClient, seed: int, on: date, prefix: str, credit: float, report: Report) -> None:
    fields = ["reference", "invoice_date", "amount_to_pay", "total_amount"]
    domain = [["type", "=", "out"], ["state", "=", "posted"], ["reference", "like", f"{prefix}%"]]
    rows = client.search_read("account.invoice", domain, fields)
    for row in sorted(rows, key=lambda row: (row["invoice_date"], row["reference"], int(row["id"]))):
        chance = _chance(seed, "payment", row["reference"])
        fate, days = chance.random(), chance.randint(5, 40)
        first, second = (row["invoice_date"] + timedelta(days=after) for after in (days, days + 20))
        untouched = row["amount_to_pay"] == row["total_amount"]
        if fate >= 0.8:
            if untouched and chance.random() < credit:
                credit_note(client, row["reference"])
                report.credited.append(row["reference"])
        elif fate < 0.6 and first <= on:
            register_payment(client, row["reference"], on=first)
            report.paid.append(row["reference"])
        elif fate >= 0.6 and untouched and first <= on:
            half = (row["total_amount"] / 2).quantize(Decimal("0.01"))
            register_payment(client, row["reference"], on=first, amount=half)
            report.partly_paid.append(row["reference"])
        elif fate >= 0.6 and not untouched and second <= on:
            register_payment(client, row["reference"], on=second)
            report.paid.append(row["reference"])


def press(client: TrytonClient, model: str, button: str, ids: Sequence[str]) -> None:
    """Press a button as a person who reads Tryton's questions and says yes to them."""
    for _ in range(10):
        try:
            client.press(model, button, ids)
            return
        except AskPerson as question:
            if question.code != "UserWarning":
                raise
            client.call("res.user.warning", "skip", question.record, False, idempotent=True)
    raise RuntimeError(f"{button} on {model} asks without end")


def _invoice(client: TrytonClient, reference: str, states: Sequence[str]) -> str:
    found = client.search("account.invoice", [["reference", "=", reference], ["state", "in", list(states)]])
    if len(found) != 1:
        raise LookupError(f"{len(found)} invoices {reference} in state {' or '.join(states)}")
    return found[0]


def post_invoice(client: TrytonClient, reference: str) -> None:
    """Post the one draft with this reference, as dated."""
    press(client, "account.invoice", "post", [_invoice(client, reference, ("draft", "validated"))])


def register_payment(client: TrytonClient, reference: str, *, on: date, amount: Decimal | None = None) -> None:
    """Book a payment of a posted invoice in its currency: all that is open, or `amount` of it."""
    invoice = _invoice(client, reference, ("posted",))
    [method] = client.search("account.invoice.payment.method", [["name", "=", "Bank"]], limit=1)
    with client.wizard("account.invoice.pay", "account.invoice", [invoice]) as wizard:
        wizard.fill(payment_method=method, date=on, **({} if amount is None else {"amount": amount}))
        wizard.choose("choice")
        if wizard.state == "ask":
            wizard.fill(type="partial")
            wizard.choose("pay")


def credit_note(client: TrytonClient, reference: str) -> None:
    """Cancel a posted, unpaid invoice by a credit note; Tryton gives it a number, and no reference."""
    with client.wizard(
        "account.invoice.credit", "account.invoice", [_invoice(client, reference, ("posted",))]
    ) as wizard:
        wizard.fill(with_refund=True)
        wizard.choose("credit")


# -- what people do that a connector has to live with ------------------------------------------------------------------


def close_period(client: TrytonClient, day: date) -> str:
    """Close the period that holds this day; its name."""
    return _turn_period(client, day, "close")


def reopen_period(client: TrytonClient, day: date) -> str:
    """Open it again."""
    return _turn_period(client, day, "reopen")


def _turn_period(client: TrytonClient, day: date, button: str) -> str:
    domain = [["start_date", "<=", day], ["end_date", ">=", day], ["type", "=", "standard"]]
    [row] = client.search_read("account.period", domain, ["name"])
    press(client, "account.period", button, [row["id"]])
    return str(row["name"])


def deactivate_party(client: TrytonClient, party: str) -> None:
    """Archive a customer by id. Tryton then refuses every change of it, and of nothing else."""
    client.write("party.party", [([party], {"active": False})])


def activate_party(client: TrytonClient, party: str) -> None:
    """Bring it back."""
    client.write("party.party", [([party], {"active": True})])


def remove_receivable_account(client: TrytonClient) -> str | None:
    """Take away the account that invoices are receivable on; what it was, for `restore_receivable_account`."""
    [row] = client.read("account.configuration", ["1"], ["default_account_receivable"])
    client.write("account.configuration", [(["1"], {"default_account_receivable": None})])
    before: str | None = row["default_account_receivable"]
    return before


def restore_receivable_account(client: TrytonClient, account: str | None) -> None:
    """Put it back."""
    client.write("account.configuration", [(["1"], {"default_account_receivable": account})])


def trial_balance(client: TrytonClient) -> Mapping[str, tuple[Decimal, Decimal]]:
    """Posted debit and credit per account name, in the company's currency; the sums of both sides agree."""
    totals: dict[str, tuple[Decimal, Decimal]] = {}
    for page in client.pages(
        "account.move.line", ["debit", "credit", "account.name"], domain=[["move.state", "=", "posted"]]
    ):
        for row in page:
            name = str(row["account."]["name"])
            debit, credit = totals.get(name, (Decimal(0), Decimal(0)))
            totals[name] = (debit + row["debit"], credit + row["credit"])
    return totals


def receivable(client: TrytonClient) -> Decimal:
    """What customers owe by the ledger: the balance of all receivable accounts."""
    lines = client.search_read(
        "account.move.line", [["account.type.receivable", "=", True], ["move.state", "=", "posted"]],
        ["debit", "credit"],
    )  # fmt: skip
    return sum((row["debit"] - row["credit"] for row in lines), Decimal(0))


def _ids_by(client: TrytonClient, model: str, name: str) -> dict[str, str]:
    return {row[name]: row["id"] for row in client.search_read(model, [], [name])}
