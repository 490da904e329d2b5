"""The tables of the Kantata sandbox: one per vendor object, columns named as the vendor names its fields.

What for: `service.py` keeps its rules over these tables, `presenters.py` shows them in the vendor's shapes.
Storage is compact because a large firm logs ten million hours: ids and minutes are integers, a moment is an integer of
milliseconds since 1970 UTC, a date is `YYYY-MM-DD`, money is an integer of currency subunits. Fields that follow from
others (`is_invoiced`, `currency` of an hour, `percent_of_budget_used`) are not stored; `presenters.py` derives them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any


class Kind(Enum):
    """What a column holds, which decides how it is stored, read from a request and shown."""

    ID = "another record's id: stored as integer, shown as string"
    INT = "whole number"
    BOOL = "true/false, stored 0/1"
    TEXT = "text"
    DATE = "calendar day YYYY-MM-DD"
    MOMENT = "milliseconds since 1970 UTC"
    JSON = "JSON text"
    DECIMAL = "decimal number kept as text"

    @property
    def sql_type(self) -> str:
        return "INTEGER" if self in (Kind.ID, Kind.INT, Kind.BOOL, Kind.MOMENT) else "TEXT"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its kind, the value it starts with, and whether a caller may set it on create and on update."""

    kind: Kind
    default: Any = None
    create: bool = True
    update: bool = True


@dataclass(frozen=True, kw_only=True)
class Table:
    """One vendor object. `name` is the plural key of the API, `singular` the body key, `subject` the class name the
    vendor uses in `subject_type`; `nested` are body keys that create other records; `indexes` serve the filters."""

    name: str
    singular: str
    subject: str
    columns: Mapping[str, Column]
    nested: frozenset[str] = frozenset()
    indexes: tuple[str, ...] = ()
    bulk_limit: int = 0
    event: str = ""
    timestamps: bool = True
    required: tuple[str, ...] = ()
    all_columns: tuple[str, ...] = field(default=(), compare=False)


def _c(kind: Kind, default: Any = None, *, create: bool = True, update: bool = True) -> Column:
    return Column(kind=kind, default=default, create=create, update=update)


def _text(default: Any = None) -> Column:
    return _c(Kind.TEXT, default)


def _flag(default: int = 0) -> Column:
    return _c(Kind.BOOL, default)


def _ref() -> Column:
    return _c(Kind.ID)


def _fixed_ref() -> Column:
    """A parent that is named on create and never moves afterwards."""
    return _c(Kind.ID, update=False)


def _int(default: Any = None) -> Column:
    return _c(Kind.INT, default)


def _date() -> Column:
    return _c(Kind.DATE)


def _own(kind: Kind, default: Any = None) -> Column:
    """A column only the platform sets."""
    return _c(kind, default, create=False, update=False)


TABLES: dict[str, Table] = {}

# A nested external reference, custom field values: most create and update bodies accept them.
COMMON_NESTED = frozenset({"external_reference", "custom_fields"})


def _table(
    name: str,
    singular: str,
    subject: str,
    columns: dict[str, Column],
    *,
    nested: frozenset[str] = frozenset(),
    indexes: tuple[str, ...] = (),
    bulk_limit: int = 0,
    event: str = "",
    timestamps: bool = True,
    required: tuple[str, ...] = (),
) -> None:
    stored = dict(columns)
    if timestamps:
        stored["created_at"] = _own(Kind.MOMENT)
        stored["updated_at"] = _own(Kind.MOMENT)
    TABLES[name] = Table(
        name=name,
        singular=singular,
        subject=subject,
        columns=stored,
        nested=nested,
        indexes=indexes,
        bulk_limit=bulk_limit,
        event=event,
        timestamps=timestamps,
        required=required,
        all_columns=("id", *stored),
    )


