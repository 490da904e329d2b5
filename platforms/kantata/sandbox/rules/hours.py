"""Rules of hours, expenses, their submissions and the lock.

An hour is refused when its project takes no time, its author is no member, its day is locked or outside what a day can
hold; it is frozen while it waits in a submission, is approved or is invoiced. A submission covers one project and one
person; after a rejection the hours go into a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from platforms.kantata.sandbox.refusals import Problem, ValidationFailed, validation
from platforms.kantata.sandbox.rules.base import Nested, ObjectRules, Row
from platforms.kantata.sandbox.rules.rates import RateBook
from platforms.kantata.sandbox.rules.work import _items, to_subunits
from platforms.kantata.sandbox.schema import TABLES, BadValue, to_stored

if TYPE_CHECKING:
    from platforms.kantata.sandbox.service import Service

DAY_MINUTES = 24 * 60
_SATURDAY = 5


def line_amount(rate_in_cents: int | None, minutes: int) -> int:
    """Subunits for minutes at an hourly rate, rounded half up per line."""
    return int((Decimal((rate_in_cents or 0) * minutes) / 60).to_integral_value(ROUND_HALF_UP))


def locked_to(service: Service) -> str:
    """The day up to which time is locked ('' when nothing is): the newest lock counts."""
    row = service.store.one("SELECT locked_to FROM line_item_locks ORDER BY id DESC LIMIT 1")
    return row["locked_to"] if row else ""


class Book:
    """What the rules of hours and expenses look up, remembered for one transaction."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.locked_to = locked_to(service)
        self.rates = RateBook(service)
        self._workspaces: dict[int, Row | None] = {}
        self._members: dict[int, set[int]] = {}
        self._stories: dict[int, tuple[int, int, int, int | None] | None] = {}

    def workspace(self, id: int) -> Row | None:
        if id not in self._workspaces:
            self._workspaces[id] = self.service.raw("workspaces", id)
        return self._workspaces[id]

    def members(self, workspace_id: int) -> set[int]:
        if workspace_id not in self._members:
            rows = self.service.store.read("SELECT user_id FROM participations WHERE workspace_id = ?", (workspace_id,))
            self._members[workspace_id] = {r["user_id"] for r in rows}
        return self._members[workspace_id]

    def story(self, id: int) -> tuple[int, int, int, int | None] | None:
        """(workspace, time_trackable, billable, deleted_at) of a task."""
        if id not in self._stories:
            row = self.service.store.one(
                "SELECT workspace_id, time_trackable, billable, deleted_at FROM stories WHERE id = ?", (id,)
            )
            self._stories[id] = tuple(row.values()) if row else None
        return self._stories[id]

    def check_time(self, row: Row) -> Row:
        """Refuse an hour the platform would refuse; its project."""
        workspace = self.workspace(row["workspace_id"]) if row["workspace_id"] is not None else None
        problems = []
        day, minutes = row["date_performed"], row["time_in_minutes"]
        if workspace is None:
            problems.append(
                ("workspace_id", "Workspace does not exist" if row["workspace_id"] else "Workspace can't be blank")
            )
        if day is None:
            problems.append(("date_performed", "Date performed can't be blank"))
        elif self.locked_to and day <= self.locked_to:
            problems.append(("date_performed", f"Date performed is locked up to {self.locked_to}"))
        if minutes is None:
            problems.append(("time_in_minutes", "Time in minutes can't be blank"))
        elif not 0 < minutes <= DAY_MINUTES:
            problems.append(("time_in_minutes", f"Time in minutes must be between 1 and {DAY_MINUTES}"))
        if workspace is not None:
            if not workspace["time_trackable"]:
                problems.append(("workspace_id", "Time cannot be tracked in this project"))
            if workspace["archived"]:
                problems.append(("workspace_id", "Project is archived"))
            if row["user_id"] not in self.members(workspace["id"]):
                problems.append(("user_id", "User is not a member of this project"))
            if workspace["require_notes_on_time_entries"] and not row["notes"]:
                problems.append(("notes", "Notes can't be blank"))
            if row["story_id"] is not None:
                story = self.story(row["story_id"])
                if story is None or story[0] != workspace["id"] or story[3] is not None:
                    problems.append(("story_id", "Story does not exist in this project"))
                elif not story[1]:
                    problems.append(("story_id", "Time cannot be tracked against this task"))
        if (row["rate_in_cents"] or 0) < 0:
            problems.append(("rate_in_cents", "Rate must be greater than or equal to 0"))
        if problems or workspace is None:
            raise ValidationFailed([Problem(field=field, message=message) for field, message in problems])
        return workspace

    def complete_time(self, row: Row) -> None:
        """Check an hour and fill role, rate, cost and billable flag."""
        workspace = self.check_time(row)
        workspace_id, user_id = workspace["id"], row["user_id"]
        if row["billable"] is None:
            story = self.story(row["story_id"]) if row["story_id"] is not None else None
            row["billable"] = story[2] if story else 1
        if row["role_id"] is None:
            row["role_id"] = self.rates.role(workspace_id, user_id)
        if row["rate_in_cents"] is None:
            row["rate_in_cents"] = self.rates.rate(workspace, user_id, row["role_id"], row["date_performed"])
        row["cost_rate_in_cents"] = self.rates.cost(workspace_id, user_id)


