"""Rules of invoices, payments, milestones and accounting records.

An invoice is built from ids of approved, uninvoiced work; its `balance_in_cents` is and stays its total; cancelling
frees the work. A payment is always the whole invoice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from platforms.kantata.sandbox.refusals import system, validation
from platforms.kantata.sandbox.rules.base import Nested, ObjectRules, Row
from platforms.kantata.sandbox.rules.hours import line_amount
from platforms.kantata.sandbox.rules.work import _items, to_subunits
from platforms.kantata.sandbox.schema import truthy

if TYPE_CHECKING:
    from platforms.kantata.sandbox.service import Service

# Body key of an invoice -> table of the lines.
_ID_LINES = {
    "time_entry_ids": "time_entries",
    "expense_ids": "expenses",
    "billing_milestone_ids": "billing_milestones",
}
_ITEM_LINES = ("fixed_fee_items", "additional_items")


def next_invoice_number(service: Service) -> int:
    """The number the platform would give the next invoice."""
    row = service.store.one("SELECT coalesce(max(user_invoice_number), 0) + 1 AS n FROM invoices")
    return int(row["n"]) if row else 1


def _many(service: Service, table: str, ids: Sequence[int]) -> list[Row]:
    found: list[Row] = []
    for at in range(0, len(ids), 500):
        part = ids[at : at + 500]
        marks = ",".join("?" * len(part))
        found += service.store.read(f"SELECT * FROM {table} WHERE id IN ({marks})", part)
    return found


class Invoices(ObjectRules):
    """Invoices and drafts."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["user_id"] = actor or None
        ids = _items(nested.get("workspace_ids"))
        if nested.get("workspace_id") not in (None, ""):
            ids.append(nested["workspace_id"])
        workspaces = self._workspaces(service, ids)
        if not any(nested.get(name) for name in (*_ID_LINES, *_ITEM_LINES)):
            raise validation("base", "Invoice must have at least one line item")
        row["currency"] = workspaces[0]["currency"]
        row["invoice_date"] = row["invoice_date"] or service.today()
        self._due(row)
        if row["user_invoice_number"] is None:
            row["user_invoice_number"] = next_invoice_number(service)
        elif service.option("invoice_number_unique", "no") == "yes" and service.store.read(
            "SELECT 1 FROM invoices WHERE user_invoice_number = ?", (row["user_invoice_number"],)
        ):
            raise validation("user_invoice_number", "User invoice number has already been taken")
        if row["recipient_id"] is None:
            row["recipient_id"] = workspaces[0]["primary_counterpart_id"]
        preference = service.store.one(
            "SELECT * FROM workspace_invoice_preferences WHERE workspace_id = ?", (workspaces[0]["id"],)
        )
        for name in ("purchase_order", "project_code"):
            if row[name] in (None, "") and preference is not None:
                row[name] = preference[name]
        self._title(row)

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        ids = _items(nested.get("workspace_ids"))
        if nested.get("workspace_id") not in (None, ""):
            ids.append(nested["workspace_id"])
        for number in dict.fromkeys(int(i) for i in ids):
            service.store.write("INSERT INTO invoice_workspaces VALUES (?, ?)", (row["id"], number))
        self._replace_lines(service, row, nested)
        self._total(service, row["id"])

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        if old["status"] != "new" and (set(changes) or set(nested) - {"external_reference", "custom_fields"}):
            raise validation("base", f"An invoice that is {old['status']} cannot be changed")
        if not old["draft"] and changes.get("draft"):
            raise validation("draft", "An issued invoice cannot become a draft again")
        if "workspace_id" in nested or "workspace_ids" in nested:
            raise validation("workspace_ids", "Workspaces of an invoice cannot be changed")
        row = {**old, **changes}
        if changes:
            self._due(row)
            changes["due_date"] = row["due_date"]
            self._title(row)
            changes["title"] = row["title"]

    def after_update(self, service: Service, old: Row, new: Row, nested: Nested, actor: int) -> None:
        if self._replace_lines(service, new, nested) or new["tax_rate"] != old["tax_rate"]:
            if not self._lines(service, old["id"]):
                raise validation("base", "Invoice must have at least one line item")
            self._total(service, old["id"])

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        if not old["draft"]:
            raise validation("base", "Only draft invoices can be deleted; cancel the invoice instead")
        self.free(service, old["id"])
        for table in _ITEM_LINES:
            service.store.write(f"DELETE FROM {table} WHERE invoice_id = ?", (old["id"],))
        service.store.write("DELETE FROM invoice_workspaces WHERE invoice_id = ?", (old["id"],))
        return False

    def free(self, service: Service, id: int) -> None:
        """Let the work of an invoice be invoiced again."""
        now = service.now_ms()
        for table in _ID_LINES.values():
            service.store.write(f"UPDATE {table} SET invoice_id = NULL, updated_at = ? WHERE invoice_id = ?", (now, id))

    def _due(self, row: Row) -> None:
        if row["payment_schedule"] is None:
            raise validation("payment_schedule", "Payment schedule can't be blank")
        due = date.fromisoformat(row["invoice_date"]) + timedelta(days=int(row["payment_schedule"]))
        row["due_date"] = due.isoformat()

    def _title(self, row: Row) -> None:
        kind = "Draft Invoice" if row["draft"] else "Invoice"
        row["title"] = f"{kind} #{row['user_invoice_number']:05d}"

    def _workspaces(self, service: Service, ids: Sequence[Any]) -> list[Row]:
        if not ids:
            raise validation("workspace_id", "Workspace can't be blank")
        workspaces = []
        for id in ids:
            workspace = service.raw("workspaces", id)
            if workspace is None:
                raise validation("workspace_ids", "Workspace does not exist")
            workspaces.append(workspace)
        if len({w["currency"] for w in workspaces}) > 1:
            raise validation("workspace_ids", "Projects on one invoice must have the same currency")
        return workspaces

    def _replace_lines(self, service: Service, invoice: Row, nested: Nested) -> bool:
        """Make the lines named by the body the invoice's lines of that kind; True when any kind was named."""
        touched = False
        scope = {
            r["workspace_id"]: r["needs"]
            for r in service.store.read(
                "SELECT i.workspace_id, w.require_time_approvals + 2 * w.require_expense_approvals AS needs"
                " FROM invoice_workspaces i JOIN workspaces w ON w.id = i.workspace_id WHERE i.invoice_id = ?",
                (invoice["id"],),
            )
        }
        now = service.now_ms()
        for key, table in _ID_LINES.items():
            if key not in nested:
                continue
            touched = True
            ids = sorted({int(i) for i in _items(nested[key])})
            lines = _many(service, table, ids)
            if len(lines) != len(ids):
                raise validation(key, f"{table.replace('_', ' ').capitalize()} do not exist")
            for line in lines:
                self._check_line(key, line, invoice["id"], scope)
            service.store.write(
                f"UPDATE {table} SET invoice_id = NULL, updated_at = ? WHERE invoice_id = ?", (now, invoice["id"])
            )
            service.store.write_many(
                f"UPDATE {table} SET invoice_id = ?, updated_at = ? WHERE id = ?",
                [(invoice["id"], now, i) for i in ids],
            )
        for table in _ITEM_LINES:
            if table not in nested:
                continue
            touched = True
            service.store.write(f"DELETE FROM {table} WHERE invoice_id = ?", (invoice["id"],))
            for item in _items(nested[table]):
                self._add_item(service, table, invoice, item, scope)
        return touched

    def _check_line(self, key: str, line: Row, invoice_id: int, scope: Mapping[int, int]) -> None:
        if line["workspace_id"] not in scope:
            raise validation(key, "Line items must belong to the projects of the invoice")
        if line["invoice_id"] not in (None, invoice_id):
            raise validation(key, "Line items have already been invoiced")
        needs = scope[line["workspace_id"]]
        if key == "time_entry_ids":
            if needs & 1 and not line["approved"]:
                raise validation(key, "Time entries must be approved before they can be invoiced")
            if not line["billable"]:
                raise validation(key, "Time entries must be billable")
        if key == "expense_ids":
            if needs & 2 and not line["approved"]:
                raise validation(key, "Expenses must be approved before they can be invoiced")
            if not line["is_billable"]:
                raise validation(key, "Expenses must be billable")

    def _add_item(
        self, service: Service, table: str, invoice: Row, item: Mapping[str, Any], scope: Mapping[int, int]
    ) -> None:
        if item.get("amount") in (None, ""):
            raise validation(table, "Amount can't be blank")
        workspace_id = int(item.get("workspace_id") or next(iter(scope)))
        if workspace_id not in scope:
            raise validation(table, "Items must belong to the projects of the invoice")
        now = service.now_ms()
        service.insert_row(
            table,
            {
                "invoice_id": invoice["id"],
                "workspace_id": workspace_id,
                "story_id": int(item["story_id"]) if item.get("story_id") else None,
                "notes": item.get("notes"),
                "amount_in_cents": to_subunits(item["amount"], invoice["currency"], "amount"),
                "taxable": 1 if truthy(item.get("taxable", False)) else 0,
                "created_at": now,
                "updated_at": now,
            },
        )

    def _lines(self, service: Service, id: int) -> list[tuple[int, bool]]:
        """(subunits, taxable) of every line."""
        read = service.store.read
        lines = [
            (line_amount(r["rate_in_cents"], r["time_in_minutes"]), bool(r["taxable"]))
            for r in read(
                "SELECT rate_in_cents, time_in_minutes, taxable FROM time_entries WHERE invoice_id = ?", (id,)
            )
        ]
        for table in ("expenses", *_ITEM_LINES):
            lines += [
                (r["amount_in_cents"], bool(r["taxable"]))
                for r in read(f"SELECT amount_in_cents, taxable FROM {table} WHERE invoice_id = ?", (id,))
            ]
        lines += [
            (r["amount_in_cents"], False)
            for r in read("SELECT amount_in_cents FROM billing_milestones WHERE invoice_id = ?", (id,))
        ]
        return lines

    def _total(self, service: Service, id: int) -> None:
        """Sum of the rounded lines plus tax on the taxable ones, tax rounded once for the invoice."""
        lines = self._lines(service, id)
        rate = Decimal(service.need("invoices", id)["tax_rate"] or "0")
        taxable = sum(amount for amount, taxed in lines if taxed)
        tax = int((taxable * rate / 100).to_integral_value(ROUND_HALF_UP))
        service.set_columns("invoices", id, {"balance_in_cents": sum(amount for amount, _ in lines) + tax})