_table(
    "workspaces",
    "workspace",
    "Workspace",
    {
        "title": _text(),
        "description": _text(),
        "account_id": _own(Kind.INT),
        "archived": _c(Kind.BOOL, 0, create=False),
        "start_date": _date(),
        "due_date": _date(),
        "stage": _text("project"),
        "status_key": _int(100),
        "access_level": _text("invitation"),
        "budgeted": _flag(0),
        "price_in_cents": _int(),
        "target_margin": _c(Kind.DECIMAL),
        "currency": _text(),
        "default_rate_in_cents": _int(),
        "rate_card_id": _ref(),
        "tasks_default_non_billable": _flag(0),
        "stories_are_fixed_fee_by_default": _flag(0),
        "expenses_in_burn_rate": _flag(1),
        "actual_fees_includes_expenses": _flag(1),
        "actual_fees_includes_additional_line_items": _flag(1),
        "require_time_approvals": _flag(0),
        "require_expense_approvals": _flag(0),
        "require_notes_on_time_entries": _flag(0),
        "time_trackable": _flag(1),
        "change_orders_enabled": _flag(0),
        "percentage_complete": _int(0),
        "consultant_role_name": _text("Consultants"),
        "client_role_name": _text("Clients"),
        "revenue_recognition_method_id": _int(),
        "creator_id": _own(Kind.ID),
        "primary_maven_id": _c(Kind.ID, update=False),
        "primary_counterpart_id": _own(Kind.ID),
        "primary_workspace_group_id": _ref(),
        "workspace_invoice_preference_id": _own(Kind.INT),
        "approver_id": _ref(),
        "creator_role": _c(Kind.TEXT, "maven", update=False),
        "project_tracker_template_id": _ref(),
        "estimate_scenario_id": _c(Kind.ID, update=False),
    },
    nested=COMMON_NESTED
    | {
        "price",
        "default_rate",
        "workspace_group_ids",
        "participations",
        "organizations",
        "invoice_preference",
        "project_template_start_date",
        "project_template_assignment_mappings",
        "project_template_create_unnamed_resources",
        "project_template_distribute_hours",
        "project_template_weekends_as_workdays",
    },
    indexes=("updated_at DESC", "created_at", "archived"),
    bulk_limit=100,
    event="workspace",
    required=("title",),
)
_table(
    "workspace_groups",
    "workspace_group",
    "WorkspaceGroup",
    {
        "name": _text(),
        "company": _flag(0),
        "contact_name": _text(),
        "email": _text(),
        "phone_number": _text(),
        "address": _text(),
        "website": _text(),
        "notes": _text(),
    },
    nested=COMMON_NESTED | {"workspace_ids"},
    indexes=("name", "updated_at"),
    event="workspace_group",
    required=("name",),
)
_table(
    "stories",
    "story",
    "Story",
    {
        "workspace_id": _fixed_ref(),
        "title": _text(),
        "description": _text(),
        "story_type": _text("task"),
        "state": _text("not started"),
        "billable": _flag(1),
        "fixed_fee": _flag(0),
        "budget_estimate_in_cents": _int(),
        "time_estimate_in_minutes": _int(),
        "percentage_complete": _int(0),
        "priority": _text("normal"),
        "start_date": _date(),
        "due_date": _date(),
        "parent_id": _ref(),
        "root_id": _own(Kind.ID),
        "ancestor_ids": _own(Kind.JSON),
        "subtree_depth": _own(Kind.INT, 0),
        "position": _int(),
        "weight": _int(),
        "archived": _flag(0),
        "deleted_at": _own(Kind.MOMENT),
        "time_trackable": _flag(1),
        "project_plan": _flag(1),
        "creator_id": _own(Kind.ID),
    },
    nested=COMMON_NESTED | {"assignee_ids", "story_assignments"},
    indexes=("workspace_id", "updated_at DESC", "parent_id"),
    bulk_limit=300,
    event="story",
    required=("workspace_id", "title"),
)
_table(
    "users",
    "user",
    "User",
    {
        "full_name": _text(),
        "email_address": _text(),
        "headline": _text(""),
        "photo_path": _text("/images/default_profile_photo/default.png"),
        "account_id": _int(),
        "classification": _text(),
        "city": _text(),
        "country": _text(),
    },
    nested=COMMON_NESTED,
    indexes=("email_address",),
    event="user",
    required=("full_name", "email_address"),
)
_table(
    "account_memberships",
    "account_membership",
    "AccountMembership",
    {
        "user_id": _fixed_ref(),
        "account_id": _own(Kind.INT),
        "permission": _text("Project Creator"),
        "default_role_id": _ref(),
        "bill_rate_in_cents": _int(),
        "cost_rate_in_cents": _int(),
        "billability_target": _int(),
        "disabled_at": _own(Kind.MOMENT),
        "manager_id": _ref(),
    },
    nested=COMMON_NESTED,
    indexes=("user_id",),
    event="account_membership",
    required=("user_id",),
)
_table(
    "roles",
    "role",
    "Role",
    {"name": _text(), "deleted_at": _own(Kind.MOMENT)},
    nested=COMMON_NESTED,
    required=("name",),
)
_table(
    "participations",
    "participation",
    "Participation",
    {
        "user_id": _fixed_ref(),
        "workspace_id": _fixed_ref(),
        "role": _c(Kind.TEXT, "maven", update=False),
        "is_team_lead": _flag(0),
        "rate_in_cents": _int(),
        "cost_in_cents": _int(),
        "access_level": _text("edit_time_logs"),
    },
    indexes=("workspace_id", "user_id"),
    required=("user_id", "workspace_id"),
)
_table(
    "workspace_resources",
    "workspace_resource",
    "WorkspaceResource",
    {
        "workspace_id": _fixed_ref(),
        "user_id": _ref(),
        "role_id": _ref(),
        "resource_bill_rate": _int(),
        "resource_cost_rate": _int(),
    },
    nested=COMMON_NESTED,
    indexes=("workspace_id", "user_id"),
    event="workspace_resource",
    bulk_limit=100,
    required=("workspace_id",),
)
_table(
    "workspace_allocations",
    "workspace_allocation",
    "WorkspaceAllocation",
    {
        "workspace_resource_id": _fixed_ref(),
        "start_date": _date(),
        "end_date": _date(),
        "minutes": _int(0),
        "percentage": _c(Kind.DECIMAL),
        "hard": _flag(1),
        "creator_id": _own(Kind.ID),
    },
    nested=COMMON_NESTED | {"resource_id"},
    indexes=("workspace_resource_id", "start_date"),
    event="workspace_allocation",
    bulk_limit=100,
)
_table(
    "assignments",
    "assignment",
    "Assignment",
    {
        "story_id": _fixed_ref(),
        "assignee_id": _fixed_ref(),
        "resource_id": _ref(),
        "current": _flag(1),
        "estimated_minutes": _int(0),
        "allocated_minutes": _own(Kind.INT, 0),
    },
    indexes=("story_id", "assignee_id"),
    required=("story_id",),
)
_table(
    "rate_card_sets",
    "rate_card_set",
    "RateCardSet",
    {"title": _text(), "account_default": _flag(0)},
    nested=COMMON_NESTED | {"workspace_group_ids"},
    required=("title",),
)
_table(
    "rate_card_set_versions",
    "rate_card_set_version",
    "RateCardSetVersion",
    {
        "rate_card_set_id": _fixed_ref(),
        "effective_date": _date(),
        "active": _c(Kind.BOOL, 0, update=False),
    },
    indexes=("rate_card_set_id",),
    required=("rate_card_set_id",),
)
_table(
    "rate_cards",
    "rate_card",
    "RateCard",
    {"rate_card_set_id": _fixed_ref(), "currency": _c(Kind.TEXT, update=False), "archived": _flag(0)},
    nested=COMMON_NESTED,
    indexes=("rate_card_set_id",),
    required=("rate_card_set_id", "currency"),
)
_table(
    "rate_card_versions",
    "rate_card_version",
    "RateCardVersion",
    {
        "rate_card_id": _fixed_ref(),
        "rate_card_set_version_id": _fixed_ref(),
        "default_rate": _int(),
    },
    indexes=("rate_card_id", "rate_card_set_version_id"),
    required=("rate_card_id", "rate_card_set_version_id"),
)
_table(
    "rate_card_roles",
    "rate_card_role",
    "RateCardRole",
    {"rate_card_version_id": _fixed_ref(), "role_id": _fixed_ref(), "rate": _int()},
    indexes=("rate_card_version_id",),
    required=("rate_card_version_id", "role_id", "rate"),
)
_table(
    "time_entries",
    "time_entry",
    "TimeEntry",
    {
        "workspace_id": _fixed_ref(),
        "user_id": _fixed_ref(),
        "story_id": _ref(),
        "role_id": _ref(),
        "date_performed": _date(),
        "time_in_minutes": _int(),
        "billable": _c(Kind.BOOL),
        "approved": _own(Kind.BOOL, 0),
        "taxable": _flag(0),
        "rate_in_cents": _int(),
        "cost_rate_in_cents": _own(Kind.INT),
        "notes": _text(),
        "location": _text(),
        "active_submission_id": _own(Kind.ID),
        "recent_submission_id": _own(Kind.ID),
        "invoice_id": _own(Kind.ID),
    },
    nested=frozenset({"external_reference"}),
    indexes=(
        "date_performed DESC",
        "workspace_id, date_performed",
        "user_id",
        "updated_at DESC",
        "story_id",
        "active_submission_id",
        "recent_submission_id",
        "invoice_id",
    ),
    bulk_limit=100,
    event="time_entry",
    required=("workspace_id", "date_performed", "time_in_minutes"),
)
for _kind in ("timesheet_submissions", "expense_report_submissions"):
    _table(
        _kind,
        _kind[:-1],
        "TimesheetSubmission" if _kind.startswith("time") else "ExpenseReportSubmission",
        {
            "title": _text(),
            "comment": _text(),
            "start_date": _own(Kind.DATE),
            "end_date": _own(Kind.DATE),
            "user_id": _fixed_ref(),
            "workspace_id": _fixed_ref(),
            "status": _own(Kind.TEXT, "pending"),
            "line_item_total_in_cents": _own(Kind.INT, 0),
            "current_resolution_description": _own(Kind.TEXT),
            "current_resolution_creator_id": _own(Kind.ID),
            "current_resolution_created_at": _own(Kind.MOMENT),
        },
        nested=frozenset({"line_item_ids", "external_reference"}),
        indexes=("workspace_id", "user_id", "updated_at DESC", "start_date DESC"),
        bulk_limit=100,
        event="timesheet" if _kind.startswith("time") else "expense_report",
        required=("workspace_id",),
    )
