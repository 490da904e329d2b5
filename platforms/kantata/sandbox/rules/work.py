"""Rules of projects, clients, tasks, people and staffing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from platforms.kantata.sandbox.refusals import validation
from platforms.kantata.sandbox.rules.base import Nested, ObjectRules, Row
from platforms.kantata.sandbox.schema import TABLES, to_stored

if TYPE_CHECKING:
    from platforms.kantata.sandbox.service import Service

# Subunits per unit where it is not 100 (section "Currency" of the vendor reference: currency_base_unit).
_BASE_UNITS = {"JPY": 1, "KRW": 1, "CLP": 1, "ISK": 1, "VND": 1, "BHD": 1000, "KWD": 1000, "TND": 1000}
_SYMBOLS = {"USD": "$", "GBP": "£", "EUR": "€", "JPY": "¥", "CAD": "$", "AUD": "$", "CHF": "CHF"}

# Project status keys. 100, 300 and 501 are printed by public sources; the others fill the gaps of a list that only
# customers see, so a firm's own keys may differ (README, "Left open").
STATUSES: dict[int, tuple[str, str]] = {
    100: ("Backlog", "grey"),
    110: ("Estimate", "grey"),
    200: ("Not Started", "light-green"),
    300: ("Active", "green"),
    310: ("In Progress", "green"),
    400: ("On Hold", "yellow"),
    410: ("Needs Info", "yellow"),
    500: ("Blocked", "red"),
    501: ("Cancelled", "red"),
    600: ("Completed", "blue"),
    610: ("Closed", "blue"),
}
STORY_TYPES = {"task", "deliverable", "milestone", "issue"}
_TASK_STATES = {"not started", "started", "needs info", "completed"}
_ISSUE_STATES = {
    "new",
    "reopened",
    "in progress",
    "blocked",
    "fixed",
    "duplicate",
    "can't repro",
    "resolved",
    "won't fix",
}
MAX_NESTING = 4
FINANCIAL_PERMISSIONS = {"Account Administrator", "Administrator", "Report Viewer with Cost", "Project Lead"}


def base_unit(currency: str | None) -> int:
    """Subunits per unit of a currency: 100 for USD, 1 for JPY."""
    return _BASE_UNITS.get(currency or "", 100)


def currency_symbol(currency: str | None) -> str:
    """The glyph the vendor puts beside amounts."""
    return _SYMBOLS.get(currency or "", currency or "")


def to_subunits(amount: Any, currency: str, field: str) -> int:
    """An amount in main units (number or text) as subunits, half up; 422 when it is not a number."""
    try:
        value = Decimal(str(amount).replace(",", "").lstrip("$£€"))
    except InvalidOperation:
        raise validation(field, f"{field.capitalize()} is not a number") from None
    return int((value * base_unit(currency)).to_integral_value(ROUND_HALF_UP))


class Workspaces(ObjectRules):
    """Projects: budget in main units, currency from the rate card, people and references nested."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["account_id"] = service.account_id
        row["creator_id"] = actor or None
        role = {"consultant": "maven", "client": "buyer"}.get(row["creator_role"], row["creator_role"])
        if role not in ("maven", "buyer"):
            raise validation("creator_role", "Creator role is not included in the list")
        row["creator_role"] = role
        if row["rate_card_id"] is not None:
            card = service.raw("rate_cards", row["rate_card_id"])
            if card is None:
                raise validation("rate_card_id", "Rate card does not exist")
            row["currency"] = card["currency"]  # a currency sent beside a card is ignored
        row["currency"] = row["currency"] or service.account_currency
        self._money(row, row, nested, row["currency"])
        if row["budgeted"] and row["price_in_cents"] is None:
            raise validation("price", "Price can't be blank when the project is budgeted")
        self._check(row)
        scenario = service.raw("estimate_scenarios", row["estimate_scenario_id"])
        if row["estimate_scenario_id"] is not None:
            if scenario is None:
                raise validation("estimate_scenario_id", "Estimate scenario does not exist")
            if not row["start_date"]:
                raise validation("start_date", "Start date can't be blank when created from an estimate")
        if row["primary_maven_id"] is None and role == "maven":
            row["primary_maven_id"] = actor or None
        elif role == "buyer":
            row["primary_counterpart_id"] = actor or None

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        people: dict[int, dict[str, Any]] = {}
        for user_id in (actor, row["primary_maven_id"]):
            if user_id:
                people[int(user_id)] = {"role": "maven" if row["creator_role"] == "maven" else "buyer"}
        for given in _items(nested.get("participations")):
            role = given.get("role") or "maven"
            role = {"consultant": "maven", "client": "buyer"}.get(role, role)
            people[int(given["user_id"])] = {
                "role": role,
                "access_level": given.get("access") or given.get("access_level") or "edit_time_logs",
            }
        for user_id, extra in people.items():
            if service.raw("users", user_id) is None:
                raise validation("participations", "Participations user does not exist")
            lead = 1 if user_id == row["primary_maven_id"] else 0
            service._insert(
                TABLES["participations"],
                {"user_id": user_id, "workspace_id": row["id"], "is_team_lead": lead, **extra},
                actor,
            )
        self._groups(service, row["id"], row, nested)
        preference = nested.get("invoice_preference")
        if preference:
            _preference(service, row["id"], preference, actor)
        if row["estimate_scenario_id"] is not None:
            scenario = service.need("estimate_scenarios", row["estimate_scenario_id"])
            service.set_columns("estimates", scenario["estimate_id"], {"is_locked": 1, "workspace_id": row["id"]})

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        card_id = changes.get("rate_card_id")
        if card_id is not None and card_id != old["rate_card_id"]:
            card = service.raw("rate_cards", card_id)
            if card is None:
                raise validation("rate_card_id", "Rate card does not exist")
            wanted = changes.get("currency") or old["currency"]
            if card["currency"] != wanted:
                raise validation("rate_card_id", "Rate card currency must match the project currency")
        currency = changes.get("currency") or old["currency"]
        if currency != old["currency"] and _has_money(service, old["id"]):
            raise validation("currency", "Currency cannot be changed once there is time, an expense or an invoice")
        self._money({**old, **changes}, changes, nested, currency)
        self._check({**old, **changes})

    def after_update(self, service: Service, old: Row, new: Row, nested: Nested, actor: int) -> None:
        self._groups(service, old["id"], new, nested)
        preference = nested.get("invoice_preference")
        if preference:
            _preference(service, old["id"], preference, actor)

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        raise validation("base", "Projects cannot be deleted; archive the project instead")

    def _money(self, row: Row, target: Row, nested: Nested, currency: str) -> None:
        if "price" in nested:
            price = nested["price"]
            target["price_in_cents"] = None if price in (None, "") else to_subunits(price, currency, "price")
        if "default_rate" in nested and nested["default_rate"] not in (None, ""):
            target["default_rate_in_cents"] = to_subunits(nested["default_rate"], currency, "default_rate")

    def _check(self, row: Row) -> None:
        if row["start_date"] and row["due_date"] and row["due_date"] < row["start_date"]:
            raise validation("due_date", "Due date must be on or after the start date")
        if row["status_key"] not in STATUSES:
            raise validation("status_key", "Status key is not included in the list")
        if row["stage"] not in ("estimate", "project"):
            raise validation("stage", "Stage is not included in the list")
        if row["access_level"] not in ("invitation", "open", "admins", "admin"):
            raise validation("access_level", "Access level is not included in the list")
        if len(row["title"] or "") > 255:
            raise validation("title", "Title is too long (maximum is 255 characters)")

    def _groups(self, service: Service, id: int, row: Row, nested: Nested) -> None:
        wanted: set[int] | None = None
        if "workspace_group_ids" in nested:
            wanted = {int(g) for g in _items(nested["workspace_group_ids"])}
            service.store.write("DELETE FROM workspace_group_memberships WHERE workspace_id = ?", (id,))
        if row["primary_workspace_group_id"]:
            wanted = (wanted or set()) | {int(row["primary_workspace_group_id"])}
        for group_id in sorted(wanted or ()):
            if service.raw("workspace_groups", group_id) is None:
                raise validation("workspace_group_ids", "Workspace group does not exist")
            service.store.write("INSERT OR IGNORE INTO workspace_group_memberships VALUES (?, ?)", (id, group_id))