def _frozen(row: Row) -> None:
    if row["invoice_id"] is not None:
        raise validation("base", "Line item is on an invoice and cannot be changed")
    if row["approved"]:
        raise validation("base", "Line item is approved and cannot be changed")
    if row["active_submission_id"] is not None:
        raise validation("base", "Line item is part of a pending submission and cannot be changed")


class TimeEntries(ObjectRules):
    """Hours."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["user_id"] = row["user_id"] if row["user_id"] is not None else (actor or None)
        Book(service).complete_time(row)

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        _frozen(old)
        book = Book(service)
        if book.locked_to and old["date_performed"] <= book.locked_to:
            raise validation("date_performed", f"Date performed is locked up to {book.locked_to}")
        new = {**old, **changes}
        if new["rate_in_cents"] is None:
            new["rate_in_cents"] = 0
        workspace = book.check_time(new)
        moved = {"role_id", "date_performed"} & {name for name in changes if changes[name] != old[name]}
        if moved and "rate_in_cents" not in changes:
            changes["rate_in_cents"] = book.rates.rate(workspace, new["user_id"], new["role_id"], new["date_performed"])

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        _frozen(old)
        lock = locked_to(service)
        if lock and old["date_performed"] <= lock:
            raise validation("date_performed", f"Date performed is locked up to {lock}")
        return False


# The columns of the fast path, in the order they are written.
_TIME_COLUMNS = tuple(name for name in TABLES["time_entries"].columns)
_TIME_KINDS = {name: column.kind for name, column in TABLES["time_entries"].columns.items()}
_TIME_WRITABLE = {name for name, column in TABLES["time_entries"].columns.items() if column.create}


def insert_time_entries(service: Service, rows: Sequence[Mapping[str, Any]], actor: int) -> list[int]:
    """Every rule of `TimeEntries`, with look-ups remembered over the whole batch and one statement for all rows."""
    book = Book(service)
    now = service.now_ms()
    defaults: Row = {name: column.default for name, column in TABLES["time_entries"].columns.items()}
    defaults["created_at"] = defaults["updated_at"] = now
    simple = _TIME_WRITABLE
    days: set[str] = set()  # seen and found to be days
    prepared = []
    references: list[tuple[int, Mapping[str, Any]]] = []
    for position, given in enumerate(rows):
        row = defaults.copy()
        for name, value in given.items():
            if name in simple:
                kind = type(value)
                if kind is int or value is None or (kind is str and name in ("date_performed", "notes", "location")):
                    row[name] = value
                else:
                    row[name] = _stored("time_entries", name, value)
            elif name == "external_reference":
                references.append((position, value))
            else:
                raise KeyError(f"time_entries has no writable field {name!r}")
        day = row["date_performed"]
        if day is not None and day not in days:
            row["date_performed"] = _stored("time_entries", "date_performed", day)
            days.add(row["date_performed"])
        if row["user_id"] is None:
            row["user_id"] = actor or None
        try:
            book.complete_time(row)
        except ValidationFailed as refused:
            raise refused.at(position) from None
        prepared.append(tuple(row.values()))
    return _write_batch(service, "time_entries", _TIME_COLUMNS, prepared, references, actor, now)


def _stored(table: str, name: str, value: Any) -> Any:
    try:
        return to_stored(TABLES[table].columns[name].kind, value)
    except BadValue as bad:
        raise validation(name, f"{name.replace('_', ' ').capitalize()} {bad}") from None


def _write_batch(
    service: Service,
    table: str,
    columns: tuple[str, ...],
    prepared: list[tuple[Any, ...]],
    references: list[tuple[int, Mapping[str, Any]]],
    actor: int,
    now: int,
) -> list[int]:
    """Write rows in one statement, their references and their created events; the ids."""
    store = service.store
    if not prepared:
        return []
    last = store.one("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
    first = (last["seq"] if last else 0) + 1
    names = ", ".join(f'"{name}"' for name in columns)
    marks = ", ".join("?" * len(columns))
    store.write_many(f"INSERT INTO {table} ({names}) VALUES ({marks})", prepared)
    ids = list(range(first, first + len(prepared)))
    for position, reference in references:
        service.put_reference({**reference, "subject_type": TABLES[table].subject, "subject_id": ids[position]}, actor)
    store.write(
        "INSERT INTO subscribed_events (event_type, account_id, user_id, subject_type, subject_id, subject_changed_at,"
        f" created_at) SELECT ?, ?, user_id, ?, id, created_at, created_at FROM {table} WHERE id >= ? AND id < ?",
        (f"{TABLES[table].event}:created", service.account_id, TABLES[table].subject, first, first + len(prepared)),
    )
    service.forget_old_events(now)
    return ids


class Expenses(ObjectRules):
    """Expenses; written as `billable`, read as `is_billable`."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if "billable" in nested:
            row["is_billable"] = to_stored(TABLES["expenses"].columns["is_billable"].kind, nested["billable"])
        row["user_id"] = row["user_id"] if row["user_id"] is not None else (actor or None)
        workspace = service.raw("workspaces", row["workspace_id"])
        if workspace is None:
            return
        self._foreign(row, nested, workspace)
        if row["amount_in_cents"] is None:
            raise validation("amount_in_cents", "Amount in cents can't be blank")
        if workspace["archived"]:
            raise validation("workspace_id", "Project is archived")
        if not service.store.read(
            "SELECT 1 FROM participations WHERE workspace_id = ? AND user_id = ?", (row["workspace_id"], row["user_id"])
        ):
            raise validation("user_id", "User is not a member of this project")
        category = service.raw("expense_categories", row["expense_category_id"])
        if category is not None and category["deleted_at"] is not None:
            raise validation("expense_category_id", "Expense category does not exist")

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        _frozen(old)
        if service.store.read(
            "SELECT 1 FROM external_references WHERE subject_type = 'Expense' AND subject_id = ? AND locked = 1",
            (old["id"],),
        ) and (set(changes) or set(nested) - {"external_reference"}):
            raise validation("base", "Expense is locked by an external service")
        if "billable" in nested:
            changes["is_billable"] = to_stored(TABLES["expenses"].columns["is_billable"].kind, nested["billable"])
        self._foreign(changes, nested, service.need("workspaces", old["workspace_id"]))

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        _frozen(old)
        return False

    def _foreign(self, row: Row, nested: Nested, workspace: Row) -> None:
        fx = nested.get("foreign_exchange_amount")
        if not fx:
            return
        if fx.get("source_currency") in (None, "") or fx.get("source_value") in (None, "") or not fx.get("rate"):
            raise validation(
                "foreign_exchange_amount", "Foreign exchange amount needs source_currency, source_value, rate"
            )
        value = Decimal(str(fx["source_value"])) * Decimal(str(fx["rate"]))
        row["amount_in_cents"] = to_subunits(value, workspace["currency"], "foreign_exchange_amount")
        row["fx_source_currency"] = fx["source_currency"]
        row["fx_source_value"] = str(fx["source_value"])
        row["fx_rate"] = str(fx["rate"])
        row["fx_date"] = fx.get("date")