_table(
    "expenses",
    "expense",
    "Expense",
    {
        "workspace_id": _fixed_ref(),
        "user_id": _fixed_ref(),
        "story_id": _ref(),
        "expense_budget_id": _ref(),
        "date": _date(),
        "category": _text(),
        "expense_category_id": _ref(),
        "amount_in_cents": _int(),
        "is_billable": _flag(1),
        "reimbursable": _flag(1),
        "taxable": _flag(0),
        "notes": _text(),
        "vendor_id": _ref(),
        "receipt_id": _ref(),
        "role_id": _ref(),
        "approved": _own(Kind.BOOL, 0),
        "active_submission_id": _own(Kind.ID),
        "recent_submission_id": _own(Kind.ID),
        "invoice_id": _own(Kind.ID),
        "fx_source_currency": _own(Kind.TEXT),
        "fx_source_value": _own(Kind.DECIMAL),
        "fx_rate": _own(Kind.DECIMAL),
        "fx_date": _own(Kind.DATE),
    },
    nested=frozenset({"external_reference", "billable", "foreign_exchange_amount"}),
    indexes=(
        "date DESC",
        "workspace_id",
        "user_id",
        "updated_at",
        "active_submission_id",
        "recent_submission_id",
        "invoice_id",
    ),
    bulk_limit=100,
    event="expense",
    required=("workspace_id", "date", "expense_category_id", "category"),
)
_table(
    "expense_categories",
    "expense_category",
    "ExpenseCategory",
    {"name": _text(), "deleted_at": _own(Kind.MOMENT)},
    required=("name",),
)
_table(
    "vendors",
    "vendor",
    "Vendor",
    {"name": _text(), "archived": _flag(0), "externally_managed": _flag(0)},
    nested=frozenset({"external_reference"}),
    required=("name",),
)
_table(
    "invoices",
    "invoice",
    "Invoice",
    {
        "user_id": _own(Kind.ID),
        "recipient_id": _ref(),
        "title": _own(Kind.TEXT),
        "user_invoice_title": _text(),
        "user_invoice_number": _int(),
        "draft": _flag(0),
        "status": _own(Kind.TEXT, "new"),
        "invoice_date": _date(),
        "payment_schedule": _int(),
        "due_date": _own(Kind.DATE),
        "tax_rate": _c(Kind.DECIMAL, "0.0"),
        "balance_in_cents": _own(Kind.INT, 0),
        "currency": _own(Kind.TEXT),
        "purchase_order": _text(),
        "project_code": _text(),
        "message": _text(),
    },
    nested=COMMON_NESTED
    | {
        "workspace_id",
        "workspace_ids",
        "time_entry_ids",
        "expense_ids",
        "fixed_fee_items",
        "additional_items",
        "billing_milestone_ids",
        "suppress_emails",
    },
    indexes=("status", "updated_at", "user_invoice_number"),
    event="invoice",
    required=("payment_schedule",),
)
for _kind in ("fixed_fee_items", "additional_items"):
    _table(
        _kind,
        _kind[:-1],
        "FixedFeeItem" if _kind.startswith("fixed") else "AdditionalItem",
        {
            "invoice_id": _own(Kind.ID),
            "workspace_id": _own(Kind.ID),
            "story_id": _own(Kind.ID),
            "notes": _own(Kind.TEXT),
            "amount_in_cents": _own(Kind.INT),
            "taxable": _own(Kind.BOOL, 0),
        },
        indexes=("invoice_id",),
    )