def _preference(service: Service, workspace_id: int, values: Mapping[str, Any], actor: int) -> None:
    table = TABLES["workspace_invoice_preferences"]
    given = {k: v for k, v in values.items() if k in table.columns and table.columns[k].update}
    old = service.store.read("SELECT id FROM workspace_invoice_preferences WHERE workspace_id = ?", (workspace_id,))
    if old:
        service.set_columns(
            table.name, old[0]["id"], {k: to_stored(table.columns[k].kind, v) for k, v in given.items()}
        )
    else:
        service._insert(table, {**given, "workspace_id": workspace_id}, actor)


def _has_money(service: Service, workspace_id: int) -> bool:
    return any(
        service.store.read(f"SELECT 1 FROM {table} WHERE workspace_id = ? LIMIT 1", (workspace_id,))
        for table in ("time_entries", "expenses", "invoice_workspaces", "billing_milestones")
    )


def _items(value: Any) -> list[Any]:
    """A list given as JSON array, as comma list, or as a form's index map."""
    if value in (None, ""):
        return []
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, str):
        return [v.strip() for v in value.split(",") if v.strip()]
    return list(value)


class InvoicePreferences(ObjectRules):
    """One per project."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if service.store.read(
            "SELECT 1 FROM workspace_invoice_preferences WHERE workspace_id = ?", (row["workspace_id"],)
        ):
            raise validation("workspace_id", "Workspace has already been taken")

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        service.set_columns("workspaces", row["workspace_id"], {"workspace_invoice_preference_id": row["id"]})


class WorkspaceGroups(ObjectRules):
    """Clients and other groups of projects."""

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        self._members(service, row["id"], nested)

    def after_update(self, service: Service, old: Row, new: Row, nested: Nested, actor: int) -> None:
        self._members(service, old["id"], nested)

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        service.store.write("DELETE FROM workspace_group_memberships WHERE workspace_group_id = ?", (old["id"],))
        service.store.write(
            "UPDATE workspaces SET primary_workspace_group_id = NULL WHERE primary_workspace_group_id = ?", (old["id"],)
        )
        return False

    def _members(self, service: Service, id: int, nested: Nested) -> None:
        if "workspace_ids" in nested:
            service.store.write("DELETE FROM workspace_group_memberships WHERE workspace_group_id = ?", (id,))
            for workspace_id in _items(nested["workspace_ids"]):
                service.need("workspaces", workspace_id)
                service.store.write(
                    "INSERT OR IGNORE INTO workspace_group_memberships VALUES (?, ?)", (int(workspace_id), id)
                )


class Stories(ObjectRules):
    """Tasks, milestones, deliverables, issues: a tree of at most four levels."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["creator_id"] = actor or None
        workspace = service.raw("workspaces", row["workspace_id"])
        if workspace is None:
            if row["workspace_id"] is not None:
                raise validation("workspace_id", "Workspace does not exist")
            return  # the missing id is told with the other required fields
        if row["story_type"] == "issue" and row["state"] == "not started":
            row["state"] = "new"
        if row["position"] is None:
            last = service.store.read(
                "SELECT coalesce(max(position), 0) AS last FROM stories WHERE workspace_id = ?", (row["workspace_id"],)
            )
            row["position"] = last[0]["last"] + 1
        self._tree(service, row, row)
        self._check(row)

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        for user_id in _items(nested.get("assignee_ids")):
            service._insert(TABLES["assignments"], {"story_id": row["id"], "assignee_id": user_id}, actor)

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        if "parent_id" in changes and changes["parent_id"] != old["parent_id"]:
            if changes["parent_id"] == old["id"]:
                raise validation("parent_id", "Parent cannot be the task itself")
            self._tree(service, {**old, **changes}, changes)
        if changes.get("state") == "completed" and old["state"] != "completed":
            changes.setdefault("percentage_complete", 100)
        self._check({**old, **changes})

    def after_update(self, service: Service, old: Row, new: Row, nested: Nested, actor: int) -> None:
        if new["parent_id"] != old["parent_id"]:
            self._carry_along(service, new)

    def _carry_along(self, service: Service, parent: Row) -> None:
        """What hangs below a moved task moves with it."""
        for child in service.store.read("SELECT * FROM stories WHERE parent_id = ?", (parent["id"],)):
            place: Row = {}
            self._tree(service, child, place)
            service.set_columns("stories", child["id"], place)
            self._carry_along(service, {**child, **place})

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        if service.store.read("SELECT 1 FROM time_entries WHERE story_id = ? LIMIT 1", (old["id"],)):
            raise validation("base", "Tasks with logged time cannot be deleted")
        if service.store.read("SELECT 1 FROM stories WHERE parent_id = ? AND deleted_at IS NULL LIMIT 1", (old["id"],)):
            raise validation("base", "Tasks with sub-tasks cannot be deleted")
        return True

    def _tree(self, service: Service, row: Row, target: Row) -> None:
        ancestors: list[int] = []
        if row["parent_id"] is not None:
            parent = service.raw("stories", row["parent_id"])
            if parent is None or parent["workspace_id"] != row["workspace_id"]:
                raise validation("parent_id", "Parent does not exist in this project")
            ancestors = [*json.loads(parent["ancestor_ids"] or "[]"), parent["id"]]
            if len(ancestors) > MAX_NESTING:
                raise validation("parent_id", f"Parent is nested too deeply (maximum is {MAX_NESTING} levels)")
            if row.get("id") in ancestors:
                raise validation("parent_id", "Parent cannot be below the task itself")
        target["subtree_depth"] = len(ancestors)
        target["ancestor_ids"] = json.dumps(ancestors)
        target["root_id"] = ancestors[0] if ancestors else None

    def _check(self, row: Row) -> None:
        if row["story_type"] not in STORY_TYPES:
            raise validation("story_type", "Story type is not included in the list")
        states = _ISSUE_STATES if row["story_type"] == "issue" else _TASK_STATES
        if row["state"] not in states:
            raise validation("state", "State is not included in the list")
        if row["priority"] not in ("low", "normal", "high", "critical"):
            raise validation("priority", "Priority is not included in the list")
        if row["start_date"] and row["due_date"] and row["due_date"] < row["start_date"]:
            raise validation("due_date", "Due date must be on or after the start date")


