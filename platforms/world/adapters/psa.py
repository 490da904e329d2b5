"""The firm's delivery people in Kantata: projects, staffing, hours, timesheets, expenses, milestones.

Project leads and operations also keep the mirror of ledger invoices by hand, as long as nobody else does it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from platforms.kit.sandbox.service import Service
from platforms.world.business import (
    CURRENCIES,
    EXPENSE_CATEGORIES,
    ROLES,
    UNPRICED_ROLE,
    Client,
    Firm,
    Person,
)

REFERENCE_SERVICE = "tieout"
ACTIVE, NOT_STARTED, ON_HOLD, CANCELLED, COMPLETED = 300, 200, 400, 501, 600
CLOSED_STATUSES = (501, 600, 610)


@dataclass(kw_only=True)
class Seat:
    """A person's place in a project."""

    user: str
    role: str
    share: float = 0.0


@dataclass(kw_only=True)
class Task:
    """Something hours can be logged on."""

    id: str
    title: str
    billable: bool


@dataclass(kw_only=True)
class Project:
    """A workspace as delivery sees it. `deal` is the CRM's opportunity id when the project came from one."""

    id: str
    title: str
    currency: str
    status: int
    lead: str
    start: date | None
    end: date | None
    fixed: bool
    price: Decimal
    deal: str | None = None
    seats: list[Seat] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    code: str = ""
    client: int = -1

    def runs_on(self, day: date) -> bool:
        """Whether people work on it on a day."""
        return self.status not in (*CLOSED_STATUSES, ON_HOLD) and (self.start or day) <= day <= (self.end or day)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A submission that waits for its lead."""

    id: str
    project: str
    user: str
    start: str


@dataclass(frozen=True, kw_only=True)
class Milestone:
    """A billing milestone."""

    id: str
    project: str
    title: str
    cents: int
    by_date: bool
    day: date | None
    task: str | None
    invoice: str | None


@dataclass(frozen=True, kw_only=True)
class Work:
    """An hour or expense ready for an invoice."""

    id: str
    day: date
    user: str
    minutes: int
    rate: Decimal
    amount: Decimal
    text: str


def _day(value: Any) -> date | None:
    return date.fromisoformat(value) if value else None


class Psa:
    """Kantata in the role of the PSA. Ids are Kantata ids (text); money crosses as Decimal in main units."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._users: dict[str, str] = {}
        self._emails: dict[str, str] = {}
        self._roles: dict[str, str] = {}
        self._cards: dict[str, str] = {}
        self._groups: dict[str, str] = {}
        self._fields: dict[tuple[str, str], str] = {}
        self._admin = ""
        self._categories: dict[str, str] = {}
        self.internal: Project | None = None
        self.time_off: Project | None = None

    # ---- set-up -----------------------------------------------------------------------------------------------

    def set_up(self, firm: Firm) -> None:
        """Roles, rate cards with their versions, expense categories, and the people who are there from the start."""
        for role in (*ROLES, UNPRICED_ROLE):
            self._roles[role] = self._insert("roles", {"name": role})
        for name in EXPENSE_CATEGORIES:
            self._insert("expense_categories", {"name": name})
        card_set = self._insert("rate_card_sets", {"title": "Standard rates", "account_default": True})
        for currency in CURRENCIES:
            self._cards[currency] = self._insert("rate_cards", {"rate_card_set_id": card_set, "currency": currency})
        self.add_price_version(firm, 0)

    def add_price_version(self, firm: Firm, version: int) -> None:
        """A new version of the standard card with the prices of that version, activated."""
        self._load_names()
        card_set = next(row["id"] for row in self.service.rows("rate_card_sets", "account_default = 1"))
        made = self._insert(
            "rate_card_set_versions",
            {"rate_card_set_id": card_set, "effective_date": firm.price_versions[version].isoformat()},
        )
        # A platform may begin a new version as a copy of the one before; then prices are changed, not added.
        copied = {
            row["rate_card_id"]: row["id"]
            for row in self.service.rows("rate_card_versions", "rate_card_set_version_id = ?", (int(made),))
        }
        for card in list(self.service.rows("rate_cards", "rate_card_set_id = ?", (int(card_set),))):
            card_version = copied.get(card["id"]) or self._insert(
                "rate_card_versions", {"rate_card_id": card["id"], "rate_card_set_version_id": made}
            )
            lines = {
                line["role_id"]: line["id"]
                for line in self.service.rows("rate_card_roles", "rate_card_version_id = ?", (int(card_version),))
            }
            for role in ROLES:
                price = {"rate": int(firm.price_rate(role, card["currency"], version) * 100)}
                if self._roles[role] in lines:
                    self.service.update("rate_card_roles", lines[self._roles[role]], price, actor=self.admin())
                else:
                    self._insert(
                        "rate_card_roles",
                        {"rate_card_version_id": card_version, "role_id": self._roles[role], **price},
                    )
        self.service.act("rate_card_set_version.activate", made, actor=self.admin())

    def add_internal_projects(self, lead: str) -> None:
        """The firm's own projects: unbilled work, and time off."""
        for title, tasks in (
            (
                "Northlight - internal work",
                ("Bench and training", "Sales support", "Internal meetings", "Practice development"),
            ),
            ("Northlight - time off", ("Vacation", "Sick leave")),
        ):
            workspace = self._insert(
                "workspaces",
                {
                    "title": title,
                    "status_key": ACTIVE,
                    "tasks_default_non_billable": True,
                    "primary_maven_id": self.user(lead),
                    "currency": "USD",
                },
                self.user(lead),
            )
            for task in tasks:
                self._insert("stories", {"workspace_id": workspace, "title": task, "billable": False})

    def add_person(self, person: Person) -> str:
        """A user with membership, default role and cost; member of the internal projects. The user id."""
        self._load_names()
        user = self._insert(
            "users",
            {
                "full_name": person.name,
                "email_address": person.email,
                "headline": person.role,
                "country": person.country,
                "classification": "Employee",
            },
        )
        self._users[person.email], self._emails[user] = user, person.email
        permission = "Project Lead" if person.kind in ("lead", "operations") else "Project Creator"
        if person.kind in ("finance", "operations"):
            permission = "Account Administrator"
        self._insert(
            "account_memberships",
            {
                "user_id": user,
                "permission": permission,
                "cost_rate_in_cents": int(person.cost * 100),
                "billability_target": 80 if person.kind == "consultant" else 40 if person.kind == "lead" else 0,
                **({"default_role_id": self._roles[person.role]} if person.role in self._roles else {}),
            },
        )
        return user

    def join_internal(self, person: Person) -> None:
        """Make a person a member of the internal projects."""
        self.load_internal()
        for project in (self.internal, self.time_off):
            assert project is not None
            if not any(seat.user == person.email for seat in project.seats):
                self._insert("participations", {"workspace_id": project.id, "user_id": self.user(person.email)})
                project.seats.append(Seat(user=person.email, role=person.role))

    # ---- names and ids ----------------------------------------------------------------------------------------

    def admin(self) -> str:
        """The user id of the account's first administrator, who does what nobody in particular does."""
        if not self._admin:
            rows = self.service.rows("account_memberships", "permission = 'Account Administrator'")
            self._admin = next((row["user_id"] for row in rows if row["user_id"]), "0")
        return self._admin

    def _insert(self, object: str, values: Mapping[str, Any], actor: str | None = None) -> str:
        return self.service.insert(object, values, actor=actor or self.admin())

    def _load_names(self) -> None:
        if not self._roles:
            self._roles = {row["name"]: row["id"] for row in self.service.rows("roles", "deleted_at IS NULL")}
        if not self._cards:
            sets = {row["id"] for row in self.service.rows("rate_card_sets", "account_default = 1")}
            self._cards = {
                row["currency"]: row["id"] for row in self.service.rows("rate_cards") if row["rate_card_set_id"] in sets
            }

    def _load_users(self) -> None:
        if not self._users or not self._emails:
            for row in self.service.rows("users"):
                self._users[row["email_address"]] = row["id"]
                self._emails[row["id"]] = row["email_address"]

    def user(self, email: str) -> str:
        """The user id of an e-mail address; KeyError for a stranger."""
        self._load_users()
        return self._users[email]

    def has_user(self, email: str) -> bool:
        """Whether there is a user with that e-mail address."""
        self._load_users()
        return email in self._users

    def email(self, user: str) -> str:
        """The e-mail address of a user id."""
        self._load_users()
        return self._emails.get(user, "")

    def role_name(self, role_id: str | None) -> str:
        """The name of a role id; '' for none."""
        self._load_names()
        return next((name for name, id in self._roles.items() if id == role_id), "")

    def _custom(self, subject: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        if not self._fields:
            self._fields = {(row["subject_type"], row["name"]): row["id"] for row in self.service.rows("custom_fields")}
        return [{"custom_field_id": self._fields[subject, name], "value": value} for name, value in values.items()]

    def _reference(self, model: str, ref: str, external_status: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "service_name": REFERENCE_SERVICE,
            "service_model": model,
            "service_model_ref": ref,
            "status": "successful",
        }
        return found | ({"external_status": external_status} if external_status else {})

    # ---- projects ---------------------------------------------------------------------------------------------

    def group(self, account: str, client: Client) -> str:
        """The client group of a CRM account, made when there is none. Its id."""
        if account not in self._groups:
            found = self.service.rows(
                "external_references",
                "service_name = ? AND service_model_ref = ? AND subject_type = 'WorkspaceGroup'",
                (REFERENCE_SERVICE, account),
            )
            self._groups[account] = next((str(row["subject_id"]) for row in found), "") or self._insert(
                "workspace_groups",
                {
                    "name": client.name,
                    "company": True,
                    "email": client.invoices_to,
                    "website": f"https://www.{client.domain}",
                    "external_reference": self._reference("Account", account),
                    "custom_fields": self._custom(
                        "WorkspaceGroup", {"VAT Number": client.vat, "Currency": client.currency}
                    ),
                },
            )
        return self._groups[account]

    def open_project(
        self,
        *,
        title: str,
        deal: str | None,
        group: str | None,
        lead: str,
        currency: str,
        price: Decimal,
        billing: str,
        entity: str,
        start: date,
        end: date,
        fixed: bool,
        po_number: str = "",
    ) -> Project:
        """A project as the firm's operations people set it up by hand."""
        self._load_names()
        values: dict[str, Any] = {
            "title": title,
            "budgeted": True,
            "price": str(price),
            "rate_card_id": self._cards[currency],
            "status_key": ACTIVE,
            "start_date": start.isoformat(),
            "due_date": end.isoformat(),
            "primary_maven_id": self.user(lead),
            "require_time_approvals": True,
            "require_expense_approvals": True,
            "stories_are_fixed_fee_by_default": fixed,
            "custom_fields": self._custom("Workspace", {"Billing Type": billing, "Legal Entity": entity}),
        }
        if group:
            values["primary_workspace_group_id"] = group
        if deal:
            values["external_reference"] = self._reference("Opportunity", deal)
        if po_number:
            values["invoice_preference"] = {"purchase_order": po_number}
        workspace = self._insert("workspaces", values, self.user(lead))
        return Project(
            id=workspace,
            title=title,
            currency=currency,
            status=ACTIVE,
            lead=lead,
            start=start,
            end=end,
            fixed=fixed,
            price=price,
            deal=deal,
            seats=[Seat(user=lead, role="")],
        )

    def set_status(self, project: Project, status: int) -> None:
        """The lead moves the project's status."""
        self.service.update("workspaces", project.id, {"status_key": status}, actor=self.user(project.lead))
        project.status = status

    def add_task(
        self,
        project: Project,
        title: str,
        *,
        billable: bool = True,
        start: date | None = None,
        due: date | None = None,
        kind: str = "task",
        minutes: int | None = None,
    ) -> str:
        """A task or milestone in the plan. Its id."""
        values: dict[str, Any] = {
            "workspace_id": project.id,
            "title": title,
            "story_type": kind,
            "billable": billable,
            "fixed_fee": project.fixed,
        }
        if start:
            values["start_date"] = start.isoformat()
        if due:
            values["due_date"] = due.isoformat()
        if minutes:
            values["time_estimate_in_minutes"] = minutes
        id = self._insert("stories", values, self.user(project.lead))
        if kind == "task":
            project.tasks.append(Task(id=id, title=title, billable=billable))
        return id

    def add_milestone(
        self, project: Project, title: str, amount: Decimal, *, day: date | None = None, task: str | None = None
    ) -> str:
        """An amount to invoice on a day, or when a task is completed. Its id."""
        values: dict[str, Any] = {
            "workspace_id": project.id,
            "title": title,
            "amount_in_cents": int(amount * 100),
            "billing_type": "upon_completion" if task else "fixed_date",
            **({"story_id": task} if task else {"date_to_invoice": day.isoformat() if day else None}),
        }
        return self._insert("billing_milestones", values, self.user(project.lead))

    def staff(self, project: Project, person: Person, role: str, minutes: int) -> None:
        """Put a person into a project in a role, with planned minutes over the project's dates."""
        self._load_names()
        resource = self._insert(
            "workspace_resources",
            {"workspace_id": project.id, "user_id": self.user(person.email), "role_id": self._roles[role]},
            self.user(project.lead),
        )
        project.seats.append(Seat(user=person.email, role=role))
        if minutes and project.start and project.end:
            self._insert(
                "workspace_allocations",
                {
                    "resource_id": resource,
                    "start_date": project.start.isoformat(),
                    "end_date": project.end.isoformat(),
                    "minutes": minutes,
                    "hard": True,
                },
                self.user(project.lead),
            )

    def load_internal(self) -> None:
        """Find the internal projects."""
        if self.internal is None:
            found = self._projects("title IN ('Northlight - internal work', 'Northlight - time off')", ())
            by_title = {project.title: project for project in found}
            self.internal = by_title["Northlight - internal work"]
            self.time_off = by_title["Northlight - time off"]

    def projects(self) -> list[Project]:
        """Every client project that is neither finished nor archived, with people and tasks, in id order."""
        closed = ", ".join(map(str, CLOSED_STATUSES))
        return [
            project
            for project in self._projects(f"archived = 0 AND status_key NOT IN ({closed})", ())
            if not project.title.startswith("Northlight - ")
        ]

    def _projects(self, where: str, params: Sequence[Any]) -> list[Project]:
        out: dict[str, Project] = {}
        for row in self.service.rows("workspaces", where, params):
            out[row["id"]] = Project(
                id=row["id"],
                title=row["title"],
                currency=row["currency"],
                status=row["status_key"],
                lead=self.email(row["primary_maven_id"]),
                start=_day(row["start_date"]),
                end=_day(row["due_date"]),
                fixed=bool(row["stories_are_fixed_fee_by_default"]),
                price=Decimal(row["price_in_cents"] or 0) / 100,
            )
        for chunk in _chunks([int(id) for id in out], 400):
            marks = ",".join("?" * len(chunk))
            for row in self.service.rows(
                "external_references",
                f"subject_type = 'Workspace' AND service_name = ? AND subject_id IN ({marks})",
                (REFERENCE_SERVICE, *chunk),
            ):
                if row["service_model"] == "Opportunity":
                    out[str(row["subject_id"])].deal = row["service_model_ref"]
            for row in self.service.rows("workspace_resources", f"workspace_id IN ({marks})", chunk):
                if row["user_id"]:
                    out[row["workspace_id"]].seats.append(
                        Seat(user=self.email(row["user_id"]), role=self.role_name(row["role_id"]))
                    )
            for row in self.service.rows(
                "stories",
                f"workspace_id IN ({marks}) AND deleted_at IS NULL AND story_type = 'task' AND time_trackable = 1",
                chunk,
            ):
                out[row["workspace_id"]].tasks.append(
                    Task(id=row["id"], title=row["title"], billable=bool(row["billable"]))
                )
        return list(out.values())

    # ---- hours ------------------------------------------------------------------------------------------------

    def log_time(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Hours as {project, user (e-mail), task, role, day, minutes, billable, notes}; how many were logged."""
        self._load_names()
        self._load_users()
        users, roles = self._users, self._roles

        def vendor() -> Iterable[dict[str, Any]]:
            for row in rows:
                values = {
                    "workspace_id": int(row["project"]),
                    "user_id": int(users[row["user"]]),
                    "date_performed": row["day"],
                    "time_in_minutes": row["minutes"],
                    "billable": int(row["billable"]),
                    "notes": row["notes"],
                }
                if row["task"]:
                    values["story_id"] = int(row["task"])
                if row["role"] in roles:
                    values["role_id"] = int(roles[row["role"]])
                yield values

        return len(self.service.insert_many("time_entries", vendor(), actor=self.admin()))

    def who_logged(self, day: date) -> set[str]:
        """The e-mail addresses of the people who have hours on a day."""
        rows = self.service.rows("time_entries", "date_performed = ?", (day.isoformat(),))
        return {self.email(row["user_id"]) for row in rows}

    def last_entry(self) -> int:
        """The highest time entry id there is (0 when none)."""
        found = self.service.store.one("SELECT max(id) AS id FROM time_entries")
        return int((found or {}).get("id") or 0)

    def unsubmitted(self, after_id: int, first: date, last: date) -> dict[tuple[str, str], list[str]]:
        """Open hours between two days, by (user e-mail, project id), for projects that ask for approval."""
        approving = {
            row["id"]
            for row in self.service.store.iterate(
                "SELECT id FROM workspaces WHERE require_time_approvals = 1 AND archived = 0"
            )
        }
        out: dict[tuple[str, str], list[str]] = defaultdict(list)
        # A large firm hands in 100,000 hours a week: only the columns that are needed are read.
        for row in self.service.store.iterate(
            "SELECT id, user_id, workspace_id FROM time_entries WHERE id > ? AND date_performed BETWEEN ? AND ?"
            " AND active_submission_id IS NULL AND approved = 0 AND invoice_id IS NULL ORDER BY id",
            (after_id, first.isoformat(), last.isoformat()),
        ):
            if row["workspace_id"] in approving:
                out[self.email(str(row["user_id"])), str(row["workspace_id"])].append(str(row["id"]))
        return dict(out)

    def entries_of(self, sheet: str) -> list[str]:
        """Ids of the hours in a submission."""
        return [row["id"] for row in self.service.rows("time_entries", "active_submission_id = ?", (int(sheet),))]

    def entries_where(self, project: str, email: str) -> list[str]:
        """Ids of a person's hours on a project."""
        return [
            row["id"]
            for row in self.service.rows(
                "time_entries", "workspace_id = ? AND user_id = ?", (int(project), int(self.user(email)))
            )
        ]

    def free_hours(self, project: str, first: date, last: date) -> list[str]:
        """Ids of approved hours on a project between two days that are not billable."""
        return [
            row["id"]
            for row in self.service.rows(
                "time_entries",
                "workspace_id = ? AND date_performed BETWEEN ? AND ? AND billable = 0 AND approved = 1",
                (int(project), first.isoformat(), last.isoformat()),
            )
        ]

    def every_project(self) -> list[Project]:
        """Every client project, finished ones too."""
        return [project for project in self._projects("", ()) if not project.title.startswith("Northlight - ")]

    def submit(self, email: str, project: str, ids: Sequence[str], title: str, comment: str | None = None) -> str:
        """One person's week on one project goes to the lead. The submission's id."""
        user = self.user(email)
        return str(
            self.service.act(
                "timesheet.submit", project, actor=user, user_id=user, line_item_ids=ids, title=title, comment=comment
            )
        )

    def lead_of(self, project: str) -> str:
        """The e-mail address of a project's lead ('' when it has none)."""
        row = next(iter(self.service.rows("workspaces", "id = ?", (int(project),))), None)
        return self.email(row["primary_maven_id"]) if row and row["primary_maven_id"] else ""

    def waiting(self, after_id: int = 0) -> list[Sheet]:
        """Timesheets that wait for approval, oldest first; only those with a higher id than `after_id`."""
        return [
            Sheet(
                id=row["id"], project=row["workspace_id"], user=self.email(row["user_id"]), start=str(row["start_date"])
            )
            for row in self.service.rows("timesheet_submissions", "status = 'pending' AND id > ?", (after_id,))
        ]

    def approve(self, sheets: Sequence[str], lead: str) -> None:
        """The lead approves timesheets."""
        approve: Any = self.service.act  # a button of this platform takes a whole list
        approve("timesheet.approve", list(sheets), actor=self.user(lead))

    def reject(self, sheet: str, lead: str, why: str) -> None:
        """The lead sends a timesheet back; its hours are open again."""
        self.service.act("timesheet.reject", sheet, actor=self.user(lead), description=why)

    # ---- expenses ---------------------------------------------------------------------------------------------

    def add_expense(
        self, project: str, email: str, day: date, category: str, amount: Decimal, *, billable: bool, notes: str
    ) -> str:
        """An expense in the project's currency. Its id."""
        if not self._categories:
            self._categories = {row["name"]: row["id"] for row in self.service.rows("expense_categories")}
        return self._insert(
            "expenses",
            {
                "workspace_id": project,
                "user_id": self.user(email),
                "date": day.isoformat(),
                "category": category,
                "expense_category_id": self._categories[category],
                "amount_in_cents": int(amount * 100),
                "is_billable": billable,
                "notes": notes,
            },
            self.user(email),
        )

    def submit_expenses(self, project: str, email: str, ids: Sequence[str], title: str) -> str:
        """An expense report of one person on one project. Its id."""
        user = self.user(email)
        return str(
            self.service.act("expense_report.submit", project, actor=user, user_id=user, line_item_ids=ids, title=title)
        )

    def waiting_expenses(self) -> list[Sheet]:
        """Expense reports that wait for approval."""
        return [
            Sheet(
                id=row["id"], project=row["workspace_id"], user=self.email(row["user_id"]), start=str(row["start_date"])
            )
            for row in self.service.rows("expense_report_submissions", "status = 'pending'")
        ]

    def approve_expenses(self, reports: Sequence[str], lead: str) -> None:
        """The lead approves expense reports."""
        approve: Any = self.service.act  # a button of this platform takes a whole list
        approve("expense_report.approve", list(reports), actor=self.user(lead))

    # ---- milestones and billing by hand -----------------------------------------------------------------------

    def milestones(self, where: str = "", params: Sequence[Any] = ()) -> list[Milestone]:
        """Billing milestones."""
        return [
            Milestone(
                id=row["id"],
                project=row["workspace_id"],
                title=row["title"],
                cents=row["amount_in_cents"],
                by_date=row["billing_type"] == "fixed_date",
                day=_day(row["date_to_invoice"]),
                task=row["story_id"],
                invoice=row["invoice_id"],
            )
            for row in self.service.rows("billing_milestones", where, params)
        ]

    def due_tasks(self, day: date) -> list[tuple[str, str, str, date]]:
        """(task id, project id, title, due date) of unfinished tasks that hold up a milestone and are due by a day."""
        waiting = {m.task for m in self.milestones("invoice_id IS NULL AND billing_type = 'upon_completion'")}
        out = []
        for chunk in _chunks([int(task) for task in waiting if task], 400):
            marks = ",".join("?" * len(chunk))
            for row in self.service.rows(
                "stories",
                f"id IN ({marks}) AND state <> 'completed' AND deleted_at IS NULL AND due_date <= ?",
                (*chunk, day.isoformat()),
            ):
                out.append((row["id"], row["workspace_id"], row["title"], date.fromisoformat(row["due_date"])))
        return sorted(out, key=lambda found: int(found[0]))

    def completed_tasks(self, ids: Iterable[str]) -> set[str]:
        """Which of these tasks are completed."""
        out: set[str] = set()
        for chunk in _chunks([int(id) for id in ids], 400):
            marks = ",".join("?" * len(chunk))
            out |= {
                row["id"] for row in self.service.rows("stories", f"id IN ({marks}) AND state = 'completed'", chunk)
            }
        return out

    def complete(self, task: str, lead: str) -> None:
        """The lead ticks a task off."""
        self.service.act("story.complete", task, actor=self.user(lead))

    def billable_hours(self, project: str, last: date) -> list[Work]:
        """Approved, billable, uninvoiced hours of a project up to a day, with their value."""
        return [
            Work(
                id=row["id"],
                day=date.fromisoformat(row["date_performed"]),
                user=self.email(row["user_id"]),
                minutes=row["time_in_minutes"],
                rate=Decimal(row["rate_in_cents"]) / 100,
                amount=Decimal(0),
                text=row["notes"] or "",
            )
            for row in self.service.rows(
                "time_entries",
                "workspace_id = ? AND approved = 1 AND billable = 1 AND invoice_id IS NULL AND date_performed <= ?"
                " AND rate_in_cents > 0",
                (int(project), last.isoformat()),
            )
        ]

    def billable_expenses(self, project: str, last: date) -> list[Work]:
        """Approved, billable, uninvoiced expenses of a project up to a day."""
        return [
            Work(
                id=row["id"],
                day=date.fromisoformat(row["date"]),
                user=self.email(row["user_id"]),
                minutes=0,
                rate=Decimal(row["amount_in_cents"]) / 100,
                amount=Decimal(row["amount_in_cents"]) / 100,
                text=row["category"],
            )
            for row in self.service.rows(
                "expenses",
                "workspace_id = ? AND approved = 1 AND is_billable = 1 AND invoice_id IS NULL AND date <= ?",
                (int(project), last.isoformat()),
            )
        ]

    def mirror_invoice(
        self,
        project: str,
        key: str,
        *,
        number: str,
        day: date,
        terms: int,
        hours: Sequence[str],
        expenses: Sequence[str],
        milestones: Sequence[str],
        po_number: str = "",
    ) -> str:
        """Show an issued ledger invoice on the project, so that its work counts as invoiced. The PSA invoice's id."""
        values: dict[str, Any] = {
            "workspace_id": project,
            "invoice_date": day.isoformat(),
            "payment_schedule": terms,
            "message": f"Ledger invoice {number}",
            "suppress_emails": True,
            "external_reference": self._reference("invoice", key, "issued"),
        }
        if hours:
            values["time_entry_ids"] = list(hours)
        if expenses:
            values["expense_ids"] = list(expenses)
        if milestones:
            values["billing_milestone_ids"] = list(milestones)
        if po_number:
            values["purchase_order"] = po_number
        return self._insert("invoices", values)

    def invoice_of(self, key: str) -> tuple[str, str] | None:
        """(PSA invoice id, project id) of the unpaid mirror of a ledger invoice; None when there is none."""
        found = self.service.rows(
            "external_references",
            "service_name = ? AND service_model_ref = ? AND subject_type = 'Invoice'",
            (REFERENCE_SERVICE, key),
        )
        for row in found:
            invoice = next(
                iter(self.service.rows("invoices", "id = ? AND status = 'new'", (int(row["subject_id"]),))), None
            )
            if invoice is None:
                continue
            at = self.service.store.one(
                "SELECT workspace_id FROM invoice_workspaces WHERE invoice_id = ?", (int(invoice["id"]),)
            )
            return (invoice["id"], str(at["workspace_id"])) if at else None
        return None

    def mark_paid(self, invoice: str, project: str, number: str) -> None:
        """The mirror is paid in full."""
        self._insert(
            "external_payments",
            {"workspace_id": project, "invoice_id": invoice, "message": f"Paid, ledger payment {number}"},
        )


def _chunks(items: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (items[at : at + size] for at in range(0, len(items), size))