_table(
    "external_payments",
    "external_payment",
    "ExternalPayment",
    {
        "workspace_id": _fixed_ref(),
        "invoice_id": _fixed_ref(),
        "amount_in_cents": _int(),
        "message": _text(),
        "user_id": _own(Kind.ID),
    },
    indexes=("workspace_id", "invoice_id"),
    required=("workspace_id",),
)
_table(
    "external_references",
    "external_reference",
    "ExternalReference",
    {
        "subject_type": _c(Kind.TEXT, update=False),
        "subject_id": _c(Kind.INT, update=False),
        "service_name": _text(),
        "service_model": _text(),
        "service_model_ref": _text(),
        "status": _text("pending"),
        "external_status": _text(),
        "external_message": _text(),
        "external_link": _text(),
        "locked": _flag(0),
        "last_synced_at": _c(Kind.MOMENT),
    },
    indexes=("service_name, service_model_ref", "subject_type, subject_id", "last_synced_at", "updated_at"),
    required=("subject_type", "subject_id", "service_name"),
)
_table(
    "custom_fields",
    "custom_field",
    "CustomField",
    {
        "name": _text(),
        "subject_type": _c(Kind.TEXT, update=False),
        "value_type": _c(Kind.TEXT, "string", update=False),
        "unique_constraint": _flag(0),
        "required": _flag(0),
        "default_text": _text(),
        "read_access": _text("account"),
        "write_access": _text("account"),
        "account_id": _own(Kind.INT),
    },
    nested=frozenset({"choices"}),
    required=("name", "subject_type", "value_type"),
)
_table(
    "custom_field_choices",
    "custom_field_choice",
    "CustomFieldChoice",
    {"custom_field_id": _fixed_ref(), "label": _text(), "position": _int(), "active": _flag(1)},
    indexes=("custom_field_id",),
    required=("custom_field_id", "label"),
)
_table(
    "custom_field_values",
    "custom_field_value",
    "CustomFieldValue",
    {
        "subject_type": _c(Kind.TEXT, update=False),
        "subject_id": _c(Kind.INT, update=False),
        "custom_field_id": _c(Kind.INT, update=False),
        "value": _c(Kind.JSON),
        "setter_id": _own(Kind.ID),
    },
    indexes=("subject_type, subject_id, custom_field_id", "custom_field_id, value"),
    bulk_limit=100,
    required=("subject_type", "subject_id", "custom_field_id"),
)
_table(
    "billing_milestones",
    "billing_milestone",
    "BillingMilestone",
    {
        "title": _text(),
        "workspace_id": _fixed_ref(),
        "amount_in_cents": _int(),
        "billing_type": _text("fixed_date"),
        "date_to_invoice": _date(),
        "story_id": _ref(),
        "invoice_id": _own(Kind.ID),
    },
    nested=frozenset({"external_reference"}),
    indexes=("workspace_id", "invoice_id", "story_id"),
    event="billing_milestone",
    required=("title", "workspace_id", "amount_in_cents"),
)
_table(
    "line_item_locks",
    "line_item_lock",
    "LineItemLock",
    {"locked_to": _date(), "user_id": _own(Kind.ID)},
    event="line_item_lock",
    required=("locked_to",),
)
_table(
    "estimates",
    "estimate",
    "Estimate",
    {
        "name": _text(),
        "currency": _text(),
        "workspace_group_id": _ref(),
        "is_locked": _own(Kind.BOOL, 0),
        "workspace_id": _own(Kind.ID),
        "favorite_scenario_id": _ref(),
        "creator_id": _own(Kind.ID),
    },
    nested=COMMON_NESTED,
    required=("name",),
)
_table(
    "estimate_scenarios",
    "estimate_scenario",
    "EstimateScenario",
    {
        "estimate_id": _fixed_ref(),
        "name": _text(),
        "budget_in_cents": _int(),
        "rate_card_id": _ref(),
        "start_date": _date(),
        "target_margin_percent": _c(Kind.DECIMAL),
    },
    indexes=("estimate_id",),
    required=("estimate_id", "name"),
)
_table(
    "estimate_scenario_resources",
    "estimate_scenario_resource",
    "EstimateScenarioResource",
    {
        "estimate_scenario_id": _fixed_ref(),
        "role_id": _ref(),
        "bill_rate_in_cents": _int(),
        "cost_rate_in_cents": _int(),
        "label": _text(),
    },
    indexes=("estimate_scenario_id",),
    required=("estimate_scenario_id",),
)
_table(
    "posts",
    "post",
    "Post",
    {
        "workspace_id": _fixed_ref(),
        "user_id": _own(Kind.ID),
        "message": _text(),
        "subject_id": _fixed_ref(),
        "story_id": _ref(),
    },
    indexes=("workspace_id", "subject_id"),
    required=("workspace_id", "message"),
)
_table(
    "project_accounting_records",
    "project_accounting_record",
    "ProjectAccountingRecord",
    {
        "workspace_id": _fixed_ref(),
        "type": _text("Recognition"),
        "status": _text("Draft"),
        "start_date": _date(),
        "end_date": _date(),
        "amount_in_cents": _own(Kind.INT, 0),
        "percent_complete": _c(Kind.DECIMAL),
        "service_type": _text(),
        "deleted_at": _own(Kind.MOMENT),
    },
    nested=frozenset({"amount", "external_reference"}),
    indexes=("workspace_id",),
    bulk_limit=100,
    event="project_accounting_record",
    required=("workspace_id", "start_date", "end_date"),
)
_table(
    "workspace_invoice_preferences",
    "workspace_invoice_preference",
    "WorkspaceInvoicePreference",
    {
        "workspace_id": _fixed_ref(),
        "purchase_order": _text(),
        "project_code": _text(),
        "client_invoice_name": _text(),
        "client_invoice_address": _text(),
        "consultant_invoice_name": _text(),
        "consultant_invoice_address": _text(),
    },
    indexes=("workspace_id",),
    required=("workspace_id",),
)
_table(
    "exchange_tables",
    "exchange_table",
    "ExchangeTable",
    {"title": _text(), "account_default": _flag(0)},
    required=("title",),
)
_table(
    "exchange_rates",
    "exchange_rate",
    "ExchangeRate",
    {
        "exchange_table_id": _fixed_ref(),
        "source_currency": _text(),
        "target_currency": _text(),
        "effective_date": _date(),
        "rate": _c(Kind.DECIMAL),
    },
    indexes=("exchange_table_id",),
    required=("exchange_table_id", "source_currency", "target_currency", "effective_date", "rate"),
)
_table(
    "subscribed_events",
    "subscribed_event",
    "SubscribedEvent",
    {
        "event_type": _own(Kind.TEXT),
        "account_id": _own(Kind.INT),
        "user_id": _own(Kind.ID),
        "subject_type": _own(Kind.TEXT),
        "subject_id": _own(Kind.INT),
        "subject_changed_at": _own(Kind.MOMENT),
        "created_at": _own(Kind.MOMENT),
        "payload_changes": _own(Kind.JSON),
    },
    indexes=("created_at",),
    timestamps=False,
)