class Users(ObjectRules):
    """People; the account's own have one membership."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if row["account_id"] is None:
            row["account_id"] = service.account_id
        if service.store.read("SELECT 1 FROM users WHERE email_address = ?", (row["email_address"],)):
            raise validation("email_address", "Email address has already been taken")


class AccountMemberships(ObjectRules):
    """A person's place in the account: permission, default role, default rates."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["account_id"] = service.account_id
        if service.store.read("SELECT 1 FROM account_memberships WHERE user_id = ?", (row["user_id"],)):
            raise validation("user_id", "User has already been taken")


class Roles(ObjectRules):
    """Roles and expense categories are kept with a deleted_at because rates, hours and expenses name them."""

    def __init__(self, table: str) -> None:
        self.table = table

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if service.store.read(f"SELECT 1 FROM {self.table} WHERE name = ? AND deleted_at IS NULL", (row["name"],)):
            raise validation("name", "Name has already been taken")

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        return True


class Participations(ObjectRules):
    """Membership of a user in a project; the lead of the provider side is the project's primary maven."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["role"] = {"consultant": "maven", "client": "buyer"}.get(row["role"], row["role"])
        if row["role"] not in ("maven", "buyer"):
            raise validation("role", "Role is not included in the list")
        if service.store.read(
            "SELECT 1 FROM participations WHERE workspace_id = ? AND user_id = ?", (row["workspace_id"], row["user_id"])
        ):
            raise validation("user_id", "User is already a member of this project")

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if row["role"] == "maven" and not service.store.read(
            "SELECT 1 FROM workspace_resources WHERE workspace_id = ? AND user_id = ?",
            (row["workspace_id"], row["user_id"]),
        ):
            member = service.store.read(
                "SELECT default_role_id FROM account_memberships WHERE user_id = ?", (row["user_id"],)
            )
            service._insert(
                TABLES["workspace_resources"],
                {
                    "workspace_id": row["workspace_id"],
                    "user_id": row["user_id"],
                    "role_id": member[0]["default_role_id"] if member else None,
                },
                actor,
            )
        self._lead(service, row)

    def after_update(self, service: Service, old: Row, new: Row, nested: Nested, actor: int) -> None:
        if new["is_team_lead"] and not old["is_team_lead"]:
            self._lead(service, new)

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        if old["is_team_lead"]:
            raise validation("base", "The project lead cannot be removed; name another lead first")
        return False

    def _lead(self, service: Service, row: Row) -> None:
        if not row["is_team_lead"]:
            return
        column = "primary_maven_id" if row["role"] == "maven" else "primary_counterpart_id"
        workspace = service.need("workspaces", row["workspace_id"])
        service.store.write(
            "UPDATE participations SET is_team_lead = 0 WHERE workspace_id = ? AND role = ? AND id <> ?",
            (row["workspace_id"], row["role"], row["id"]),
        )
        if workspace[column] != row["user_id"]:
            service.set_columns("workspaces", row["workspace_id"], {column: row["user_id"]})


class WorkspaceResources(ObjectRules):
    """Staffing slots, named or open."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if row["user_id"] is None and row["role_id"] is None:
            raise validation("base", "A resource needs a user or a role")

    def after_update(self, service: Service, old: Row, new: Row, nested: Nested, actor: int) -> None:
        self._join(service, new, actor)

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        self._join(service, row, actor)

    def _join(self, service: Service, row: Row, actor: int) -> None:
        """Whoever takes a slot becomes a member of the project."""
        if row["user_id"] is not None and not service.store.read(
            "SELECT 1 FROM participations WHERE workspace_id = ? AND user_id = ?", (row["workspace_id"], row["user_id"])
        ):
            service._insert(
                TABLES["participations"], {"workspace_id": row["workspace_id"], "user_id": row["user_id"]}, actor
            )

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        service.store.write("DELETE FROM workspace_allocations WHERE workspace_resource_id = ?", (old["id"],))
        return False


