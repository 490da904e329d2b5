"""The firm itself, without any platform: its people, clients, prices and deals, each a pure function of the seed.

A deal knows from the start which stages it will pass through, when, and how it ends; the simulation only lets the days
come. Everything is found by a stable business key (a person's number, a client's number, a deal's code), never by the
order in which things were made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property, lru_cache

from platforms.world import calendars, draw, names
from platforms.world.scales import TODAY, WIN_RATE, Scale, scale_named

CENT = Decimal("0.01")

ENTITIES = ("US", "UK", "DE")
ENTITY_CURRENCY = {"US": "USD", "UK": "GBP", "DE": "EUR"}
ENTITY_COUNTRY = {"US": "US", "UK": "GB", "DE": "DE"}
CURRENCIES = ("USD", "GBP", "EUR")

TIME_AND_MATERIALS, FIXED_FEE, MILESTONE, RETAINER = "Time and Materials", "Fixed Fee", "Milestone", "Retainer"
BILLING_TYPES = ((TIME_AND_MATERIALS, 0.52), (FIXED_FEE, 0.16), (MILESTONE, 0.16), (RETAINER, 0.16))

ROLE_RATES = {
    # role: (USD, GBP, EUR an hour when the history begins, cost a USD hour, share among consultants)
    "Engagement Manager": (225, 190, 205, 105, 0.0),
    "Principal Consultant": (235, 195, 215, 112, 0.10),
    "Solution Architect": (210, 175, 190, 98, 0.16),
    "Senior Consultant": (180, 150, 165, 80, 0.30),
    "Consultant": (145, 120, 135, 58, 0.30),
    "Analyst": (110, 90, 100, 42, 0.14),
}
ROLES = tuple(ROLE_RATES)
UNPRICED_ROLE = "Data Engineer"
"""A role that was added to the PSA but to no rate card."""
OFFICE_ROLES = ("Account Executive", "Finance Analyst", "Operations Manager")

STAGES = ("Prospecting", "Qualification", "Proposal/Price Quote", "Negotiation/Review", "Closed Won", "Closed Lost")
TERMS = {"Net 15": 15, "Net 30": 30, "Net 45": 45, "Net 60": 60}
EXPENSE_CATEGORIES = ("Airfare", "Hotel", "Rail", "Meals", "Mileage", "Software")

FX = {"GBP": Decimal("1.29"), "EUR": Decimal("1.10")}
"""US dollars for one unit, around which the daily rates move."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody on the payroll. `cost` is USD an hour."""

    number: int
    name: str
    email: str
    entity: str
    role: str
    cost: Decimal
    kind: str  # consultant | lead | sales | finance | operations
    hired: date

    @property
    def country(self) -> str:
        return ENTITY_COUNTRY[self.entity]

    @property
    def bills(self) -> bool:
        return self.kind in ("consultant", "lead")


@dataclass(frozen=True, kw_only=True)
class Client:
    """A company the firm sells to. `punctuality` is the mean of days paid after the due date."""

    number: int
    name: str
    legal_name: str
    industry: str
    country: str
    city: tuple[str, str, str]
    street: str
    entity: str
    currency: str
    vat: str
    terms: str
    po_required: bool
    domain: str
    parent: int | None
    since: date
    punctuality: int
    contacts: tuple[tuple[str, str, str], ...]
    """(first name, last name, title) of each contact; the first receives invoices."""

    @property
    def invoices_to(self) -> str:
        return f"accounts.payable@{self.domain}"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a deal. `role` and `hours` say the staffing sold, `service_date` when a milestone is due."""

    product: str
    description: str
    quantity: Decimal
    unit_price: Decimal
    role: str = ""
    hours: Decimal | None = None
    service_date: date | None = None

    @property
    def total(self) -> Decimal:
        return (self.quantity * self.unit_price).quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True, kw_only=True)
class Deal:
    """An opportunity and its whole course. `moves` are (day, stage), the first on the day it was opened."""

    code: str
    name: str
    client: int
    entity: str
    currency: str
    billing: str
    lines: tuple[Line, ...]
    start: date
    end: date
    lead: int
    seller: int
    po_number: str
    moves: tuple[tuple[date, str], ...]
    staffing: tuple[tuple[str, int], ...]
    """(role, hours) that the delivery needs, whatever the billing type."""

    @property
    def amount(self) -> Decimal:
        return sum((line.total for line in self.lines), Decimal(0))

    @property
    def opened(self) -> date:
        return self.moves[0][0]

    @property
    def closed(self) -> date:
        return self.moves[-1][0]

    @property
    def won(self) -> bool:
        return self.moves[-1][1] == "Closed Won"

    def stage_on(self, day: date) -> str:
        """The stage the deal is in at the end of a day; the first one before it was opened."""
        return next((stage for when, stage in reversed(self.moves) if when <= day), self.moves[0][1])


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One seat of a project team: a role, and which part of a full day it takes."""

    role: str
    share: float


