"""The mistakes and oddities that are planted in a firm's history, and the record of each.

Every plant is one method of `Plan` that does something people do (through the platforms' rules, like everybody) on a
fixed day and writes down what it did: which records, which rule of the practice it touches, and what a good
integration makes of it. To add one: write a method, put it into `PLANTS` with its day, describe it in the README.

A plant that finds no victim in a very small firm plants nothing and records nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from platforms.world import calendars
from platforms.world.adapters.ledger import Bill
from platforms.world.adapters.psa import Project, Work
from platforms.world.business import UNPRICED_ROLE, Client, Deal, charge
from platforms.world.scales import CUT, TODAY

if TYPE_CHECKING:
    from platforms.world.days import World

LATE_MONTH = "202608"
"""The month of service whose invoices are partly held back, so that they come late or never."""


def _spelled(vat: str) -> str:
    """The same tax id as somebody else types it: lower case, spaces and dots."""
    return f"{vat[:2].lower()} {vat[2:5]}.{vat[5:8]} {vat[8:]}".strip()


def _other_digit(vat: str) -> str:
    """A tax id that differs in its last digit."""
    at = max(n for n, char in enumerate(vat) if char.isdigit())
    return vat[:at] + str((int(vat[at]) + 3) % 10) + vat[at + 1 :]


def _other_name(client: Client) -> str:
    """The client's legal name as a clerk in a hurry writes it."""
    head, _, form = client.legal_name.rpartition(" ")
    longer = {"Ltd": "Limited", "Inc.": "Incorporated"}
    dotted = form.replace(".", "") if "." in form else "".join(f"{letter}." for letter in form)
    return f"{head.upper()} {longer.get(form, dotted)}"