class WorkspaceAllocations(ObjectRules):
    """Planned minutes over a range of days; `resource_id` is the write name of `workspace_resource_id`."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if nested.get("resource_id"):
            row["workspace_resource_id"] = int(nested["resource_id"])
        row["creator_id"] = actor or None
        if row["workspace_resource_id"] is None:
            raise validation("workspace_resource_id", "Workspace resource can't be blank")
        self._check(row)

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        self._check({**old, **changes})

    def _check(self, row: Row) -> None:
        if not row["start_date"] or not row["end_date"]:
            raise validation("start_date", "Start date and end date can't be blank")
        if row["end_date"] < row["start_date"]:
            raise validation("end_date", "End date must be on or after the start date")
        if (row["minutes"] or 0) < 0:
            raise validation("minutes", "Minutes must be greater than or equal to 0")


def complete_story(service: Service, id: Any, actor: int) -> None:
    """`story.complete`: the task's state becomes completed."""
    service.update("stories", id, {"state": "completed"}, actor=str(actor))


def archive_workspace(service: Service, id: Any, actor: int, *, archived: bool = True) -> None:
    """`workspace.archive`."""
    service.update("workspaces", id, {"archived": archived}, actor=str(actor))


def set_membership_active(service: Service, id: Any, actor: int, *, active: bool = False) -> None:
    """`account_membership.disable` / `.enable`; id is the membership's."""
    service.need("account_memberships", id)
    service.set_columns("account_memberships", int(id), {"disabled_at": None if active else service.now_ms()})


def can_see_money(permission: str | None) -> bool:
    """Whether a permission level shows rates, costs and budgets."""
    return permission in FINANCIAL_PERMISSIONS
