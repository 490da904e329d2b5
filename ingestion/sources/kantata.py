"""Kantata: projects and their plan, people, time, expenses, rate cards, invoices, and the references Tieout leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingestion.changes import snapshot
from ingestion.errors import TruncatedRead
from ingestion.reading import Row, Run, Window
from ingestion.tables import CENTS, COUNT, DATE, FLAG, ID, JSON, LEDGER, RATIO, TEXT, TIME, Deletes, Table, fields
from platforms.kit.errors import AskPerson, Gone, Refused

if TYPE_CHECKING:
    from platforms.kantata.client import KantataClient, Page

STAMPS = {"id": ID, "created_at": TIME, "updated_at": TIME}
CURRENCY = {"currency": TEXT, "currency_base_unit": COUNT}
SUBMISSION = {
    "title": TEXT,
    "comment": TEXT,
    "status": TEXT,
    "start_date": DATE,
    "end_date": DATE,
    "user_id": ID,
    "workspace_id": ID,
    "line_item_total_in_cents": CENTS,
    "currency": TEXT,
    "currency_base_unit": COUNT,
    "current_resolution_status": TEXT,
    "current_resolution_user_id": ID,
    "current_resolution_created_at": TIME,
}


def _pairs(item: str, description: str) -> Table:
    return Table(
        name=f"invoice_{item.removesuffix('_id')}s"
        if not item.endswith("y_id")
        else f"invoice_{item.removesuffix('y_id')}ies",
        vendor_object="invoices",
        description=description,
        rides_with="invoices",
        replaces="invoice_id",
        deletes=Deletes.WITH_PARENT,
        columns=fields({"id": ID, "invoice_id": ID, item: ID}),
    )


TABLES: tuple[Table, ...] = (
    Table(
        name="workspaces",
        vendor_object="workspaces",
        description="One row per project, archived ones included; price, budget and currency in subunits.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "account_id": ID,
                "creator_id": ID,
                "primary_maven_id": ID,
                "primary_counterpart_id": ID,
                "primary_workspace_group_id": ID,
                "workspace_group_ids": JSON,
                "rate_card_id": ID,
                "title": TEXT,
                "description": TEXT,
                "stage": TEXT,
                "status.key": TEXT,
                "status.message": TEXT,
                "status.color": TEXT,
                "access_level": TEXT,
                "default_rate": LEDGER,
                "price_in_cents": CENTS,
                "budget_used_in_cents": CENTS,
                "total_expenses_in_cents": CENTS,
                "percentage_complete": RATIO,
                "target_margin": RATIO,
            },
            CURRENCY,
            {
                "archived": FLAG,
                "budgeted": FLAG,
                "over_budget": FLAG,
                "tasks_default_non_billable": FLAG,
                "stories_are_fixed_fee_by_default": FLAG,
                "require_time_approvals": FLAG,
                "require_expense_approvals": FLAG,
                "expenses_in_burn_rate": FLAG,
                "time_trackable": FLAG,
                "start_date": DATE,
                "due_date": DATE,
            },
        ),
    ),
    Table(
        name="workspace_groups",
        vendor_object="workspace_groups",
        description="One row per group of projects; a group with `company` stands for a client.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "name": TEXT,
                "company": FLAG,
                "contact_name": TEXT,
                "email": TEXT,
                "phone_number": TEXT,
                "address": TEXT,
                "website": TEXT,
                "notes": TEXT,
            },
        ),
    ),
    Table(
        name="stories",
        vendor_object="stories",
        description="One row per task, milestone, deliverable or issue of a project plan.",
        cursor="updated_at",
        deletes=Deletes.FLAGGED,
        columns=fields(
            STAMPS,
            {
                "workspace_id": ID,
                "parent_id": ID,
                "root_id": ID,
                "creator_id": ID,
                "title": TEXT,
                "description": TEXT,
                "story_type": TEXT,
                "state": TEXT,
                "priority": TEXT,
                "budget_estimate_in_cents": CENTS,
                "budget_used_in_cents": CENTS,
                "invoiced_balance_in_cents": CENTS,
                "uninvoiced_balance_in_cents": CENTS,
                "time_estimate_in_minutes": COUNT,
                "logged_billable_time_in_minutes": COUNT,
                "logged_nonbillable_time_in_minutes": COUNT,
                "percentage_complete": RATIO,
                "position": COUNT,
                "billable": FLAG,
                "fixed_fee": FLAG,
                "archived": FLAG,
                "time_trackable": FLAG,
                "start_date": DATE,
                "due_date": DATE,
                "deleted_at": TIME,
            },
        ),
    ),
    Table(
        name="users",
        vendor_object="users",
        description="One row per person that the integration user can see, on the account or a client.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "account_id": ID,
                "full_name": TEXT,
                "email_address": TEXT,
                "headline": TEXT,
                "classification": TEXT,
                "city": TEXT,
                "country": TEXT,
            },
        ),
    ),
    Table(
        name="account_memberships",
        vendor_object="account_memberships",
        description="One row per member of the account: role, rates, utilization target, inactive ones included.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "account_id": ID,
                "user_id": ID,
                "manager_id": ID,
                "default_role_id": ID,
                "permission": TEXT,
                "bill_rate_in_cents": CENTS,
                "cost_rate_in_cents": CENTS,
            },
            CURRENCY,
            {"billability_target": RATIO, "disabled_at": TIME},
        ),
    ),
    Table(
        name="roles",
        vendor_object="roles",
        description="One row per role that people, staffing slots and rates refer to.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(STAMPS, {"name": TEXT, "deleted_at": TIME}),
    ),
    Table(
        name="participations",
        vendor_object="participations",
        description="One row per person on a project, with the project's own rate for them.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "workspace_id": ID,
                "user_id": ID,
                "role": TEXT,
                "access_level": TEXT,
                "rate_in_cents": CENTS,
                "default_rate_in_cents": CENTS,
                "cost_in_cents": CENTS,
                "is_team_lead": FLAG,
            },
        ),
    ),
    Table(
        name="workspace_resources",
        vendor_object="workspace_resources",
        description="One row per staffing slot of a project, named (user) or unnamed (role only).",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {"workspace_id": ID, "user_id": ID, "role_id": ID, "role_name": TEXT, "display_label": TEXT},
        ),
    ),
    Table(
        name="workspace_allocations",
        vendor_object="workspace_allocations",
        description="One row per booking of a staffing slot over a range of days: planned minutes, hard or soft.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "workspace_resource_id": ID,
                "workspace_id": ID,
                "minutes": COUNT,
                "percentage": RATIO,
                "hard": FLAG,
                "start_date": DATE,
                "end_date": DATE,
            },
        ),
    ),
    Table(
        name="rate_card_sets",
        vendor_object="rate_card_sets",
        description="One row per price list: the account's own, or one for some clients.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS, {"title": TEXT, "account_default": FLAG, "active_currencies": JSON, "workspace_group_ids": JSON}
        ),
    ),
    Table(
        name="rate_cards",
        vendor_object="rate_cards",
        description="One row per currency of a price list; projects point here.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {"rate_card_set_id": ID, "effective_rate_card_version_id": ID, "title": TEXT, "archived": FLAG},
            CURRENCY,
        ),
    ),
    Table(
        name="rate_card_set_versions",
        vendor_object="rate_card_set_versions",
        description="One row per dated version of a price list; the latest effective date up to the work date holds.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(STAMPS, {"rate_card_set_id": ID, "active": FLAG, "effective_date": DATE}),
    ),
    Table(
        name="rate_card_versions",
        vendor_object="rate_card_versions",
        description="One row per currency of a version, with the rate for roles that have none of their own.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(STAMPS, {"rate_card_id": ID, "rate_card_set_version_id": ID, "default_rate": LEDGER}, CURRENCY),
    ),
    Table(
        name="rate_card_roles",
        vendor_object="rate_card_roles",
        description="One row per role of a version: its rate per hour.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(STAMPS, {"rate_card_version_id": ID, "role_id": ID, "rate": LEDGER}),
    ),
    Table(
        name="time_entries",
        vendor_object="time_entries",
        description="One row per entry of time: minutes, rate per hour in subunits, approval and invoicing state.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "workspace_id": ID,
                "user_id": ID,
                "story_id": ID,
                "role_id": ID,
                "active_submission_id": ID,
                "notes": TEXT,
                "location": TEXT,
                "time_in_minutes": COUNT,
                "rate_in_cents": CENTS,
                "cost_rate_in_cents": CENTS,
            },
            CURRENCY,
            {"billable": FLAG, "approved": FLAG, "is_invoiced": FLAG, "taxable": FLAG, "date_performed": DATE},
        ),
    ),
    Table(
        name="timesheet_submissions",
        vendor_object="timesheet_submissions",
        description="One row per submission of one person's time on one project, and how it was resolved.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(STAMPS, SUBMISSION),
    ),
    Table(
        name="expense_report_submissions",
        vendor_object="expense_report_submissions",
        description="One row per submission of expenses, and how it was resolved.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        optional=True,
        columns=fields(STAMPS, SUBMISSION),
    ),
    Table(
        name="expenses",
        vendor_object="expenses",
        description="One row per expense: amount in subunits, approval and invoicing state.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "workspace_id": ID,
                "user_id": ID,
                "story_id": ID,
                "expense_category_id": ID,
                "vendor_id": ID,
                "role_id": ID,
                "active_submission_id": ID,
                "category": TEXT,
                "notes": TEXT,
                "amount_in_cents": CENTS,
            },
            CURRENCY,
            {
                "is_billable": FLAG,
                "approved": FLAG,
                "is_invoiced": FLAG,
                "reimbursable": FLAG,
                "taxable": FLAG,
                "date": DATE,
            },
        ),
    ),
    Table(
        name="expense_categories",
        vendor_object="expense_categories",
        description="One row per kind of expense.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(STAMPS, {"name": TEXT, "deleted_at": TIME}),
    ),
    Table(
        name="billing_milestones",
        vendor_object="billing_milestones",
        description="One row per agreed billing step of a project: subunits, due by date or on completion of a task.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "workspace_id": ID,
                "story_id": ID,
                "invoice_id": ID,
                "title": TEXT,
                "billing_type": TEXT,
                "amount_in_cents": CENTS,
            },
            CURRENCY,
            {"date_to_invoice": DATE},
        ),
    ),
    Table(
        name="invoices",
        vendor_object="invoices",
        description="One row per invoice as the PSA holds it; `balance_in_cents` is its total, not what is open.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "user_id": ID,
                "recipient_id": ID,
                "workspace_ids": JSON,
                "title": TEXT,
                "user_invoice_number": TEXT,
                "status": TEXT,
                "purchase_order": TEXT,
                "project_code": TEXT,
                "message": TEXT,
                "payment_schedule": COUNT,
                "balance_in_cents": CENTS,
                "tax_rate": RATIO,
            },
            CURRENCY,
            {"draft": FLAG, "invoice_date": DATE, "due_date": DATE, "fixed_fee_items": JSON, "additional_items": JSON},
        ),
    ),
    _pairs("time_entry_id", "One row per entry of time on an invoice."),
    _pairs("expense_id", "One row per expense on an invoice."),
    _pairs("billing_milestone_id", "One row per billing milestone on an invoice."),
    Table(
        name="external_payments",
        vendor_object="external_payments",
        description="One row per payment recorded against an invoice in the PSA.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS, {"workspace_id": ID, "invoice_id": ID, "message": TEXT, "amount_in_cents": CENTS}, CURRENCY
        ),
    ),
    Table(
        name="external_references",
        vendor_object="external_references",
        description="One row per foreign id that a system left on an object; Tieout's have service_name 'tieout'.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "subject_type": TEXT,
                "subject_id": ID,
                "service_name": TEXT,
                "service_model": TEXT,
                "service_model_ref": TEXT,
                "status": TEXT,
                "external_status": TEXT,
                "external_message": TEXT,
                "external_link": TEXT,
                "locked": FLAG,
                "last_synced_at": TIME,
            },
        ),
    ),
    Table(
        name="custom_fields",
        vendor_object="custom_fields",
        description="One row per custom field of the account, with the type of its values.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(STAMPS, {"name": TEXT, "subject_type": TEXT, "value_type": TEXT}),
    ),
    Table(
        name="custom_field_values",
        vendor_object="custom_field_values",
        description="One row per custom field and subject; a write gives it a new id. `value` is JSON text.",
        key=("custom_field_id", "subject_type", "subject_id"),
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(
            STAMPS,
            {
                "account_id": ID,
                "custom_field_id": ID,
                "custom_field_name": TEXT,
                "subject_type": TEXT,
                "subject_id": ID,
                "type": TEXT,
                "value": JSON,
                "display_value": TEXT,
            },
        ),
    ),
    Table(
        name="line_item_locks",
        vendor_object="line_item_locks",
        description="One row per time lock: nothing on or before `locked_to` (a Saturday) may be changed.",
        cursor="updated_at",
        deletes=Deletes.SWEPT,
        columns=fields(STAMPS, {"locked_to": DATE}),
    ),
)

# What a table must be asked for so that all declared fields come.
_ASK: Mapping[str, Mapping[str, str]] = {
    "workspaces": {"include": "workspace_groups,primary_workspace_group", "optional_fields": "stage"},
    "users": {"optional_fields": "classification,city,country"},
    "participations": {"optional_fields": "access_level"},
    "rate_card_sets": {"include": "workspace_groups"},
    "invoices": {
        "include": "time_entries,expenses,billing_milestones,fixed_fee_items,additional_items,workspaces",
        # An invoice brings all its hours along: pages of 200 invoices would be answers of many megabytes.
        "per_page": "50",
    },
}
# These collections are listed for one kind of subject at a time.
_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "external_references": (
        "Workspace",
        "WorkspaceGroup",
        "Story",
        "User",
        "TimeEntry",
        "Expense",
        "Invoice",
        "BillingMilestone",
        "Role",
        "RateCard",
    ),
    "custom_field_values": ("Workspace", "WorkspaceGroup"),
}
# subject_type of a `<thing>:deleted` event -> table.
_EVENT_TABLES = {
    "workspace": "workspaces",
    "workspace_group": "workspace_groups",
    "story": "stories",
    "time_entry": "time_entries",
    "expense": "expenses",
    "invoice": "invoices",
    "billing_milestone": "billing_milestones",
    "workspace_resource": "workspace_resources",
    "workspace_allocation": "workspace_allocations",
    "account_membership": "account_memberships",
}


class KantataReader:
    """Reads lists by `updated_after`, archived and deleted rows included, in an order that changes do not disturb."""

    omits_nulls = False

    def __init__(self, client: KantataClient, run: Run) -> None:
        self.client = client
        self.run = run
        self._pairs: dict[str, list[Row]] | None = None
        self._events: tuple[datetime, dict[str, set[str]]] | None = None

    def now(self) -> datetime:
        self.client.ping()
        return self.client.server_time or datetime.now(UTC)

    def describe(self, table: Table) -> Mapping[str, str] | None:
        return None

    def expected(self, kind: pa.DataType) -> frozenset[str]:
        return frozenset()

    def read(self, table: Table, window: Window, fields: Sequence[str]) -> Iterator[Sequence[Row] | bytes]:
        if table.rides_with:
            yield self._pairs_of(table, window)
        elif table.name == "invoices":
            self._pairs = {}
            for page in self._changed(table, window):
                yield [self._invoice(row, page) for row in page.rows]
        else:
            for page in self._changed(table, window):
                yield page.rows

    def _changed(self, table: Table, window: Window) -> Iterator[Page]:
        from platforms.kantata.client import EVERYTHING

        asked: dict[str, Any] = {**EVERYTHING.get(table.vendor_object, {}), **_ASK.get(table.name, {})}
        if window.since is not None:
            asked["updated_after"] = window.since
        per_page = int(asked.pop("per_page", 200))
        for subject in _SUBJECTS.get(table.name, ("",)):
            params = {**asked, "subject_type": subject} if subject else asked
            yield from self._counted(table, params, per_page)

    def _counted(self, table: Table, params: Mapping[str, Any], per_page: int) -> Iterator[Page]:
        read = count = 0
        try:
            for page in self.client.pages(table.vendor_object, params, per_page=per_page):
                read += len(page.rows)
                count = page.meta["count"]
                yield page
        except Gone:
            if not table.optional:
                raise
        if read < count:
            raise TruncatedRead(
                f"Kantata counts {count} {table.vendor_object}, but {read} arrived.",
                connection=self.run.connection,
                table=table.name,
                next_step="Run again; if it stays so, ask Kantata's support.",
            )

    def _invoice(self, row: Row, page: Page) -> Row:
        """An invoice with its free items in place; the ids of what it bills are kept for the tables of pairs."""
        assert self._pairs is not None
        invoice = str(row["id"])
        for item in ("time_entry", "expense", "billing_milestone"):
            kept = self._pairs.setdefault(f"{item}_id", [])
            for identifier in row.get(f"{item}_ids") or ():
                kept.append({"id": f"{invoice}:{identifier}", "invoice_id": invoice, f"{item}_id": str(identifier)})
        self._pairs.setdefault("", []).append({"invoice_id": invoice})
        whole = dict(row)
        for items in ("fixed_fee_items", "additional_items"):
            included = page.included.get(items, {})
            ids = row.get(f"{items.removesuffix('s')}_ids") or ()
            whole[items] = [included[str(identifier)] for identifier in ids if str(identifier) in included]
        return whole

    def _pairs_of(self, table: Table, window: Window) -> list[Row]:
        if self._pairs is None:  # only this table was asked for
            invoices = next(t for t in TABLES if t.name == "invoices")
            for _ in self.read(invoices, window, ()):
                pass
        assert self._pairs is not None
        self.run.parents[table.name] = [str(row["invoice_id"]) for row in self._pairs.get("", ())]
        item = next(name for name in table.columns if name not in ("id", "invoice_id"))
        return self._pairs.get(item, [])

    def ids(self, table: Table) -> Iterator[Sequence[str]]:
        from platforms.kantata.client import EVERYTHING

        asked = dict(EVERYTHING.get(table.vendor_object, {}))
        for subject in _SUBJECTS.get(table.name, ("",)):
            params = {**asked, "subject_type": subject} if subject else asked
            for page in self._counted(table, params, 200):
                yield [str(row["id"]) for row in page.rows]

    def count(self, table: Table) -> int | None:
        from platforms.kantata.client import EVERYTHING

        total = 0
        for subject in _SUBJECTS.get(table.name, ("",)):
            asked: dict[str, Any] = {**EVERYTHING.get(table.vendor_object, {}), "per_page": 1}
            if subject:
                asked["subject_type"] = subject
            total += self.client.page(table.vendor_object, asked, probe=True).meta["count"]
        return total

    def gone(self, table: Table, window: Window) -> Iterable[str]:
        """From the feed of events, when this user may read it; it is kept for nine days only, so sweeps go on."""
        if window.previous is None or table.name not in _EVENT_TABLES.values():
            return ()
        if self._events is None or window.previous < self._events[0]:
            self._events = (window.previous, self._deletions(window.previous))
        return self._events[1].get(table.name, ())

    def _deletions(self, since: datetime) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        try:
            for page in self.client.events(since, [f"{thing}:deleted" for thing in _EVENT_TABLES]):
                for event in page.rows:
                    table = _EVENT_TABLES.get(str(event["event_type"]).partition(":")[0])
                    if table and event.get("subject_id") is not None:
                        found.setdefault(table, set()).add(str(event["subject_id"]))
        except (AskPerson, Refused) as error:
            self.run.notes.append(f"events cannot be read ({error.code}); deletes are found by sweeps only")
        return found

    def deletion(self, table: Table) -> tuple[str | None, str] | None:
        return (None, "deleted_at") if "deleted_at" in table.columns else None


# Probed by `ingestion.changes`: one call each.
WATCHED = (
    "workspaces",
    "workspace_groups",
    "stories",
    "time_entries",
    "timesheet_submissions",
    "expenses",
    "billing_milestones",
    "invoices",
    "external_payments",
)


def newest(client: KantataClient, tables: Sequence[Table]) -> dict[str, str]:
    """Newest change and number of rows by table; only the number for lists that cannot be sorted by change."""
    found = client.newest_change([table.vendor_object for table in tables])
    return {t.name: snapshot(found[t.vendor_object].newest, found[t.vendor_object].count) for t in tables}


def open_reader(client: Any, run: Run) -> KantataReader:
    """The reader of one run."""
    return KantataReader(client, run)