SINGULARS = {t.singular: t.name for t in TABLES.values()}
BY_SUBJECT = {t.subject: t.name for t in TABLES.values()}
# Names the vendor uses for a subject that are not the class name of one table.
BY_SUBJECT |= {"Submission": "timesheet_submissions", "Resource": "workspace_resources"}

LINK_TABLES = """
CREATE TABLE IF NOT EXISTS workspace_group_memberships (
    workspace_id INTEGER NOT NULL, workspace_group_id INTEGER NOT NULL, PRIMARY KEY (workspace_id, workspace_group_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS wgm_group ON workspace_group_memberships (workspace_group_id);
CREATE TABLE IF NOT EXISTS rate_card_set_groups (
    rate_card_set_id INTEGER NOT NULL, workspace_group_id INTEGER NOT NULL,
    PRIMARY KEY (rate_card_set_id, workspace_group_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS invoice_workspaces (
    invoice_id INTEGER NOT NULL, workspace_id INTEGER NOT NULL, PRIMARY KEY (invoice_id, workspace_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS iw_workspace ON invoice_workspaces (workspace_id);
CREATE TABLE IF NOT EXISTS tokens (
    token TEXT PRIMARY KEY, user_id INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS oauth_codes (
    code TEXT PRIMARY KEY, user_id INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS external_references_one_per_service
    ON external_references (subject_type, subject_id, service_name);
CREATE UNIQUE INDEX IF NOT EXISTS participations_once ON participations (workspace_id, user_id);
"""