class LineItemLocks(ObjectRules):
    """Time locks: a Saturday, later than the lock before, and nothing unapproved may be left behind."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["user_id"] = actor or None
        day = row["locked_to"]
        if day is None:
            return
        if date.fromisoformat(day).weekday() != _SATURDAY:
            raise validation("locked_to", "Locked to must be a Saturday")
        if day <= locked_to(service):
            raise validation("locked_to", "Locked to must be after the current lock date")
        unapproved = service.store.one(
            "SELECT t.id FROM time_entries t JOIN workspaces w ON w.id = t.workspace_id"
            " WHERE t.date_performed <= ? AND t.date_performed > ? AND t.approved = 0"
            " AND w.require_time_approvals = 1 LIMIT 1",
            (day, locked_to(service)),
        )
        if unapproved is not None and service.option("lock_requires_approval", "yes") == "yes":
            raise validation("base", "There is unapproved time before the lock date")


def unlock(service: Service, id: Any, actor: int, *, locked_to: str) -> str:
    """`lock.move_back`: an administrator moves the lock back on the screen (the API cannot)."""
    if date.fromisoformat(locked_to).weekday() != _SATURDAY:
        raise validation("locked_to", "Locked to must be a Saturday")
    now = service.now_ms()
    return str(
        service.insert_row(
            "line_item_locks",
            {"locked_to": locked_to, "user_id": actor or None, "created_at": now, "updated_at": now},
        )
    )


class Submissions(ObjectRules):
    """Timesheets and expense reports: one project, one person, lines that wait for a decision."""

    def __init__(self, submissions: str, lines: str, day: str) -> None:
        self.submissions = submissions
        self.lines = lines
        self.day = day

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["user_id"] = row["user_id"] if row["user_id"] is not None else (actor or None)
        ids = sorted({int(i) for i in _items(nested.get("line_item_ids"))})
        if not ids:
            raise validation("line_item_ids", "Line item ids can't be blank")
        lines = self._read(service, ids)
        if len(lines) != len(ids):
            raise validation("line_item_ids", "Line items do not exist")
        for line in lines:
            if line["workspace_id"] != row["workspace_id"]:
                raise validation("line_item_ids", "Line items must belong to one project")
            if line["user_id"] != row["user_id"]:
                raise validation("line_item_ids", "Line items must belong to one user")
            if line["active_submission_id"] is not None or line["approved"]:
                raise validation("line_item_ids", "Line items are already part of a submission")
            if line["invoice_id"] is not None:
                raise validation("line_item_ids", "Line items are already invoiced")
        days = [line[self.day] for line in lines]
        row["start_date"], row["end_date"] = min(days), max(days)
        row["title"] = row["title"] or f"{row['start_date']} - {row['end_date']}"
        if self.lines == "time_entries":
            total = sum(line_amount(x["rate_in_cents"], x["time_in_minutes"]) for x in lines if x["billable"])
        else:
            total = sum(line["amount_in_cents"] for line in lines)
        row["line_item_total_in_cents"] = total

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        ids = sorted({int(i) for i in _items(nested.get("line_item_ids"))})
        now = service.now_ms()
        service.store.write_many(
            f"UPDATE {self.lines} SET active_submission_id = ?, recent_submission_id = ?, updated_at = ? WHERE id = ?",
            [(row["id"], row["id"], now, i) for i in ids],
        )

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        if nested.get("line_item_ids") is not None:
            raise validation("line_item_ids", "Line items of a submission cannot be changed")

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        raise validation("base", "Submissions cannot be deleted; cancel the submission instead")

    def _read(self, service: Service, ids: Sequence[int]) -> list[Row]:
        found: list[Row] = []
        for at in range(0, len(ids), 500):
            part = ids[at : at + 500]
            marks = ",".join("?" * len(part))
            found += service.store.read(f"SELECT * FROM {self.lines} WHERE id IN ({marks})", part)
        return found

    def resolve(
        self, service: Service, ids: Any, actor: int, *, what: str, description: str | None = None
    ) -> list[int]:
        """Approve, reject or cancel submissions; all of them or none."""
        numbers = [int(i) for i in (ids if isinstance(ids, Iterable) and not isinstance(ids, str) else [ids])]
        status = {"approve": "approved", "reject": "rejected", "cancel": "cancelled"}[what]
        now = service.now_ms()
        lock = locked_to(service) if self.lines == "time_entries" and what == "reject" else ""
        for number in numbers:
            old = service.need(self.submissions, number)
            allowed = {"approve": ("pending",), "reject": ("pending", "approved"), "cancel": ("pending",)}[what]
            if old["status"] not in allowed:
                raise validation("status", f"A submission that is {old['status']} cannot be {status}")
            if old["status"] == "approved":
                if lock and old["start_date"] <= lock:
                    raise validation("base", f"Approved timesheets up to {lock} are locked and cannot be rejected")
                if service.store.read(
                    f"SELECT 1 FROM {self.lines} WHERE active_submission_id = ? AND invoice_id IS NOT NULL LIMIT 1",
                    (number,),
                ):
                    raise validation("base", "Submission has invoiced line items and cannot be rejected")
            if (
                self.lines == "expenses"
                and what == "reject"
                and service.store.read(
                    "SELECT 1 FROM external_references r JOIN expenses e ON e.id = r.subject_id"
                    " WHERE r.subject_type = 'Expense' AND r.locked = 1 AND e.active_submission_id = ? LIMIT 1",
                    (number,),
                )
            ):
                raise validation("base", "Submission has expenses that are locked by an external service")
            service.set_columns(
                self.submissions,
                number,
                {
                    "status": status,
                    "current_resolution_description": description,
                    "current_resolution_creator_id": actor or None,
                    "current_resolution_created_at": now,
                },
            )
            if what == "approve":
                service.store.write(
                    f"UPDATE {self.lines} SET approved = 1, updated_at = ? WHERE active_submission_id = ?",
                    (now, number),
                )
            else:
                service.store.write(
                    f"UPDATE {self.lines} SET approved = 0, active_submission_id = NULL, updated_at = ?"
                    " WHERE active_submission_id = ?",
                    (now, number),
                )
            table = TABLES[self.submissions]
            service.event(table, "updated", number, actor, {"status": {"from": old["status"], "to": status}})
        return numbers


TIMESHEETS = Submissions("timesheet_submissions", "time_entries", "date_performed")
EXPENSE_REPORTS = Submissions("expense_report_submissions", "expenses", "date")


def submit(
    service: Service,
    id: Any,
    actor: int,
    *,
    rules: Submissions,
    user_id: Any = None,
    line_item_ids: Iterable[Any] | None = None,
    start_date: str | None = None,
    end_date: str | None = None,
    title: str | None = None,
    comment: str | None = None,
) -> str | None:
    """`timesheet.submit` / `expense_report.submit`: `id` is the project; the person's open lines between two days (or
    the lines given) go into one new submission. Its id, or None when there is nothing to submit."""
    who = int(user_id) if user_id is not None else actor
    if line_item_ids is None:
        rows = service.store.read(
            f"SELECT id FROM {rules.lines} WHERE workspace_id = ? AND user_id = ? AND {rules.day} BETWEEN ? AND ?"
            " AND active_submission_id IS NULL AND approved = 0 AND invoice_id IS NULL",
            (int(id), who, start_date or "0000-01-01", end_date or "9999-12-31"),
        )
        line_item_ids = [r["id"] for r in rows]
    lines = list(line_item_ids)
    if not lines:
        return None
    return service.insert(
        rules.submissions,
        {"workspace_id": id, "user_id": who, "line_item_ids": lines, "title": title, "comment": comment},
        actor=str(actor),
    )
