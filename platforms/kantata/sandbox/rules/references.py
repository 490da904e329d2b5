"""Rules of external references and custom fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from platforms.kantata.sandbox.refusals import gone, validation
from platforms.kantata.sandbox.rules.base import Nested, ObjectRules, Row
from platforms.kantata.sandbox.schema import BY_SUBJECT, TABLES, BadValue, Kind, to_stored

if TYPE_CHECKING:
    from platforms.kantata.sandbox.service import Service

# External payments and accounting records are not among the documented subjects (the latter take a nested reference).
REFERENCE_SUBJECTS = {
    "Workspace",
    "WorkspaceGroup",
    "Story",
    "User",
    "TimeEntry",
    "Expense",
    "Invoice",
    "Submission",
    "TimesheetSubmission",
    "ExpenseReportSubmission",
    "BillingMilestone",
    "Role",
    "RateCard",
    "RateCardSet",
    "Vendor",
    "WorkspaceResource",
    "WorkspaceAllocation",
    "Estimate",
    "AccountMembership",
    "ProjectAccountingRecord",
    "CustomField",
    "CustomFieldChoice",
    "CustomFieldValue",
}
VALUE_SUBJECTS = {"Estimate", "Story", "User", "Workspace", "WorkspaceGroup", "Resource"}
VALUE_TYPES = {"string", "number", "date", "currency", "single", "multi"}


class ExternalReferences(ObjectRules):
    """One reference per system per object; nothing says that two objects may not claim the same foreign record."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        if row["subject_type"] not in REFERENCE_SUBJECTS:
            raise validation("subject_type", "Subject type is not included in the list")
        if row["subject_id"] is not None and service.raw(BY_SUBJECT[row["subject_type"]], row["subject_id"]) is None:
            raise validation("subject_id", "Subject does not exist")
        row["last_synced_at"] = row["last_synced_at"] if row["last_synced_at"] is not None else service.now_ms()
        if row["status"] not in ("pending", "successful", "failed"):
            raise validation("status", "Status is not included in the list")
        if service.store.read(
            "SELECT 1 FROM external_references WHERE subject_type = ? AND subject_id = ? AND service_name = ?",
            (row["subject_type"], row["subject_id"], row["service_name"]),
        ):
            raise validation("service_name", "Service name has already been taken")


class CustomFields(ObjectRules):
    """Definitions; `choices` (a list of labels) may come along for the choice types."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["account_id"] = service.account_id
        if row["value_type"] not in VALUE_TYPES:
            raise validation("value_type", "Value type is not included in the list")
        if row["subject_type"] not in VALUE_SUBJECTS:
            raise validation("subject_type", "Subject type is not included in the list")
        if service.store.read(
            "SELECT 1 FROM custom_fields WHERE subject_type = ? AND name = ?", (row["subject_type"], row["name"])
        ):
            raise validation("name", "Name has already been taken")

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        for position, label in enumerate(nested.get("choices") or (), start=1):
            service._insert(
                TABLES["custom_field_choices"],
                {"custom_field_id": row["id"], "label": label, "position": position},
                actor,
            )

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        service.store.write("DELETE FROM custom_field_values WHERE custom_field_id = ?", (old["id"],))
        service.store.write("DELETE FROM custom_field_choices WHERE custom_field_id = ?", (old["id"],))
        return False


class CustomFieldValues(ObjectRules):
    """Values. A create replaces the value there is and gives it a new id."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["setter_id"] = actor or None
        field = service.raw("custom_fields", row["custom_field_id"])
        if row["subject_type"] not in VALUE_SUBJECTS:
            raise validation("subject_type", "Subject type is not included in the list")
        if row["subject_id"] is not None and service.raw(BY_SUBJECT[row["subject_type"]], row["subject_id"]) is None:
            raise validation("subject_id", "Subject does not exist")
        if field is None or field["subject_type"] != row["subject_type"]:
            raise validation("custom_field_id", "Custom field does not exist")
        row["value"] = encode_value(service, field, json.loads(row["value"]) if row["value"] else None)
        self._unique(service, field, row)
        service.store.write(
            "DELETE FROM custom_field_values WHERE subject_type = ? AND subject_id = ? AND custom_field_id = ?",
            (row["subject_type"], row["subject_id"], row["custom_field_id"]),
        )

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        parent = TABLES[BY_SUBJECT[row["subject_type"]]]
        if parent.event in ("workspace", "workspace_group"):
            service.event(parent, "custom_field_value_created", row["subject_id"], actor)
        if service.option("custom_field_touches_subject", "no") == "yes":
            service.set_columns(parent.name, row["subject_id"], {})

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        field = service.raw("custom_fields", old["custom_field_id"])
        if field is None:
            raise gone("custom_fields")
        if "value" in changes:
            changes["value"] = encode_value(service, field, json.loads(changes["value"]) if changes["value"] else None)
            self._unique(service, field, {**old, **changes})

    def _unique(self, service: Service, field: Row, row: Row) -> None:
        if not field["unique_constraint"] or row["value"] is None:
            return
        taken = service.store.read(
            "SELECT 1 FROM custom_field_values WHERE custom_field_id = ? AND value = ?"
            " AND NOT (subject_type = ? AND subject_id = ?)",
            (field["id"], row["value"], row["subject_type"], row["subject_id"]),
        )
        if taken:
            raise validation("value", f"{field['name']} has already been entered")


def encode_value(service: Service, field: Row, value: Any) -> str | None:
    """The stored JSON of a value, checked against the field's type; 422 'is invalid' otherwise."""
    if value in (None, "", []):
        return None
    kind = field["value_type"]
    try:
        if kind == "string":
            checked: Any = to_stored(Kind.TEXT, value)
        elif kind == "number":
            checked = to_stored(Kind.INT, value)
        elif kind == "date":
            checked = to_stored(Kind.DATE, value)
        elif kind == "currency":
            if not isinstance(value, list | tuple) or len(value) != 2:
                raise BadValue('must be [cents, "CUR"]')
            checked = [to_stored(Kind.INT, value[0]), str(value[1])]
        else:
            given = value if isinstance(value, list | tuple) else [value]
            checked = [int(v) for v in given]
            known = {
                r["id"]
                for r in service.store.read(
                    "SELECT id FROM custom_field_choices WHERE custom_field_id = ?", (field["id"],)
                )
            }
            if set(checked) - known or (kind == "single" and len(checked) != 1):
                raise BadValue("is not one of the choices")
    except (BadValue, ValueError) as bad:
        raise validation("value", f"Value {bad if isinstance(bad, BadValue) else 'is invalid'}") from None
    return json.dumps(checked, separators=(",", ":"), ensure_ascii=False)


class Posts(ObjectRules):
    """Conversation in a project."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["user_id"] = actor or None


class Estimates(ObjectRules):
    """Quotes made of scenarios; locked once a project came from one."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        row["creator_id"] = actor or None
        row["currency"] = row["currency"] or service.account_currency

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        if old["is_locked"]:
            raise validation("base", "Estimate is locked")