# Columns that are empty on most rows are indexed only where they hold something.
_SPARSE = ("active_submission_id", "recent_submission_id", "invoice_id", "parent_id")


def index_statements(table: str) -> list[str]:
    """CREATE INDEX statements of one table."""
    statements = []
    for number, columns in enumerate(TABLES[table].indexes):
        where = f" WHERE {columns} IS NOT NULL" if columns in _SPARSE else ""
        statements.append(f"CREATE INDEX IF NOT EXISTS {table}_ix{number} ON {table} ({columns}){where}")
    return statements


def ddl() -> list[str]:
    """Every statement that makes an empty store.

    Ids are never used twice (AUTOINCREMENT), as on the platform: a deleted id that came back would make a client
    believe that a record had changed when another had taken its place.
    """
    statements = []
    for table in TABLES.values():
        columns = ", ".join(f'"{name}" {column.kind.sql_type}' for name, column in table.columns.items())
        statements.append(f"CREATE TABLE IF NOT EXISTS {table.name} (id INTEGER PRIMARY KEY AUTOINCREMENT, {columns})")
        statements.extend(index_statements(table.name))
    statements.extend(s.strip() for s in LINK_TABLES.split(";") if s.strip())
    return statements


# ---- values -------------------------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TRUE = {True, "1", "true", "True", "t", "yes"}