def half_up(value: Decimal) -> Decimal:
    """Rounded to cents, half up."""
    return value.quantize(CENT, ROUND_HALF_UP)


def charge(minutes: int, rate: Decimal) -> Decimal:
    """Minutes at a rate an hour, rounded half up to cents (rule I-1)."""
    return half_up(Decimal(minutes) * rate / 60)


def slots(staffing: tuple[tuple[str, int], ...], start: date, end: date) -> list[Slot]:
    """Seats that spend the sold hours between two days, each at most a full-time person of 33 client hours a week."""
    weeks = max(1.0, ((end - start).days + 1) / 7)
    seats = []
    for role, hours in staffing:
        full = hours / (weeks * 33)
        count = max(1, math.ceil(full - 0.15))
        seats += [Slot(role=role, share=min(1.0, full / count))] * count
    return seats


class Firm:
    """Everything about a firm of a seed and scale that does not depend on what happened in the platforms."""

    def __init__(self, seed: int, scale: Scale | str) -> None:
        self.seed = seed
        self.scale = scale_named(scale) if isinstance(scale, str) else scale
        self.client = lru_cache(maxsize=20_000)(self._client)
        self.deal = lru_cache(maxsize=20_000)(self._deal)

    # ---- people -----------------------------------------------------------------------------------------------

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """Everybody, consultants first, then leads, then the office."""
        scale, seed = self.scale, self.seed
        order = draw.shuffled(seed, len(names.FIRST) * len(names.LAST), "people")
        roles = [(role, numbers[4]) for role, numbers in ROLE_RATES.items() if numbers[4]]
        out = []
        for number in range(scale.people):
            first, last = divmod(order[number], len(names.LAST))
            name = f"{names.FIRST[first]} {names.LAST[last]}"
            if number < scale.consultants:
                kind, role = "consultant", draw.weighted(seed, roles, "role", number)
                if number < 2 * len(roles):  # every role exists in the smallest firm too
                    role = roles[number % len(roles)][0]
            elif number < scale.consultants + scale.leads:
                kind, role = "lead", "Engagement Manager"
            else:
                at = number - scale.consultants - scale.leads
                kind = ("sales", "finance", "operations")[at % 3]
                role = OFFICE_ROLES[at % 3]
            # The first of each kind sits in the first entity and so on, so that small firms have people everywhere.
            entity = ENTITIES[number % 3] if number % 10 < 9 else "US"
            cost = Decimal(ROLE_RATES[role][3] if role in ROLE_RATES else 50) + draw.whole(seed, -6, 8, "cost", number)
            hired = scale.first_deal
            if number % 7 == 6 and scale.months > 3 and kind == "consultant":
                hired = calendars.add_months(scale.start, draw.whole(seed, 1, scale.months - 2, "hired", number))
            out.append(
                Person(
                    number=number,
                    name=name,
                    email=f"{name.lower().replace(' ', '.')}@northlight.example",
                    entity=entity,
                    role=role,
                    cost=cost,
                    kind=kind,
                    hired=hired,
                )
            )
        return tuple(out)

    @cached_property
    def by_email(self) -> dict[str, Person]:
        return {person.email: person for person in self.people}

    @cached_property
    def leads(self) -> tuple[Person, ...]:
        return tuple(p for p in self.people if p.kind == "lead")

    @cached_property
    def sellers(self) -> tuple[Person, ...]:
        return tuple(p for p in self.people if p.kind == "sales")

    # ---- prices -----------------------------------------------------------------------------------------------

    @cached_property
    def price_versions(self) -> tuple[date, ...]:
        """Effective dates of the standard rate card, ascending; the first lies before any deal."""
        return (self.scale.first_deal - timedelta(days=28), *self.scale.price_rises)

    def price_rate(self, role: str, currency: str, version: int) -> Decimal:
        """Standard price of an hour in a version: four per cent more each time, to the next five."""
        base = ROLE_RATES[role][CURRENCIES.index(currency)]
        return Decimal(round(base * 1.04**version / 5.0) * 5)

    def rate(self, role: str, currency: str, day: date) -> Decimal:
        """Standard price of an hour on a day."""
        version = sum(1 for effective in self.price_versions if effective <= day) - 1
        return self.price_rate(role, currency, max(0, version))

    def fx(self, currency: str, day: date) -> Decimal:
        """US dollars for one unit of a currency on a day, four decimals."""
        if currency == "USD":
            return Decimal(1)
        wave = math.sin(day.toordinal() / 57 + len(currency) * ord(currency[0])) * 0.02
        noise = (draw.unit(self.seed, "fx", currency, day) - 0.5) * 0.006
        return (FX[currency] * Decimal(str(round(1 + wave + noise, 6)))).quantize(Decimal("0.0001"))

    # ---- clients ----------------------------------------------------------------------------------------------

    def clients_on(self, day: date) -> int:
        """How many clients are known on a day; numbers 0 to that less one."""
        scale = self.scale
        base = max(6, scale.accounts * 3 // 5)
        span = (TODAY - scale.first_deal).days
        return base + max(0, (day - scale.first_deal).days * (scale.accounts - base) // span)

    def _client(self, number: int) -> Client:
        seed = self.seed
        combos = len(names.CLIENT_HEAD) * len(names.CLIENT_TAIL)
        round_, at = divmod(number, combos)
        head, tail = divmod(draw.shuffled(seed, combos, "clients")[at], len(names.CLIENT_TAIL))
        word, industry = names.CLIENT_TAIL[tail]
        name = f"{names.CLIENT_HEAD[head]} {word}" + (f" {round_ + 1}" if round_ else "")
        entity = ENTITIES[number % 3]
        country = {
            "US": "US",
            "UK": "IE" if number % 12 == 7 else "GB",
            "DE": draw.weighted(seed, (("DE", 0.6), ("AT", 0.14), ("NL", 0.14), ("FR", 0.12)), "country", number),
        }[entity]
        digits = f"{draw.whole(seed, 0, 10**9 - 1, 'vat', number):09d}"
        vat = {
            "US": f"{digits[:2]}-{digits[2:]}",
            "GB": f"GB{digits}",
            "IE": f"IE{digits[:7]}{'ABCDEFGHIJ'[int(digits[8])]}",
            "DE": f"DE{digits}",
            "AT": f"ATU{digits[:8]}",
            "NL": f"NL{digits}B01",
            "FR": f"FR{digits[:2]}{digits}",
        }[country]
        slug = name.lower().replace(" ", "-")
        contacts = []
        for n in range(1 + number % 3):
            first = draw.pick(seed, names.FIRST, "contact", number, n)
            last = draw.pick(seed, names.LAST, "contact surname", number, n)
            contacts.append((first, last, ("Head of Finance", "Chief Information Officer", "Procurement Manager")[n]))
        since = self.scale.first_deal
        if number >= self.clients_on(since):
            while self.clients_on(since) <= number:
                since += timedelta(days=1)
        return Client(
            number=number,
            name=name,
            legal_name=f"{name} {draw.pick(seed, names.SUFFIX[country], 'suffix', number)}",
            industry=industry,
            country=country,
            city=draw.pick(seed, names.CITIES[country], "city", number),
            street=f"{draw.whole(seed, 1, 180, 'street', number)} {draw.pick(seed, names.STREETS, 'road', number)}",
            entity=entity,
            currency="EUR" if country == "IE" else ENTITY_CURRENCY[entity],
            vat=vat,
            terms=draw.weighted(
                seed, (("Net 15", 0.1), ("Net 30", 0.55), ("Net 45", 0.2), ("Net 60", 0.15)), "terms", number
            ),
            po_required=draw.chance(seed, 0.25, "po", number),
            domain=f"{slug}.example",
            parent=number - number % 9 if number % 9 in (3, 6) else None,
            since=since,
            punctuality=draw.whole(seed, -4, 24, "punctuality", number),
            contacts=tuple(contacts),
        )

    # ---- deals ------------------------------------------------------------------------------------------------

    def deals_of_week(self, monday: date) -> Iterator[Deal]:
        """The deals opened in the week that begins on a Monday."""
        mean = self.scale.deals_per_week
        if monday < self.scale.first_deal:
            return
        if monday < self.scale.first_deal + timedelta(weeks=5):
            mean *= 1.9  # a firm that is already at work when its recorded history begins
        for number in range(draw.count(self.seed, mean, "deals", monday)):
            yield self.deal(f"Q{monday.isocalendar().year % 100:02d}{monday.isocalendar().week:02d}-{number + 1:02d}")

    def deals_opened(self, day: date) -> Iterator[Deal]:
        """The deals opened on a day."""
        return (deal for deal in self.deals_of_week(calendars.monday(day)) if deal.opened == day)

    def _deal(self, code: str) -> Deal:
        seed = self.seed
        monday = date.fromisocalendar(2000 + int(code[1:3]), int(code[3:5]), 1)
        opened = monday + timedelta(days=draw.whole(seed, 0, 4, "opened", code))
        known = self.clients_on(monday)
        known = known if known < 80 else known // 40 * 40  # few different orders, remembered once each
        # A quarter of the clients gives most of the business.
        skew = draw.unit(seed, "client", code) ** 1.6
        client = self.client(draw.shuffled(seed, known, "rank")[min(known - 1, int(skew * known))])
        number = int(code[6:])
        early = (monday - self.scale.first_deal).days // 7
        billing = draw.weighted(seed, BILLING_TYPES, "billing", code)
        won = draw.chance(seed, WIN_RATE, "won", code)
        if early < 3:  # every billing type is at work when the history begins
            billing, won = BILLING_TYPES[(early * 2 + number) % 4][0], number % 2 == 0 or won
        days = draw.whole(seed, 18, 70, "cycle", code)
        if early < 4:
            days = days // 2
        closed = calendars.add_working_days("US", opened + timedelta(days=days), 0)
        cuts = sorted(draw.whole(seed, 2, max(3, days - 2), "cut", code, n) for n in range(3))
        reached = 3 if won else draw.whole(seed, 1, 3, "reached", code)
        moves = [(opened, STAGES[0])]
        for stage, cut in zip(STAGES[1 : reached + 1], cuts, strict=False):
            when = calendars.add_working_days("US", opened + timedelta(days=cut), 0)
            if moves[-1][0] < when < closed:
                moves.append((when, stage))
        moves.append((closed, "Closed Won" if won else "Closed Lost"))

        spread = math.exp(draw.generator(seed, "size", code).gauss(-0.18, 0.6))
        hours = max(40, int(self.scale.deal_hours * min(4.0, max(0.3, spread)) / 10) * 10)
        weeks = max(4, min(40, round(5 + hours / 80 + draw.whole(seed, -1, 3, "weeks", code))))
        start = calendars.monday(closed + timedelta(days=draw.whole(seed, 7, 24, "lag", code))) + timedelta(days=7)
        end = start + timedelta(days=7 * weeks - 3)
        if billing == RETAINER:
            start = calendars.next_month(closed + timedelta(days=5))
            end = calendars.month_end(calendars.add_months(start, max(2, round(weeks / 4.3)) - 1))
        staffing = self._staffing(code, hours)
        lead = draw.pick(seed, [p for p in self.leads if p.entity == client.entity] or self.leads, "lead", code)
        topic = draw.pick(seed, names.TOPICS, "topic", code)
        return Deal(
            code=code,
            name=f"{client.name} - {topic} ({code})",
            client=client.number,
            entity=client.entity,
            currency=client.currency,
            billing=billing,
            lines=self._lines(code, billing, staffing, client.currency, closed, start, end),
            start=start,
            end=end,
            lead=lead.number,
            seller=draw.pick(seed, self.sellers, "seller", code).number,
            po_number=f"PO-{draw.whole(seed, 100000, 999999, 'po', code)}" if client.po_required else "",
            moves=tuple(moves),
            staffing=staffing,
        )

    def _staffing(self, code: str, hours: int) -> tuple[tuple[str, int], ...]:
        top = draw.pick(self.seed, ("Principal Consultant", "Solution Architect"), "top", code)
        base = draw.pick(self.seed, ("Consultant", "Consultant", "Analyst"), "base", code)
        mix = (
            [(top, 0.2), ("Senior Consultant", 0.4), (base, 0.4)]
            if hours >= 120
            else [("Senior Consultant", 0.6), (base, 0.4)]
        )
        return tuple((role, max(8, int(hours * part / 4) * 4)) for role, part in mix)

    def _lines(
        self,
        code: str,
        billing: str,
        staffing: tuple[tuple[str, int], ...],
        currency: str,
        closed: date,
        start: date,
        end: date,
    ) -> tuple[Line, ...]:
        one = Decimal(1)
        if billing == TIME_AND_MATERIALS:
            return tuple(
                Line(
                    product="SVC-TM",
                    description=f"{role}, time and materials",
                    quantity=Decimal(hours),
                    unit_price=self.rate(role, currency, closed),
                    role=role,
                    hours=Decimal(hours),
                )
                for role, hours in staffing
            )
        value = sum((hours * self.rate(role, currency, closed) for role, hours in staffing), Decimal(0)) * Decimal(
            "1.06"
        )
        if billing == FIXED_FEE:
            amount = Decimal(int(value / 500) * 500)
            return (Line(product="SVC-FIXED", description="Fixed-fee delivery", quantity=one, unit_price=amount),)
        if billing == RETAINER:
            months = (end.year - start.year) * 12 + end.month - start.month + 1
            fee = Decimal(max(1, int(value / months / 250)) * 250)
            return (
                Line(product="SVC-RETAINER", description="Monthly retainer", quantity=Decimal(months), unit_price=fee),
            )
        parts = draw.pick(self.seed, ((30, 40, 30), (20, 30, 50), (25, 25, 25, 25)), "milestones", code)
        total = Decimal(int(value / 1000) * 1000) or Decimal(1000)
        out, days = [], (end - start).days
        for number, part in enumerate(parts):
            due = start + timedelta(days=days * sum(parts[: number + 1]) // 100)
            label = ("Kick-off and plan", "Design accepted", "Build complete", "Handover")[
                number + (4 - len(parts) if number else 0)
            ]
            out.append(
                Line(
                    product="SVC-MILESTONE",
                    description=f"M{number + 1} {label}",
                    quantity=one,
                    unit_price=total * part / 100,
                    service_date=calendars.add_working_days("US", due, 0),
                )
            )
        return tuple(out)


_CODE = re.compile(r"\((Q\d{4}-\d{2,})\)$")


def code_of(name: str) -> str | None:
    """The deal code at the end of an opportunity's or project's name; None for names the firm did not give."""
    found = _CODE.search(name)
    return found.group(1) if found else None