INVOICES = Invoices()


def cancel_invoice(service: Service, id: Any, actor: int) -> None:
    """`invoice.cancel` and `PUT invoices/{id}/cancel`: the invoice stays, its work may be invoiced again."""
    old = service.need("invoices", id)
    if old["draft"]:
        raise validation("base", "Draft invoices are deleted, not cancelled")
    if old["status"] == "cancelled":
        raise validation("status", "Invoice is already cancelled")
    if old["status"] == "accepted payment" and service.option("cancel_paid_invoice", "refuse") == "refuse":
        raise validation("status", "An invoice that is accepted payment cannot be cancelled")
    service.set_columns("invoices", old["id"], {"status": "cancelled"})
    INVOICES.free(service, old["id"])
    table = service.table("invoices")
    service.event(table, "updated", old["id"], actor, {"status": {"from": old["status"], "to": "cancelled"}})


def issue_invoice(service: Service, id: Any, actor: int) -> None:
    """`invoice.issue`: a draft becomes an invoice."""
    service.update("invoices", id, {"draft": False}, actor=str(actor))


class ExternalPayments(ObjectRules):
    """Money received elsewhere. With an invoice the amount is the invoice's, whatever was sent."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["user_id"] = actor or None
        if len(row["message"] or "") > 255:
            raise validation("message", "Message is too long (maximum is 255 characters)")
        if row["invoice_id"] is None:
            if row["amount_in_cents"] is None or row["amount_in_cents"] <= 0:
                raise validation("amount_in_cents", "Amount must be greater than 0")
            return
        invoice = service.raw("invoices", row["invoice_id"])
        if invoice is None:
            return
        projects = service.store.read(
            "SELECT workspace_id FROM invoice_workspaces WHERE invoice_id = ?", (invoice["id"],)
        )
        if len(projects) != 1:
            raise validation("invoice_id", "Invoice must belong to a single project")
        if projects[0]["workspace_id"] != row["workspace_id"]:
            raise validation("invoice_id", "Invoice does not belong to this project")
        if invoice["draft"] or invoice["status"] != "new":
            raise validation("invoice_id", "Invoice must be pending")
        row["amount_in_cents"] = invoice["balance_in_cents"]

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if row["invoice_id"] is not None:
            service.set_columns("invoices", row["invoice_id"], {"status": "accepted payment"})
            service.event(
                service.table("invoices"),
                "updated",
                row["invoice_id"],
                actor,
                {"status": {"from": "new", "to": "accepted payment"}},
            )

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        raise system("External payments cannot be changed", 404)

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        raise system("External payments cannot be deleted", 404)


class BillingMilestones(ObjectRules):
    """Amounts to invoice on a date or when a task is completed."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        self._check(service, row)

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        if old["invoice_id"] is not None and set(changes) - {"title"}:
            raise validation("base", "Billing milestone is on an invoice and cannot be changed")
        self._check(service, {**old, **changes})

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        if old["invoice_id"] is not None:
            raise validation("base", "Billing milestone is on an invoice and cannot be deleted")
        return False

    def _check(self, service: Service, row: Row) -> None:
        if row["billing_type"] not in ("fixed_date", "upon_completion"):
            raise validation("billing_type", "Billing type is not included in the list")
        if row["billing_type"] == "upon_completion" and row["story_id"] is None:
            raise validation("story_id", "Story can't be blank")
        if row["billing_type"] == "fixed_date" and not row["date_to_invoice"]:
            raise validation("date_to_invoice", "Date to invoice can't be blank")
        story = service.raw("stories", row["story_id"])
        if story is not None and story["workspace_id"] != row["workspace_id"]:
            raise validation("story_id", "Story does not exist in this project")


class AccountingRecords(ObjectRules):
    """Revenue recognition records; `amount` is in main units and may be negative."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        workspace = service.raw("workspaces", row["workspace_id"])
        self._fill(row, row, nested, workspace["currency"] if workspace else service.account_currency)

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        workspace = service.need("workspaces", old["workspace_id"])
        self._fill({**old, **changes}, changes, nested, workspace["currency"])

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        return True

    def _fill(self, row: Row, target: Row, nested: Nested, currency: str) -> None:
        if nested.get("amount") not in (None, ""):
            target["amount_in_cents"] = to_subunits(nested["amount"], currency, "amount")
        kinds = ("Baseline", "Earned Value", "Earned Value Forecasting", "Forecasting", "Recognition")
        if row["type"] not in kinds:
            raise validation("type", "Type is not included in the list")
        if row["status"] not in ("Draft", "Pending Approval", "Approved", "Cancelled"):
            raise validation("status", "Status is not included in the list")