class BadValue(ValueError):
    """A value that its column cannot hold; the text is the vendor's kind of message ('is not a number')."""


def moment_to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 UTC of an aware moment."""
    return (moment - _EPOCH) // _MILLISECOND


def ms_to_moment(ms: int) -> datetime:
    """The aware UTC moment of a stored number of milliseconds."""
    return _EPOCH + timedelta(milliseconds=ms)


def truthy(value: Any) -> bool:
    """Rails' idea of true in a parameter."""
    return value in _TRUE if isinstance(value, bool | int | str) else bool(value)


def to_stored(kind: Kind, value: Any) -> Any:
    """Bring a value from a request (JSON or form text) or from the world into its stored form.

    Empty text means "unset" for everything but text. Raises `BadValue`.
    """
    if value is None:
        return None
    if kind is Kind.TEXT:
        return value if isinstance(value, str) else str(value)
    if value == "" and kind is not Kind.JSON:
        return None
    if kind in (Kind.ID, Kind.INT):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            raise BadValue("is not a number") from None
        if number != number.to_integral_value():
            raise BadValue("must be an integer")
        return int(number)
    if kind is Kind.BOOL:
        return 1 if truthy(value) else 0
    if kind is Kind.DATE:
        if isinstance(value, datetime):
            return value.date().isoformat()
        if isinstance(value, date):
            return value.isoformat()
        try:
            return date.fromisoformat(str(value)[:10]).isoformat()
        except ValueError:
            raise BadValue("is not a valid date") from None
    if kind is Kind.MOMENT:
        if isinstance(value, datetime):
            return moment_to_ms(value)
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            raise BadValue("is not a valid date") from None
        return moment_to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if kind is Kind.DECIMAL:
        try:
            return str(Decimal(str(value)))
        except InvalidOperation:
            raise BadValue("is not a number") from None
    return json.dumps(value, separators=(",", ":"), default=str)


def from_stored(kind: Kind, value: Any) -> Any:
    """The Python value of a stored one: ids str, moments aware datetimes, flags bool, decimals Decimal."""
    if value is None:
        return None
    if kind is Kind.ID:
        return str(value)
    if kind is Kind.BOOL:
        return bool(value)
    if kind is Kind.MOMENT:
        return ms_to_moment(value)
    if kind is Kind.JSON:
        return json.loads(value)
    if kind is Kind.DECIMAL:
        return Decimal(value)
    return value