class Plan:
    """What goes wrong, on which day. `before` and `after` surround each day that the world lives."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.firm = world.firm
        self.truth = world.memory.truth
        self.won: list[Deal] = []
        self.defective: set[str] = set()
        self.touched: set[int] = set()
        """Numbers of clients that a plant has used already; the next one takes another."""
        self.held: dict[str, Project] = {}
        self.left_out: list[str] = []
        self.unpriced: tuple[Project, str] | None = None
        world.hold_back = self._hold_back

    # ---- hooks ------------------------------------------------------------------------------------------------

    def before(self, day: date) -> None:
        """What was set up before people come to work."""
        for when, plant in PLANTS_BEFORE:
            if when == day:
                plant(self, day)

    def after(self, day: date) -> None:
        """What somebody does at the end of a day."""
        if day > CUT:
            for deal in (
                d
                for week in range(-12, 1)
                for d in self.firm.deals_of_week(calendars.monday(day) + timedelta(weeks=week))
            ):
                if deal.won and deal.closed == day:
                    self.won.append(deal)
                    self._deal_defects(day, deal)
        for when, plant in PLANTS_AFTER:
            if when == day:
                plant(self, day)

    def record(self, name: str, rule: str, outcome: str, **facts: Any) -> None:
        """Write down one planted item: its name, the rule it touches, the outcome expected, the records concerned."""
        self.truth.append({"name": name, "rule": rule, "expected": outcome, **facts})

    def finish(self) -> None:
        """Write down what follows from the history without being planted."""
        self._note_unbilled_oddities()
        self.world.memory.expected = {
            "deals_awaiting_project": [
                {
                    "opportunity": self.world.crm.deal_named(d.name),
                    "name": d.name,
                    "currency": d.currency,
                    "amount": str(d.amount),
                    "billing_type": d.billing,
                }
                for d in self._not_set_up()
                if d.code not in self.defective
            ],
            "deals_held": [item["opportunity"] for item in self.truth if item["name"].startswith("deal ")],
            "to_bill": self._to_bill(),
        }

    # ---- deals ------------------------------------------------------------------------------------------------

    def _not_set_up(self) -> list[Deal]:
        """Won deals that nobody made a project for, oldest first."""
        out = {code: self.firm.deal(code) for codes in self.world.handovers.values() for code in codes}
        return sorted(out.values(), key=lambda deal: (deal.closed, deal.code))

    def _deal_defects(self, day: date, deal: Deal) -> None:
        opportunity = self.world.crm.deal_named(deal.name)
        assert opportunity is not None
        planted = {item["name"] for item in self.truth}
        change = self.world.crm.change
        facts = {"opportunity": opportunity, "deal": deal.name}
        later = next((d.closed for d in self.won[:-1]), None)
        if later is None or deal.client in self.touched:
            return
        if "deal without legal entity" not in planted:
            change("Opportunity", opportunity, {"Legal_Entity__c": None})
            fixed = TODAY + timedelta(days=7)
            self.world.memory.duties.append(
                {
                    "day": fixed.isoformat(),
                    "what": "correct deal",
                    "id": opportunity,
                    "values": {"Legal_Entity__c": deal.entity},
                }
            )
            self.record(
                "deal without legal entity",
                "H-4",
                "held with a reason that names the legal entity; set up by itself once sales corrects the deal",
                corrected_on=fixed.isoformat(),
                **facts,
            )
        elif "deal without contract dates" not in planted:
            change("Opportunity", opportunity, {"Contract_Start__c": None, "Contract_End__c": None})
            self.record(
                "deal without contract dates", "H-4", "held with a reason that names the contract dates", **facts
            )
        elif "deal without purchase order" not in planted and not any(d.client == deal.client for d in self.won[:-1]):
            account = self.world.crm.account(self.firm.client(deal.client))
            assert account is not None
            change("Account", account, {"PO_Required__c": True})
            change("Opportunity", opportunity, {"PO_Number__c": None})
            self.record(
                "deal without purchase order",
                "H-4",
                "held with a reason that names the purchase order",
                account=account,
                **facts,
            )
        else:
            return
        self.defective.add(deal.code)
        self.touched.add(deal.client)

    # ---- customers --------------------------------------------------------------------------------------------

    def _billed_clients(self) -> list[tuple[Client, str, str]]:
        """(client, account, customer id) of untouched clients with a ledger customer, the idle ones first."""
        busy = {deal.client for deal in self._not_set_up()}
        for project in self.world.projects.values():
            if project.code:
                busy.add(self.firm.deal(project.code).client)
        out = []
        for number in range(self.firm.clients_on(TODAY)):
            client = self.firm.client(number)
            account = self.world.crm.account(client)
            if account is None or number in self.touched:
                continue
            customer = self.world.books.customer_of(account, client.entity, client.currency)
            if customer is not None:
                out.append((client, account, customer))
        return sorted(out, key=lambda found: (found[0].number in busy, found[0].number))

    def customer_identifier_mismatch(self, day: date) -> None:
        """Finance mistypes the VAT number of a customer that is linked."""
        for client, account, customer in self._billed_clients():
            wrong = _other_digit(client.vat)
            self.world.books.change_customer(customer, {"vatRegNumber": wrong})
            self.touched.add(client.number)
            self.record(
                "customer identifier mismatch",
                "C-3",
                "shown as a conflict of tax ids; the customer is not written to",
                account=account,
                customer=customer,
                crm_vat=client.vat,
                ledger_vat=wrong,
            )
            return

    def same_name_other_vat(self, day: date) -> None:
        """A customer that sounds like a client and is somebody else."""
        for client, account, customer in self._billed_clients():
            twin = self.world.books.customer(
                client,
                account,
                client.entity,
                client.currency,
                externalId="",
                companyName=_other_name(client),
                vatRegNumber=_other_digit(_other_digit(client.vat)),
                email=f"office@{client.domain.replace('.', '-group.')}",
                url=None,
            )
            self.touched.add(client.number)
            self.record(
                "same name, other tax id",
                "C-3",
                "never linked: the two customers stay two",
                account=account,
                customer=customer,
                twin=twin,
                spelling=_other_name(client),
            )
            return

    def account_twice(self, day: date) -> None:
        """Somebody in sales adds a client that is there already, in another spelling."""
        for client, account, _ in self._billed_clients():
            twin = self.world.crm.add_twin(
                client, _other_name(client), _spelled(client.vat), self.firm.sellers[0].email
            )
            self.touched.add(client.number)
            self.record(
                "account twice in the CRM",
                "C-1",
                "seen as one company by its tax id; nothing is made for the twin",
                account=account,
                twin=twin,
                spelling=_other_name(client),
            )
            return

    def customer_without_link(self, day: date) -> None:
        """Finance makes a customer by hand for a client whose deal was just won, without the CRM's id."""
        for deal in self._not_set_up():
            client = self.firm.client(deal.client)
            account = self.world.crm.account(client)
            assert account is not None
            if deal.code in self.defective or client.number in self.touched:
                continue
            if self.world.books.customer_of(account, client.entity, client.currency) is not None:
                continue
            customer = self.world.books.customer(
                client,
                account,
                client.entity,
                client.currency,
                externalId="",
                companyName=_other_name(client),
                vatRegNumber=_spelled(client.vat),
            )
            self.touched.add(client.number)
            self.record(
                "customer without a link",
                "C-1",
                "adopted by tax id and country; no second customer is made",
                account=account,
                customer=customer,
                opportunity=self.world.crm.deal_named(deal.name),
            )
            return

    # ---- work -------------------------------------------------------------------------------------------------

    def _running(self, day: date, until: date) -> list[Project]:
        """Untouched time-and-materials projects that run from a day until another."""
        return [
            p
            for p in self.world.projects.values()
            if not p.fixed
            and p.deal
            and p.code
            and p.start
            and p.end
            and p.start <= day
            and p.end >= until
            and p.id not in self.held
            and any(seat.share for seat in p.seats)
        ]

    def _hold_back(self, project: Project, month: str, work: list[Work]) -> list[Work]:
        if month != LATE_MONTH or project.fixed:
            return work
        if project.id in {p.id for p in self.held.values()}:
            return []
        if "left out" not in self.held and len(work) >= 6:
            self.held["left out"] = project
            self.left_out = [w.id for w in work[-3:]]
            return work[:-3]
        for reason in ("ledger only", "deleted", "rejected"):
            if reason not in self.held and work:
                self.held[reason] = project
                return []
        return work

    def hours_forgotten(self, day: date) -> None:
        """Approved hours that the August invoices left out; August is closed by now."""
        project = self.held.get("left out")
        if project is not None:
            self.record(
                "approved hours of a closed period",
                "B-5",
                "billed with their own month of service on an invoice dated in an open period",
                project=project.id,
                opportunity=project.deal,
                time_entries=self.left_out,
                month=LATE_MONTH,
            )

    def ledger_only_invoice(self, day: date) -> None:
        """Finance invoices a project late and nobody tells the PSA."""
        project = self.held.get("ledger only")
        if project is None:
            return
        hours, expenses = self._august(project)
        bill = self.world.bill(project, LATE_MONTH, day, hours, expenses, [], mirror=False)
        if bill is not None:
            self.record(
                "ledger invoice that the PSA does not show",
                "S-9",
                "shown in the PSA with its work marked as invoiced; none of its work is billed again",
                project=project.id,
                opportunity=project.deal,
                invoice=bill.id,
                key=bill.key,
                time_entries=[w.id for w in hours],
                expenses=[w.id for w in expenses],
            )

    def deleted_draft(self, day: date) -> None:
        """Finance drafts an invoice and deletes it; its work is free again."""
        found = self._draft("deleted", day)
        if found is not None:
            bill, facts = found
            self.world.books.delete(bill.id)
            self.record("draft deleted by finance", "S-6", "its work is billed again", **facts)

    def rejected_draft(self, day: date) -> None:
        """Finance drafts an invoice and rejects it. The ledger still lets somebody approve it later."""
        found = self._draft("rejected", day)
        if found is not None:
            bill, facts = found
            self.world.books.reject(bill.id)
            self.record(
                "draft rejected by finance",
                "S-6",
                "finance is asked; its work stands on no second document while the rejected one can still be approved",
                **facts,
            )

    def _draft(self, reason: str, day: date) -> tuple[Bill, dict[str, Any]] | None:
        project = self.held.get(reason)
        if project is None:
            return None
        hours, expenses = self._august(project)
        bill = self.world.bill(project, LATE_MONTH, day, hours, expenses, [], mirror=False, approve=False)
        if bill is None:
            return None
        return bill, {
            "project": project.id,
            "opportunity": project.deal,
            "invoice": bill.id,
            "key": bill.key,
            "time_entries": [w.id for w in hours],
            "expenses": [w.id for w in expenses],
        }

    def _august(self, project: Project) -> tuple[list[Work], list[Work]]:
        last = calendars.month_end(date(int(LATE_MONTH[:4]), int(LATE_MONTH[4:]), 1))
        start, end = project.start, project.end
        hours: list[Work] = []
        if start is not None and end is not None:
            worked = self.world.psa.billable_hours(project.id, last)
            hours = [w for w in worked if w.day.strftime("%Y%m") == LATE_MONTH and start <= w.day <= end]
        return hours, [
            w for w in self.world.psa.billable_expenses(project.id, last) if w.day.strftime("%Y%m") == LATE_MONTH
        ]

    def timesheets_left(self, day: date) -> None:
        """One lead never looks at a timesheet; another sends one back, and it is never handed in again."""
        sheets = []
        taken = {p.id for p in self.held.values()}
        if self.unpriced is not None:
            taken.add(self.unpriced[0].id)
        for sheet in self.world.psa.waiting(self.world.sheet_mark):
            project = self.world.projects.get(sheet.project)
            if project is not None and not project.fixed and sheet.user != project.lead and project.id not in taken:
                sheets.append((sheet, project))
        for (sheet, project), name in zip(sheets, ("unapproved hours", "rejected timesheet"), strict=False):
            monday = calendars.monday(date.fromisoformat(sheet.start))
            entries = self.world.psa.entries_of(sheet.id)
            facts: dict[str, Any] = {
                "project": project.id,
                "submission": sheet.id,
                "user": sheet.user,
                "time_entries": entries,
            }
            if name == "unapproved hours":
                facts["keep_pending"] = [sheet.id]
                self.world.keep_pending.add(sheet.id)
                outcome = "not billed: submitted, not approved"
            else:
                key = [sheet.user, project.id, monday.isoformat()]
                facts["never_again"] = [key]
                self.world.never_again.add((sheet.user, project.id, monday.isoformat()))
                self.world.psa.reject(sheet.id, project.lead, "These hours belong to another project.")
                outcome = "not billed: rejected"
            self.record(name, "B-1", outcome, **facts)

    def unpriced_role(self, day: date) -> None:
        """Somebody works in a role that no rate card prices."""
        for project in self._running(day, date(2026, 9, 30)):
            taken = {seat.user for seat in project.seats}
            person = next(
                (p for p in self.firm.people if p.kind == "consultant" and p.email not in taken and p.hired <= day),
                None,
            )
            if person is None or project.end is None:
                continue
            self.world.psa.staff(project, person, UNPRICED_ROLE, 0)
            self.world._know(project)
            self.unpriced = (project, person.email)
            return

    def work_after_contract(self, day: date) -> None:
        """Hours on the day after a contract has ended."""
        for project in [*self.world.projects.values(), *self.world.finished.values()]:
            if (
                project.fixed
                or not project.deal
                or not project.end
                or not date(2026, 9, 1) <= project.end < date(2026, 9, 24)
            ):
                continue
            later = calendars.add_working_days("US", project.end, 1)
            seat = next((s for s in project.seats if s.share and s.user in self.firm.by_email), None)
            if seat is None:
                continue
            first = self.world.psa.last_entry() + 1
            task = project.tasks[0].id if project.tasks else ""
            self.world.psa.log_time(
                [
                    {
                        "project": project.id,
                        "user": seat.user,
                        "task": task,
                        "role": seat.role,
                        "day": later.isoformat(),
                        "minutes": 240,
                        "billable": True,
                        "notes": "Follow-up questions after the hand-over",
                    }
                ]
            )
            sheet = self.world.psa.submit(seat.user, project.id, [str(first)], "Follow-up")
            self.world.psa.approve([sheet], project.lead)
            self.record(
                "work after the contract",
                "B-1",
                "not billed: work date outside the contract",
                project=project.id,
                opportunity=project.deal,
                time_entries=[str(first)],
                work_date=later.isoformat(),
                contract_end=project.end.isoformat(),
            )
            return

    def _note_unbilled_oddities(self) -> None:
        if self.unpriced is not None:
            project, email = self.unpriced
            ids = self.world.psa.entries_where(project.id, email)
            if ids:
                self.record(
                    "hours with no rate",
                    "R-8",
                    "not billed: no rate resolves (or the amount is zero); never billed at nothing",
                    project=project.id,
                    opportunity=project.deal,
                    user=email,
                    role=UNPRICED_ROLE,
                    time_entries=ids,
                )
        for project in self._running(date(2026, 9, 30), date(2026, 9, 30)):
            ids = self.world.psa.free_hours(project.id, date(2026, 9, 1), date(2026, 9, 30))
            if ids:
                self.record(
                    "hours that are not billable",
                    "B-3",
                    "carried for utilization, never billed",
                    project=project.id,
                    opportunity=project.deal,
                    time_entries=ids[:20],
                )
                return

    # ---- money ------------------------------------------------------------------------------------------------

    def payment_unapplied(self, day: date) -> None:
        """Finance takes a payment off the invoice it was put on: the wrong customer had been credited."""
        for payment, bill in self.world.books.single_payments(date(2026, 7, 1), CUT):
            if not bill.key.startswith("INV_"):
                continue
            self.world.books.unapply(payment, bill.id)
            now = self.world.books.bill(bill.id)
            self.record(
                "payment un-applied",
                "S-4",
                "the invoice is open again in every platform; the payment is the customer's credit",
                payment=payment,
                invoice=bill.id,
                key=bill.key,
                amount=f"{now.open:.2f}",
                leave_open=[bill.id],
            )
            self.world.leave_open.add(bill.id)
            return

    def overpayment(self, day: date) -> None:
        """A customer pays more than it owes."""
        for bill in self.world.bills.values():
            if bill.open != bill.total or bill.id in self.world.leave_open:
                continue
            payment = self.world.books.pay(
                bill.customer, bill.currency, day, bill.open + 500, [(bill.id, bill.open)], "778001"
            )
            del self.world.bills[bill.id]
            self.record(
                "overpayment",
                "S-3",
                "the invoice is paid and open is zero; 500.00 stay as the customer's credit",
                payment=payment,
                invoice=bill.id,
                key=bill.key,
                surplus="500.00",
            )
            return

    def credit_note(self, day: date) -> None:
        """A credit note on an invoice that is not paid yet."""
        for bill in self.world.bills.values():
            if bill.open != bill.total or bill.id in self.world.leave_open:
                continue
            credit = self.world.credit(bill, day, "Credit for a workshop that was cancelled")
            self.record(
                "credit note",
                "S-5",
                "the open amount is less by the credit; nothing is shown as paid",
                credit=credit,
                invoice=bill.id,
                key=bill.key,
                open=f"{self.world.books.bill(bill.id).open:.2f}",
            )
            return

    # ---- what follows -----------------------------------------------------------------------------------------

    def _to_bill(self) -> dict[str, dict[str, Any]]:
        """Work that may be billed on TODAY, by currency: counts and amounts of hours, expenses and milestones.

        Ended months only for hours and expenses; milestones that are due or completed. Projects that came from a deal.
        """
        cutoff = calendars.month_start(TODAY) - timedelta(days=1)
        claimed = {
            (kind, id)
            for item in self.truth
            if item["name"] in ("ledger invoice that the PSA does not show", "draft rejected by finance")
            for kind, ids in (("hour", item["time_entries"]), ("expense", item["expenses"]))
            for id in ids
        }
        zero = Decimal("0.00")
        out: dict[str, dict[str, Any]] = defaultdict(
            lambda: {
                "hours": 0,
                "hours_amount": zero,
                "expenses": 0,
                "expenses_amount": zero,
                "milestones": 0,
                "milestones_amount": zero,
            }
        )
        waiting = self.world.psa.milestones("invoice_id IS NULL")
        completed = self.world.psa.completed_tasks(m.task for m in waiting if m.task)
        projects = {p.id: p for p in self.world.psa.every_project()}
        for found in waiting:
            project = projects.get(found.project)
            ready = (found.day is not None and found.day <= TODAY) if found.by_date else found.task in completed
            if project is not None and project.deal and ready:
                out[project.currency]["milestones"] += 1
                out[project.currency]["milestones_amount"] += Decimal(found.cents) / 100
        for project in projects.values():
            if not project.deal or project.start is None or project.end is None:
                continue
            kinds: list[tuple[str, list[Work]]] = [("expense", self.world.psa.billable_expenses(project.id, cutoff))]
            if not project.fixed:
                kinds.append(("hour", self.world.psa.billable_hours(project.id, cutoff)))
            for kind, work in kinds:
                for item in work:
                    if (kind, item.id) in claimed or not project.start <= item.day <= project.end:
                        continue
                    row = out[project.currency]
                    row[f"{kind}s"] += 1
                    row[f"{kind}s_amount"] += charge(item.minutes, item.rate) if kind == "hour" else item.amount
        return {
            currency: {name: str(value) if isinstance(value, Decimal) else value for name, value in row.items()}
            for currency, row in sorted(out.items())
        }


Step = Callable[[Plan, date], None]

PLANTS_BEFORE: tuple[tuple[date, Step], ...] = (
    (date(2026, 9, 7), Plan.unpriced_role),
    (date(2026, 9, 28), Plan.timesheets_left),
)
PLANTS_AFTER: tuple[tuple[date, Step], ...] = (
    (date(2026, 9, 21), Plan.deleted_draft),
    (date(2026, 9, 22), Plan.rejected_draft),
    (date(2026, 9, 24), Plan.ledger_only_invoice),
    (date(2026, 9, 28), Plan.work_after_contract),
    (date(2026, 9, 30), Plan.hours_forgotten),
    (date(2026, 10, 6), Plan.credit_note),
    (date(2026, 10, 8), Plan.overpayment),
    (date(2026, 10, 12), Plan.customer_identifier_mismatch),
    (date(2026, 10, 13), Plan.same_name_other_vat),
    (date(2026, 10, 14), Plan.account_twice),
    (date(2026, 10, 15), Plan.payment_unapplied),
    (date(2026, 10, 29), Plan.customer_without_link),
)
PLANTS: Mapping[str, date] = {step.__name__: day for day, step in (*PLANTS_BEFORE, *PLANTS_AFTER)}
