"""One day in the life of the firm: what sales, delivery, consultants and finance do, each looking at their platform.

Nobody here knows the future of the platforms: people act on the projects, timesheets and invoices they find, so a
project that an integration made is staffed and worked on like any other, and a draft invoice it posted is approved
like any other. While `by_hand` is true the firm's own people also carry everything from one platform to the next (they
stop on scales.CUT, which is what makes the first day's work of an integration).

Order of a day: finance in the morning, leads, sales, delivery, hours in the evening, timesheets on Friday.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from platforms.kit.sandbox.clock import SandboxClock
from platforms.kit.sandbox.service import Refusal, Service
from platforms.world import calendars, draw, names
from platforms.world.adapters.crm import Crm
from platforms.world.adapters.ledger import Bill, Books, InvoiceLine
from platforms.world.adapters.psa import ACTIVE, COMPLETED, Project, Psa, Seat, Task, Work
from platforms.world.business import (
    FIXED_FEE,
    MILESTONE,
    RETAINER,
    ROLES,
    TIME_AND_MATERIALS,
    UNPRICED_ROLE,
    Deal,
    Firm,
    Person,
    charge,
    code_of,
    slots,
)
from platforms.world.memory import Memory

WEEK_HOURS = 33
"""Client hours a full-time person gives a project in a week."""
DAY = timedelta(days=1)


class World:
    """The firm at work in its platforms.

    `fresh` says that everything is read from the platforms again each morning, as it must be when others write too;
    while a history is made nobody else does, and what was read once is kept.
    """

    def __init__(
        self,
        firm: Firm,
        memory: Memory,
        crm: Crm,
        psa: Psa,
        books: Books,
        clocks: list[SandboxClock],
        *,
        fresh: bool = True,
    ) -> None:
        self.firm, self.memory, self.crm, self.psa, self.books, self.clocks = firm, memory, crm, psa, books, clocks
        self.seed = firm.seed
        self.fresh = fresh
        self.again = False
        self.done: Counter[str] = Counter()
        self.money: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.projects: dict[str, Project] = {}
        self.finished: dict[str, Project] = {}
        self.open_deals: dict[str, str] = {}
        self.bills: dict[str, Bill] = {}
        self.handovers: dict[date, list[str]] = defaultdict(list)
        self.won: dict[str, str] = {}
        self.load: dict[int, list[tuple[date, date, float]]] = defaultdict(list)
        self.sheet_mark = 0
        self.keep_pending: set[str] = set()
        self.leave_open: set[str] = set()
        self.never_again: set[tuple[str, str, str]] = set()
        self.hold_back: Callable[[Project, str, list[Work]], list[Work]] | None = None
        for item in memory.truth:
            self.keep_pending |= {str(id) for id in item.get("keep_pending", ())}
            self.leave_open |= set(item.get("leave_open", ()))
            self.never_again |= {(a, b, c) for a, b, c in item.get("never_again", ())}

    # ---- the day ----------------------------------------------------------------------------------------------

    def live(self, day: date, *, by_hand: bool = False) -> None:
        """Live one day. Calling it twice for a day is a mistake of the caller."""
        if self.fresh:
            self.look_around(day)
        if day.weekday() == 0 and not (self.again and day.isoformat() in self.memory.entry_marks):
            self.memory.entry_marks[day.isoformat()] = self.psa.last_entry()
            for old in sorted(self.memory.entry_marks)[:-6]:
                del self.memory.entry_marks[old]
        if day.weekday() < 5:
            self._at(day, 8, 30)
            with self._together(self.books.service, self.psa.service):
                self._finance(day, by_hand)
            self._at(day, 10)
            with self._together(self.psa.service):
                self._leads(day)
            self._at(day, 11)
            self._sales(day, by_hand)
            self._at(day, 14)
            self._duties(day)
            with self._together(self.books.service, self.psa.service):
                if by_hand:
                    for code in self.handovers.pop(day, ()):
                        self._hand_over(day, self.firm.deal(code))
                self._delivery(day)
            self._at(day, 17, 30)
            self._hours(day)
            if day.weekday() == 4:
                self._at(day, 18, 15)
                with self._together(self.psa.service):
                    self._submit(day, calendars.monday(day), late=False)
        self._at(day, 19)
        self.memory.today = day

    @contextmanager
    def _together(self, *services: Service) -> Iterator[None]:
        """One commit for all that is done inside, which is faster; only while nobody else is there to wait."""
        with ExitStack() as stack:
            for service in services if not self.fresh else ():
                stack.enter_context(service.store.transaction())
            yield

    def _at(self, day: date, hour: int, minute: int = 0) -> None:
        moment = datetime.combine(day, time(hour, minute), UTC)
        for clock in self.clocks:
            clock.set_at_least(moment)

    def look_around(self, day: date) -> None:
        """Read what the platforms show: open deals, running projects with their teams, open invoices."""
        self.open_deals = {deal.id: deal.name for deal in self.crm.open_deals()}
        self.projects = {project.id: project for project in self.psa.projects()}
        self.load = defaultdict(list)
        for project in self.projects.values():
            self._know(project)
            for seat in project.seats:
                person = self.firm.by_email.get(seat.user)
                if person is not None and seat.share and project.start and project.end:
                    self.load[person.number].append((project.start, project.end, seat.share))
        self.bills = {bill.id: bill for bill in self.books.open_bills()}

    def _know(self, project: Project) -> None:
        """Fill in what delivery knows beyond the workspace: the deal's code, and how much each seat works."""
        project.code = code_of(project.title) or ""
        needs = self._needs(project)
        for seat in project.seats:
            wanted = needs.get(seat.role, 0.0)
            same = sum(1 for other in project.seats if other.role == seat.role and other.user != project.lead)
            seat.share = 0.0 if seat.user == project.lead or not same else min(1.0, wanted / same)

    def _staffing(self, project: Project) -> tuple[tuple[str, int], ...]:
        if project.code:
            return self.firm.deal(project.code).staffing
        sold = self.crm.sold(project.deal) if project.deal else None
        if sold is not None and sold.hours:
            return tuple((role if role in ROLES else "Consultant", hours) for role, hours in sold.hours)
        hours = int(project.price / 165)
        return (("Senior Consultant", hours // 2), ("Consultant", hours // 2)) if hours >= 2 else ()

    def _needs(self, project: Project) -> dict[str, float]:
        """Full-time people that a project needs, by role."""
        if project.start is None or project.end is None:
            return {}
        weeks = max(1.0, ((project.end - project.start).days + 1) / 7)
        out: dict[str, float] = defaultdict(float)
        for role, hours in self._staffing(project):
            out[role] += hours / (weeks * WEEK_HOURS)
        if any(seat.role == UNPRICED_ROLE for seat in project.seats):
            out[UNPRICED_ROLE] = 0.25
        return out

    # ---- sales ------------------------------------------------------------------------------------------------

    def _email(self, number: int) -> str:
        return self.firm.people[number].email

    def _account(self, number: int) -> str:
        """The account of a client, made with its parents when it is not there yet."""
        client = self.firm.client(number)
        found = self.crm.account(client)
        if found is not None:
            return found
        parent = None
        if client.parent is not None:
            parent = self.firm.client(client.parent)
            self._account(client.parent)
        self.done["clients won over"] += 1
        seller = draw.pick(self.seed, self.firm.sellers, "account owner", number)
        return self.crm.add_client(client, seller.email, parent)

    def _sales(self, day: date, by_hand: bool) -> None:
        first = self.firm.clients_on(day - DAY) if day > self.firm.scale.first_deal else 0
        for number in range(first, self.firm.clients_on(day)):
            self._account(number)
        for deal in self.firm.deals_opened(day):
            if self.again and self.crm.deal_named(deal.name) is not None:
                continue
            account = self._account(deal.client)
            lead = self._email(deal.lead)
            id = self.crm.open_deal(deal, account, self._email(deal.seller), lead)
            self.open_deals[id] = deal.name
            self.done["deals opened"] += 1
        for id, name in list(self.open_deals.items()):
            code = code_of(name)
            if not code:
                continue  # somebody else's deal
            deal = self.firm.deal(code)
            if deal.name != name:
                continue
            moved = [stage for when, stage in deal.moves[1:] if when == day]
            if deal.closed < day:  # nobody was there on the day it closed
                moved = [deal.moves[-1][1]]
            if not moved:
                continue
            self.crm.move(id, moved[-1], day, self._email(deal.seller))
            if moved[-1].startswith("Closed"):
                del self.open_deals[id]
                self.done["deals won" if deal.won else "deals lost"] += 1
            if moved[-1] == "Closed Won":
                self.won[deal.code] = id
                self.money[f"won {deal.currency}"] += deal.amount
                lag = draw.whole(self.seed, 1, 4, "handover", deal.code)
                self.handovers[calendars.add_working_days("US", day, lag)].append(deal.code)

    # ---- delivery ---------------------------------------------------------------------------------------------

    def _hand_over(self, day: date, deal: Deal) -> None:
        """What operations does by hand for a won deal: client group, project with plan, ledger customer and job."""
        client = self.firm.client(deal.client)
        account = self._account(deal.client)
        opportunity = self.won.pop(deal.code)
        group = self.psa.group(account, client)
        project = self.psa.open_project(
            title=deal.name,
            deal=opportunity,
            group=group,
            lead=self._email(deal.lead),
            currency=deal.currency,
            price=deal.amount,
            billing=deal.billing,
            entity=deal.entity,
            start=deal.start,
            end=deal.end,
            fixed=deal.billing != TIME_AND_MATERIALS,
            po_number=deal.po_number,
        )
        project.code, project.client = deal.code, deal.client
        self._plan_work(project)
        self._plan_billing(project, deal)
        customer = self.books.customer(client, account, deal.entity, deal.currency)
        self.books.job(opportunity, deal.name, customer, deal.start, deal.end)
        self.crm.change("Opportunity", opportunity, {"Tieout_Project_Id__c": project.id}, self._email(deal.seller))
        self.projects[project.id] = project
        self.done["projects set up by hand"] += 1

    def _plan_work(self, project: Project) -> None:
        """Tasks for the team and one for the lead, which is not charged."""
        for title in names.TASKS:
            self.psa.add_task(
                project, title, billable=title != "Project management", start=project.start, due=project.end
            )

    def _plan_billing(self, project: Project, deal: Deal) -> None:
        if deal.billing == MILESTONE:
            for number, line in enumerate(deal.lines):
                due = line.service_date or deal.end
                if number % 2:
                    self.psa.add_milestone(project, line.description, line.total, day=due)
                else:
                    task = self.psa.add_task(project, line.description, kind="milestone", due=max(due, deal.start))
                    self.psa.add_milestone(project, line.description, line.total, task=task)
        elif deal.billing == FIXED_FEE:
            down = (deal.amount * Decimal("0.4")).quantize(Decimal(1))
            task = self.psa.add_task(project, "Final acceptance", kind="milestone", due=deal.end)
            self.psa.add_milestone(project, "Down payment", down, day=deal.start)
            self.psa.add_milestone(project, "Final acceptance", deal.amount - down, task=task)
        elif deal.billing == RETAINER:
            month = calendars.month_start(deal.start)
            for _ in range(int(deal.lines[0].quantity)):
                self.psa.add_milestone(
                    project, f"Retainer {month:%Y-%m}", deal.lines[0].unit_price, day=calendars.month_end(month)
                )
                month = calendars.next_month(month)

    def _busy(self, person: Person, first: date, last: date) -> float:
        return sum(share for start, end, share in self.load[person.number] if start <= last and end >= first)

    def _staff(self, day: date, project: Project) -> None:
        """The lead fills the open seats with the least busy people of the role, from the project's country first."""
        assert project.start is not None
        assert project.end is not None
        first = max(day, project.start)
        have = Counter(seat.role for seat in project.seats if seat.user != project.lead)
        home = self.firm.by_email[project.lead].entity if project.lead in self.firm.by_email else "US"
        for slot in slots(self._staffing(project), project.start, project.end):
            if have[slot.role] > 0:
                have[slot.role] -= 1
                continue
            best = self._free(day, project, slot.role, first, home)
            if best is None:
                continue  # nobody is free: the seat stays open until somebody is
            weeks = ((project.end - project.start).days + 1) / 7
            self.psa.staff(project, best, slot.role, int(slot.share * weeks * WEEK_HOURS * 60))
            self.load[best.number].append((first, project.end, slot.share))
            self.done["people staffed"] += 1
        self._know(project)

    def _free(self, day: date, project: Project, role: str, first: date, home: str) -> Person | None:
        """The least busy person for a seat: of the role if one has time, else anybody who has; None when nobody has."""
        assert project.end is not None
        taken = {seat.user for seat in project.seats}
        turn = int.from_bytes(draw.digest(self.seed, "staff", project.title, role, size=4), "big")
        for roles, most in (((role,), 0.9), (ROLES, 0.9), (ROLES, 1.2)):
            best: tuple[float, int, Person] | None = None
            for person in self.firm.people[: self.firm.scale.consultants]:
                if person.role not in roles or person.hired > day or person.email in taken:
                    continue
                busy = self._busy(person, first, project.end)
                if busy > most:
                    continue
                found = (
                    round(busy + (0.3 if person.entity != home else 0), 3),
                    (person.number * 7919 + turn) % 9973,
                    person,
                )
                if best is None or found[:2] < best[:2]:
                    best = found
            if best is not None and self.psa.has_user(best[2].email):
                return best[2]
        return None

    def _open_seats(self, project: Project) -> bool:
        have = {seat.role for seat in project.seats if seat.user != project.lead}
        return any(role not in have for role, hours in self._staffing(project) if hours)

    def _delivery(self, day: date) -> None:
        scale = self.firm.scale
        if day in scale.price_rises:
            self.psa.add_price_version(self.firm, self.firm.price_versions.index(day))
        for person in self.firm.people:
            # Who is hired on a weekend comes on Monday.
            starts = person.hired == day or (day.weekday() == 0 and day - 3 * DAY < person.hired < day)
            if starts and not self.psa.has_user(person.email):
                self.psa.add_person(person)
                self.books.add_person(person)
                self.psa.join_internal(person)
                self.done["people hired"] += 1
        for project in list(self.projects.values()):
            if project.start is None or project.end is None or project.lead not in self.firm.by_email:
                continue
            if project.end < day - 4 * DAY:
                self.psa.set_status(project, COMPLETED)
                self.finished[project.id] = self.projects.pop(project.id)
                self.done["projects completed"] += 1
                continue
            if (
                project.start <= day + 5 * DAY
                and day <= project.end
                and day.weekday() in (0, 2, 4)
                and self._open_seats(project)
            ):
                if not project.tasks:
                    self._plan_work(project)
                self._staff(day, project)
                if project.status < ACTIVE:
                    self.psa.set_status(project, ACTIVE)
        if not self.fresh:
            for old in [p for p in self.finished.values() if p.end and p.end < day - 100 * DAY]:
                del self.finished[old.id]
            for number, entries in self.load.items():
                self.load[number] = [entry for entry in entries if entry[1] >= day]
        for task, at, title, due in self.psa.due_tasks(day):
            project = (
                self.projects.get(at)
                or self.finished.get(at)
                or Project(
                    id=at, title="", currency="", status=0, lead="", start=None, end=None, fixed=True, price=Decimal(0)
                )
            )
            slack = draw.whole(self.seed, 0, 5, "milestone", project.title, title)
            if due + slack * DAY <= day and project.lead in self.firm.by_email:
                self.psa.complete(task, project.lead)
                self.done["milestones completed"] += 1
        self._expenses(day)

    # ---- hours ------------------------------------------------------------------------------------------------

    def _by_person(self, day: date) -> dict[str, list[tuple[Project, Seat]]]:
        out: dict[str, list[tuple[Project, Seat]]] = defaultdict(list)
        led: dict[str, list[Project]] = defaultdict(list)
        for project in self.projects.values():
            if not project.runs_on(day) or project.status < 200:
                continue
            if project.lead in self.firm.by_email:
                led[project.lead].append(project)
            for seat in project.seats:
                if seat.share:
                    out[seat.user].append((project, seat))
        for email, theirs in led.items():
            share = min(0.15, 0.75 / len(theirs))
            out[email] += [(project, Seat(user=email, role="Engagement Manager", share=share)) for project in theirs]
        return out

    def _hours(self, day: date) -> None:
        self.psa.load_internal()
        work = self._by_person(day)
        people = [p for p in self.firm.people if p.bills and p.hired <= day and self.psa.has_user(p.email)]
        if self.again:
            wrote = self.psa.who_logged(day)
            people = [p for p in people if p.email not in wrote]

        def rows() -> Iterator[Mapping[str, Any]]:
            for person in people:
                yield from self.day_of(person, day, work.get(person.email, ()))

        if day >= self.firm.scale.start:
            self.done["time entries logged"] += self.psa.log_time(rows())

    def day_of(self, person: Person, day: date, work: Any) -> Iterator[Mapping[str, Any]]:
        """What one person writes down for one day, given the (project, seat) they have that day."""
        internal, away = self.psa.internal, self.psa.time_off
        assert internal is not None
        assert away is not None
        iso = day.isoformat()
        why = calendars.absence(self.seed, person.email, person.country, day)
        if why in ("leave", "sick"):
            task = away.tasks[0 if why == "leave" else 1]
            yield {
                "project": away.id,
                "user": person.email,
                "task": task.id,
                "role": "",
                "day": iso,
                "minutes": calendars.DAY_MINUTES,
                "billable": False,
                "notes": task.title,
            }
            return
        if why:
            return
        noise = draw.digest(self.seed, "hours", person.number, day, size=32)
        total = 0
        for number, (project, seat) in enumerate(work):
            byte, other = noise[(3 * number) % 30], noise[(3 * number + 1) % 30]
            minutes = round(seat.share * calendars.DAY_MINUTES / 15 + (byte % 7 - 3) * seat.share) * 15
            if minutes < 45:  # little work is done on some days, not a little every day
                minutes = 60 if byte / 256 < seat.share * calendars.DAY_MINUTES / 60 else 0
            minutes = min(minutes, 555 - total)
            if minutes < 15:
                continue
            total += minutes
            yield from self._pieces(person, project, seat, iso, minutes, byte, other)
        rest = (calendars.DAY_MINUTES - total) // 15 * 15
        if rest >= 30:
            task = internal.tasks[noise[31] % len(internal.tasks)]
            yield {
                "project": internal.id,
                "user": person.email,
                "task": task.id,
                "role": "",
                "day": iso,
                "minutes": rest,
                "billable": False,
                "notes": task.title,
            }

    def _pieces(
        self, person: Person, project: Project, seat: Seat, day: str, minutes: int, byte: int, other: int
    ) -> Iterator[Mapping[str, Any]]:
        lead = seat.user == project.lead
        tasks = [t for t in project.tasks if (t.title == "Project management") == lead] or project.tasks
        own = [t for t in tasks if t.title.startswith(seat.role)] or tasks
        pieces = 1
        spread = self.firm.scale.tasks_per_day
        while (
            pieces < 4
            and minutes >= 60 * (pieces + 1)
            and (byte * 7 + other + pieces * 53) % 256 < 256 * (spread - pieces)
        ):
            pieces += 1
        for number in range(pieces):
            part = minutes if number == pieces - 1 else max(15, minutes // (pieces - number) // 15 * 15)
            minutes -= part
            task = own[(other + number) % len(own)] if own else Task(id="", title="Work", billable=True)
            notes = names.NOTES.get(task.title, ("Project work", "Workshop and follow-up", "Documentation"))
            yield {
                "project": project.id,
                "user": person.email,
                "task": task.id,
                "role": seat.role or person.role,
                "day": day,
                "minutes": part,
                "billable": task.billable and not lead and (byte + 31 * number) % 40 != 7,
                "notes": notes[(byte + number) % len(notes)],
            }

    def _expenses(self, day: date) -> None:
        """Costs on client projects; a report goes to the lead at once and comes back in a day or two."""
        for report in self.psa.waiting_expenses():
            project = self.projects.get(report.project) or self.finished.get(report.project)
            if project is not None and draw.chance(
                self.seed, 0.6, "expense approval", project.title, report.user, report.start, day
            ):
                self.psa.approve_expenses([report.id], project.lead)
                self.done["expense reports approved"] += 1
        if day < self.firm.scale.start or self.again:
            return
        for project in self.projects.values():
            if not project.runs_on(day) or project.status < 200:
                continue
            for seat in project.seats:
                person = self.firm.by_email.get(seat.user)
                if (
                    person is None
                    or not seat.share
                    or not draw.chance(self.seed, 0.03, "expense", project.title, seat.user, day)
                ):
                    continue
                if calendars.absence(self.seed, person.email, person.country, day):
                    continue
                ids = []
                for n in range(draw.whole(self.seed, 1, 3, "expenses", project.title, seat.user, day)):
                    category = ("Rail", "Hotel", "Meals", "Airfare", "Mileage", "Software")[
                        draw.whole(self.seed, 0, 5, "category", project.title, seat.user, day, n)
                    ]
                    cents = draw.whole(self.seed, 1200, 42000, "cost", project.title, seat.user, day, n)
                    ids.append(
                        self.psa.add_expense(
                            project.id,
                            seat.user,
                            day,
                            category,
                            Decimal(cents) / 100,
                            billable=draw.chance(self.seed, 0.85, "rebilled", project.title, seat.user, day, n),
                            notes=f"{category}, client visit",
                        )
                    )
                self.done["expenses filed"] += len(ids)
                self.psa.submit_expenses(project.id, seat.user, ids, f"Expenses {day.isoformat()}")

    # ---- timesheets -------------------------------------------------------------------------------------------

    def _submit(self, day: date, monday: date, *, late: bool) -> None:
        """People hand in a week, project by project. Some forget until the week after (`late` sweeps those up)."""
        friday = monday + 4 * DAY
        found = self.psa.unsubmitted(self.memory.mark(monday), monday, friday)
        for (email, project), ids in sorted(found.items(), key=lambda item: (item[0][0], int(item[0][1]))):
            if email not in self.firm.by_email or (email, project, monday.isoformat()) in self.never_again:
                continue
            if not late and draw.chance(self.seed, 0.06, "forgets", email, monday):
                continue
            self.psa.submit(email, project, ids, f"Week of {monday.isoformat()}")
            self.done["timesheets submitted late" if late else "timesheets submitted"] += 1

    def _leads(self, day: date) -> None:
        """Leads decide on timesheets from Monday on, all by Thursday, and sweep up what people forgot."""
        if day.weekday() in (1, 2, 3):
            self._submit(day, calendars.monday(day) - 7 * DAY, late=True)
        if day.weekday() == 4:
            return
        sheets = [sheet for sheet in self.psa.waiting(self.sheet_mark) if sheet.id not in self.keep_pending]
        approved: dict[str, list[str]] = defaultdict(list)
        for sheet in sheets:
            project = self.projects.get(sheet.project) or self.finished.get(sheet.project)
            lead = project.lead if project is not None else self.psa.lead_of(sheet.project)
            title = project.title if project is not None else sheet.project
            if lead not in self.firm.by_email:
                continue
            key = (title, sheet.user, sheet.start, day)
            if day.weekday() < 3 and not draw.chance(self.seed, 0.75, "decides", *key):
                continue
            if draw.chance(self.seed, 0.012, "rejects", *key):
                self.psa.reject(sheet.id, lead, "Please book travel time on the project management task.")
                self.done["timesheets rejected"] += 1
            else:
                approved[lead].append(sheet.id)
        for lead, ids in approved.items():
            self.psa.approve(ids, lead)
            self.done["timesheets approved"] += len(ids)
        if not self.fresh and sheets:
            left = {sheet.id for sheet in sheets} - {id for ids in approved.values() for id in ids}
            self.sheet_mark = min((int(id) for id in left), default=max(int(sheet.id) for sheet in sheets) + 1) - 1

    # ---- finance ----------------------------------------------------------------------------------------------

    def _finance(self, day: date, by_hand: bool) -> None:
        if not calendars.is_working_day("US", day):
            return
        self._decide_drafts(day)
        if by_hand and day == calendars.nth_working_day("US", day.year, day.month, 3):
            self._bill_by_hand(day)
        closing = day == calendars.nth_working_day("US", day.year, day.month, 5)
        if closing and self.books.close_month(calendars.add_months(day, -1)):
            self.done["periods closed"] += 1
        self._collect(day, by_hand)
        self._credit(day)

    def _decide_drafts(self, day: date) -> None:
        for draft in self.books.drafts():
            wait = 1 + draw.chance(self.seed, 0.4, "second look", draft.key)
            if calendars.add_working_days("US", draft.created, wait) > day:
                continue
            verdict = draw.unit(self.seed, "finance", draft.key)
            try:
                if verdict < 0.02:
                    self.books.reject(draft.id)
                    self.done["drafts rejected by finance"] += 1
                elif verdict < 0.03:
                    self.books.delete(draft.id)
                    self.done["drafts deleted by finance"] += 1
                else:
                    self.issue(draft.id)
            except Refusal:
                # Its period was closed meanwhile, or somebody was faster: finance leaves it and looks again tomorrow.
                self.done["drafts the ledger would not let finance decide"] += 1

    def issue(self, invoice: str) -> Bill:
        """Approve a draft; the invoice as it stands then."""
        self.books.approve(invoice)
        bill = self.books.bill(invoice)
        self.bills[bill.id] = bill
        self.done["invoices issued"] += 1
        self.money[f"invoiced {bill.currency}"] += bill.total
        return bill

    def _bill_by_hand(self, day: date) -> None:
        """Last month's work, and what was missed before, on one invoice for each project and month of service."""
        last = calendars.month_start(day) - DAY
        milestones: dict[str, list[Any]] = defaultdict(list)
        waiting = self.psa.milestones("invoice_id IS NULL")
        completed = self.psa.completed_tasks(m.task for m in waiting if m.task)
        for found in waiting:
            if (found.day is not None and found.day <= last) if found.by_date else found.task in completed:
                milestones[found.project].append(found)
        for project in [*self.projects.values(), *self.finished.values()]:
            if project.deal is None:
                continue
            hours = [] if project.fixed else self.psa.billable_hours(project.id, last)
            if project.start and project.end:  # work outside the contract is not the client's to pay
                hours = [work for work in hours if project.start <= work.day <= project.end]
            expenses = self.psa.billable_expenses(project.id, last)
            months = {work.day.strftime("%Y%m") for work in (*hours, *expenses)}
            due = milestones.get(project.id, [])
            months |= {(m.day or last).strftime("%Y%m") for m in due}
            for month in sorted(months):
                mine = [work for work in hours if work.day.strftime("%Y%m") == month]
                if self.hold_back is not None:
                    mine = self.hold_back(project, month, mine)
                    if not mine and not project.fixed:
                        continue
                self.bill(
                    project,
                    month,
                    day,
                    mine,
                    [w for w in expenses if w.day.strftime("%Y%m") == month],
                    [m for m in due if (m.day or last).strftime("%Y%m") == month],
                )

    def bill(
        self,
        project: Project,
        month: str,
        day: date,
        hours: list[Work],
        expenses: list[Work],
        milestones: list[Any],
        *,
        mirror: bool = True,
        approve: bool = True,
    ) -> Bill | None:
        """An invoice of one project and month of service, issued and shown in the PSA unless told otherwise."""
        assert project.deal is not None
        found = self.books.job_of(project.deal)
        if found is None or not (hours or expenses or milestones):
            return None
        job, customer = found
        deal = self.firm.deal(project.code)
        lines = [
            InvoiceLine(
                item="SVC-TIME",
                quantity=(Decimal(w.minutes) / 60).quantize(Decimal("0.0001")),
                rate=w.rate,
                amount=charge(w.minutes, w.rate),
                text=f"{w.user.split('@')[0]}: {w.text}, {w.day}"[:200],
                source=f"kantata:time_entry:{w.id}",
            )
            for w in hours
        ]
        lines += [
            InvoiceLine(
                item="SVC-EXPENSE",
                quantity=Decimal(1),
                rate=w.amount,
                amount=w.amount,
                text=f"{w.text}, {w.day}",
                source=f"kantata:expense:{w.id}",
            )
            for w in expenses
        ]
        item = "SVC-RETAINER" if deal.billing == RETAINER else "SVC-FIXED"
        lines += [
            InvoiceLine(
                item=item,
                quantity=Decimal(1),
                rate=Decimal(m.cents) / 100,
                amount=Decimal(m.cents) / 100,
                text=m.title,
                source=f"kantata:billing_milestone:{m.id}",
            )
            for m in milestones
        ]
        series = f"INV_{project.deal}_{month}_"
        key = f"{series}{self.books.keys(series) + 1}"
        id = self.books.invoice(
            key,
            customer=customer,
            job=job,
            entity=deal.entity,
            currency=deal.currency,
            day=day,
            period=f"{month[:4]}-{month[4:]}",
            project=project.id,
            po_number=deal.po_number,
            lines=lines,
            memo=f"{project.title}, {month}",
        )
        self.done["invoices made by hand"] += 1
        if not approve:
            return self.books.bill(id)
        bill = self.issue(id)
        if mirror:
            self.psa.mirror_invoice(
                project.id,
                key,
                number=bill.number,
                day=day,
                terms=(bill.due - bill.day).days,
                hours=[w.id for w in hours],
                expenses=[w.id for w in expenses],
                milestones=[m.id for m in milestones],
                po_number=deal.po_number,
            )
        return bill

    def pays_on(self, bill: Bill) -> tuple[date, date | None]:
        """When a customer pays an invoice: (the day; the rest's day when it pays in two parts, else None)."""
        delay = draw.whole(self.seed, -8, 22, "pays", bill.key) + (
            14 if draw.chance(self.seed, 0.12, "slow", bill.key) else 0
        )
        day = bill.due + delay * DAY
        run = (
            2 if draw.chance(self.seed, 0.5, "pay run", bill.customer) else 4
        )  # payment runs are on Wednesday or Friday
        day = max(day, bill.day + 3 * DAY)
        day += timedelta(days=(run - day.weekday()) % 7)
        day = calendars.add_working_days("US", day, 0)
        rest = (
            calendars.add_working_days("US", day + 21 * DAY, 0)
            if draw.chance(self.seed, 0.1, "in parts", bill.key)
            else None
        )
        return day, rest

    def _collect(self, day: date, by_hand: bool) -> None:
        due: dict[tuple[str, str], list[tuple[Bill, Decimal]]] = defaultdict(list)
        for bill in self.bills.values():
            first, rest = self.pays_on(bill)
            if day < first or bill.open <= 0 or bill.id in self.leave_open:
                continue
            if rest is None or day >= rest:
                due[bill.customer, bill.currency].append((bill, bill.open))
            elif bill.open == bill.total:
                share = Decimal(draw.whole(self.seed, 4, 7, "part", bill.key)) / 10
                due[bill.customer, bill.currency].append((bill, (bill.total * share).quantize(Decimal("0.01"))))
        for (customer, currency), parts in due.items():
            amount = sum((part for _, part in parts), Decimal(0))
            first_key = parts[0][0].key
            if draw.chance(self.seed, 0.01, "rounds up", first_key):
                amount += 100 - amount % 100
                self.done["overpayments"] += 1
            check = f"{draw.whole(self.seed, 100000, 999999, 'check', first_key, day)}"
            try:
                self.books.pay(customer, currency, day, amount, [(bill.id, part) for bill, part in parts], check)
            except Refusal:
                self.done["payments the ledger refused"] += 1
                continue
            self.done["payments received"] += 1
            self.money[f"paid {currency}"] += amount
            for bill, _ in parts:
                now = self.books.bill(bill.id)
                if now.open > 0:
                    self.bills[bill.id] = now
                    self.done["partial payments"] += 1
                    continue
                del self.bills[bill.id]
                mirror = self.psa.invoice_of(bill.key) if by_hand else None
                if mirror is not None:
                    self.psa.mark_paid(*mirror, check)

    def _credit(self, day: date) -> None:
        for bill in list(self.bills.values()):
            if bill.open != bill.total or not draw.chance(self.seed, 0.03, "credit", bill.key):
                continue
            if calendars.add_working_days("US", bill.day, 8) != day:
                continue
            self.credit(bill, day, "Goodwill credit agreed with the client")

    def credit(self, bill: Bill, day: date, memo: str) -> str:
        """A credit note of about eight per cent, applied to its invoice. Its id."""
        amount = Decimal(int(bill.total * Decimal("0.08") / 10) * 10 or 10)
        id = self.books.credit(bill, self.books.subsidiary_of(bill.customer), day, amount, f"{memo} ({bill.number})")
        self.bills[bill.id] = self.books.bill(bill.id)
        self.done["credit notes"] += 1
        return id

    # ---- promises ---------------------------------------------------------------------------------------------

    def _duties(self, day: date) -> None:
        """Keep the promises that are due: somebody corrects a deal, ..."""
        for duty in [duty for duty in self.memory.duties if duty["day"] <= day.isoformat()]:
            self.memory.duties.remove(duty)
            if duty["what"] == "correct deal":
                self.crm.change("Opportunity", duty["id"], duty["values"])
                self.done["deals corrected by sales"] += 1
