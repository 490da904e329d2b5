"""The vendor's rules per object, and the buttons.

`RULES` maps a table to its hooks, `ACTIONS` the name of a button to what it does, `BULK_INSERTS` a table to its fast
path. Nothing here knows HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from platforms.kantata.sandbox.rules import billing, hours, rates, references, work
from platforms.kantata.sandbox.rules.base import ObjectRules

RULES: dict[str, ObjectRules] = {
    "workspaces": work.Workspaces(),
    "workspace_groups": work.WorkspaceGroups(),
    "workspace_invoice_preferences": work.InvoicePreferences(),
    "stories": work.Stories(),
    "users": work.Users(),
    "account_memberships": work.AccountMemberships(),
    "roles": work.Roles("roles"),
    "expense_categories": work.Roles("expense_categories"),
    "participations": work.Participations(),
    "workspace_resources": work.WorkspaceResources(),
    "workspace_allocations": work.WorkspaceAllocations(),
    "rate_card_sets": rates.RateCardSets(),
    "rate_card_set_versions": rates.RateCardSetVersions(),
    "rate_cards": rates.RateCards(),
    "rate_card_versions": rates.RateCardVersions(),
    "rate_card_roles": rates.RateCardRoles(),
    "time_entries": hours.TimeEntries(),
    "timesheet_submissions": hours.TIMESHEETS,
    "expense_report_submissions": hours.EXPENSE_REPORTS,
    "expenses": hours.Expenses(),
    "line_item_locks": hours.LineItemLocks(),
    "invoices": billing.INVOICES,
    "external_payments": billing.ExternalPayments(),
    "billing_milestones": billing.BillingMilestones(),
    "project_accounting_records": billing.AccountingRecords(),
    "external_references": references.ExternalReferences(),
    "custom_fields": references.CustomFields(),
    "custom_field_values": references.CustomFieldValues(),
    "posts": references.Posts(),
    "estimates": references.Estimates(),
}

BULK_INSERTS: dict[str, Callable[..., list[int]]] = {"time_entries": hours.insert_time_entries}


def _create(table: str) -> Callable[..., Any]:
    return lambda service, id, actor, **values: service.insert(table, values, actor=str(actor))


ACTIONS: dict[str, Callable[..., Any]] = {
    "timesheet.submit": partial(hours.submit, rules=hours.TIMESHEETS),
    "timesheet.approve": partial(hours.TIMESHEETS.resolve, what="approve"),
    "timesheet.reject": partial(hours.TIMESHEETS.resolve, what="reject"),
    "timesheet.cancel": partial(hours.TIMESHEETS.resolve, what="cancel"),
    "expense_report.submit": partial(hours.submit, rules=hours.EXPENSE_REPORTS),
    "expense_report.approve": partial(hours.EXPENSE_REPORTS.resolve, what="approve"),
    "expense_report.reject": partial(hours.EXPENSE_REPORTS.resolve, what="reject"),
    "expense_report.cancel": partial(hours.EXPENSE_REPORTS.resolve, what="cancel"),
    "lock.create": _create("line_item_locks"),
    "lock.move_back": hours.unlock,
    "story.complete": work.complete_story,
    "workspace.archive": work.archive_workspace,
    "account_membership.disable": partial(work.set_membership_active, active=False),
    "account_membership.enable": partial(work.set_membership_active, active=True),
    "rate_card_set_version.activate": rates.activate_version,
    "invoice.cancel": billing.cancel_invoice,
    "invoice.issue": billing.issue_invoice,
    "invoice.next_number": lambda service, id, actor: billing.next_invoice_number(service),
}

__all__ = ["ACTIONS", "BULK_INSERTS", "RULES", "ObjectRules"]
