"""Writing to Kantata: what each object can bear, how a lost create is found again, what a custom field costs.

Kantata has no upsert and no idempotency key. Every create therefore carries a nested external reference (service
`tieout`, the model of the sync's key field, the business key), which a read-back looks for, 200 keys a call. Payments
cannot carry one; theirs shows in the state of the invoice. Custom fields of projects go through
`custom_field_values`, a hundred values a call, because projects themselves can only be changed one by one.

Key fields a sync may name: `external_reference.<Model>` (e.g. `external_reference.Opportunity`), `invoice_id` for
external payments, `id` for records that exist already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from platforms.kantata.client import (
    BULK_LIMITS,
    EVERYTHING,
    MAX_REFERENCES,
    SERVICE_NAME,
    AlreadyThere,
    Invalid,
    KantataClient,
    Page,
    Problem,
    Record,
)
from platforms.kit.errors import PlatformError, Refused
from reverse_etl.targets.base import (
    TARGET_ID,
    CallCount,
    Capability,
    Found,
    KeyKind,
    Outcome,
    Promise,
    Receipt,
    Value,
    Verb,
    WriteRow,
    nest,
    outcome_of,
    read_back_by_key,
    receipts_for,
)

_REFERENCE = "external_reference."
_CUSTOM = "custom_fields."
_PREFERENCE = "invoice_preference."
# A project's status sync owns five fields, so twenty projects fill the hundred values that one call takes.
_VALUES_PER_CALL = BULK_LIMITS["custom_field_values"]
_VALUED_ROWS = 20
# Stands for the payment of an invoice that was paid on the screen, where no payment record can be found.
_PAID = "invoice-"
# The vendor's sentence for a row that may be sent again (no code says so).
_AGAIN = "try again"


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One object: its collection, its class name in references and custom fields, what else may be written to it."""

    collection: str
    subject: str
    fields: frozenset[str]
    custom_fields: bool = False
    has_reference: bool = True
    can_create: bool = True
    updates_in_bulk: bool = False
    optional_fields: tuple[str, ...] = ()


SHAPES: Mapping[str, Shape] = {
    "workspace": Shape(
        collection="workspaces",
        subject="Workspace",
        custom_fields=True,
        updates_in_bulk=True,
        optional_fields=("stage",),
        fields=_names(
            "title description start_date due_date stage status_key access_level budgeted price target_margin currency"
            " default_rate rate_card_id tasks_default_non_billable stories_are_fixed_fee_by_default"
            " expenses_in_burn_rate require_time_approvals require_expense_approvals require_notes_on_time_entries"
            " time_trackable change_orders_enabled percentage_complete primary_maven_id primary_workspace_group_id"
            " workspace_group_ids approver_id creator_role participations project_tracker_template_id"
            " project_template_start_date archived"
        ),
    ),
    "workspace_group": Shape(
        collection="workspace_groups",
        subject="WorkspaceGroup",
        custom_fields=True,
        fields=_names("name company contact_name email phone_number address website notes"),
    ),
    "story": Shape(
        collection="stories",
        subject="Story",
        custom_fields=True,
        fields=_names(
            "workspace_id title description story_type state billable fixed_fee budget_estimate_in_cents"
            " time_estimate_in_minutes percentage_complete priority start_date due_date parent_id position weight"
            " archived time_trackable assignee_ids"
        ),
    ),
    "billing_milestone": Shape(
        collection="billing_milestones",
        subject="BillingMilestone",
        fields=_names("title workspace_id amount_in_cents currency billing_type date_to_invoice story_id"),
    ),
    "invoice": Shape(
        collection="invoices",
        subject="Invoice",
        fields=_names(
            "workspace_id workspace_ids recipient_id user_invoice_title user_invoice_number draft invoice_date"
            " payment_schedule tax_rate purchase_order project_code message time_entry_ids expense_ids"
            " billing_milestone_ids fixed_fee_items additional_items suppress_emails"
        ),
    ),
    "external_payment": Shape(
        collection="external_payments",
        subject="",
        has_reference=False,
        fields=_names("workspace_id invoice_id amount_in_cents message"),
    ),
    "participation": Shape(
        collection="participations",
        subject="",
        has_reference=False,
        can_create=False,
        fields=_names("is_team_lead rate_in_cents cost_in_cents access_level"),
    ),
}
_REFERENCE_FIELDS = _names("status external_status external_message external_link locked")
_PREFERENCE_FIELDS = _names(
    "purchase_order project_code client_invoice_name client_invoice_address consultant_invoice_name"
    " consultant_invoice_address"
)
# Field -> what must be included for it to be shown.
_INCLUDES = {
    "workspace_group_ids": "workspace_groups",
    "time_entry_ids": "time_entries",
    "expense_ids": "expenses",
    "billing_milestone_ids": "billing_milestones",
    "workspace_ids": "workspaces",
    "assignee_ids": "assignees",
}


class KantataTarget:
    """The verbs of one Kantata connection. See `reverse_etl.targets.base.Target`."""

    platform = "kantata"

    def __init__(self, client: KantataClient, connection: str) -> None:
        self.client = client
        self.connection = connection
        self._custom: dict[str, dict[str, Record]] | None = None

    # ---- what can be done -------------------------------------------------------------------------------------

    def capability(self, object: str) -> Capability:
        shape = self._shape(object)
        references = shape.has_reference
        return Capability(
            object=object,
            key_kind=KeyKind.reference if shape.can_create else KeyKind.target_id,
            promise=Promise.in_doubt_resolved_by_read_back,
            max_batch_create=BULK_LIMITS.get(shape.collection, 1) if references else 1,
            max_batch_update=_VALUED_ROWS if shape.updates_in_bulk else 1,
            max_find=MAX_REFERENCES,
            can_create=shape.can_create,
            parallel_writes=4,
        )

    def call_floor(self, object: str, verb: Verb, rows: int) -> int:
        """Bulk bodies where the vendor has them, one call a record where not."""
        return -(-rows // self.capability(object).max_batch(verb))

    def calls(self) -> CallCount:
        counted = self.client.api.calls.snapshot()
        return CallCount(reads=counted["reads"] + counted["polls"], writes=counted["writes"])

    def link(self, object: str, target_id: str) -> str:
        """The record in the web application; for a host that is not the vendor's, its API address."""
        base = self.client.base_url.rstrip("/")
        collection = self._shape(object).collection
        if "//api.mavenlink.com" not in base:
            return f"{base}/{collection}/{target_id}"
        pages = {"workspaces": "workspaces", "invoices": "invoices"}
        return f"https://app.mavenlink.com/{pages[collection]}/{target_id}" if collection in pages else ""

    def fields_exist(self, object: str, fields: Sequence[str]) -> Mapping[str, bool]:
        shape = self._shape(object)
        return {name: self._writable(shape, name) for name in fields}

    def _writable(self, shape: Shape, name: str) -> bool:
        if name.startswith(_CUSTOM):
            return shape.custom_fields and name.removeprefix(_CUSTOM) in self._fields_of(shape.subject)
        if name.startswith(_REFERENCE):
            # `external_reference.<Model>` is a key; its lower-case members are fields.
            rest = name.removeprefix(_REFERENCE)
            return shape.has_reference and (rest in _REFERENCE_FIELDS or rest[:1].isupper())
        if name.startswith(_PREFERENCE):
            return shape.collection == "workspaces" and name.removeprefix(_PREFERENCE) in _PREFERENCE_FIELDS
        return name in shape.fields

    # ---- looking ----------------------------------------------------------------------------------------------

    def find(
        self, object: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        """Archived projects and cancelled invoices count as there (they carry the key and could be taken up again);
        deleted tasks do not."""
        shape = self._shape(object)
        if object == "external_payment":
            return self._find_payments(key_field, keys, fields)
        params = self._params(shape, fields)
        found: dict[str, list[Found]] = {key: [] for key in keys}
        if key_field in (TARGET_ID, "id"):
            for page in self.client.by_ids(shape.collection, [k for k in keys if k.isdigit()], params):
                for row in page.rows:
                    if row.get("deleted_at") is None:
                        found[str(row["id"])].append(self._found(str(row["id"]), row, page, fields))
        else:
            for key, row, page in self._by_reference(shape, self._model(key_field), keys, params):
                found[key].append(self._found(key, row, page, fields))
        return {key: tuple(records) for key, records in found.items()}

    def read_back(
        self, object: str, rows: Sequence[WriteRow], *, key_field: str, fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        return read_back_by_key(self, object, rows, key_field=key_field, fields=fields)

    def _by_reference(
        self, shape: Shape, model: str, keys: Sequence[str], params: Mapping[str, Any]
    ) -> list[tuple[str, Record, Page]]:
        wanted = set(keys)
        found = []
        for at in range(0, len(keys), MAX_REFERENCES):
            asked = {
                **EVERYTHING.get(shape.collection, {}),
                **params,
                "external_reference_service_name": SERVICE_NAME,
                "external_reference_service_model_refs": list(keys[at : at + MAX_REFERENCES]),
            }
            for page in self.client.pages(shape.collection, asked, read_ahead=1):
                for row in page.rows:
                    reference = _reference_of(row, page)
                    key = str(reference.get("service_model_ref"))
                    if reference.get("service_model") == model and key in wanted and row.get("deleted_at") is None:
                        found.append((key, row, page))
        return found

    def _find_payments(
        self, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        """Payments by their own id, or by their invoice: an invoice that is paid had exactly one payment."""
        found: dict[str, list[Found]] = {key: [] for key in keys}
        if key_field in (TARGET_ID, "id"):
            for page in self.client.by_ids("external_payments", [k for k in keys if k.isdigit()]):
                for row in page.rows:
                    found[str(row["id"])].append(self._found(str(row["id"]), row, page, fields))
            without = {key.removeprefix(_PAID): key for key in keys if key.startswith(_PAID)}
            if without:
                for invoice, records in self._find_payments("invoice_id", sorted(without), fields).items():
                    found[without[invoice]] = [replace(r, key=without[invoice]) for r in records]
            return {key: tuple(records) for key, records in found.items()}
        paid = {
            str(row["id"]): row
            for page in self.client.by_ids("invoices", [k for k in keys if k.isdigit()])
            for row in page.rows
            if row.get("status") == "accepted payment"
        }
        missing = set(paid)
        # No filter by invoice is documented, so the newest payments are looked through until all are found.
        if missing:
            for page in self.client.pages("external_payments", {"order": "created_at:desc"}, read_ahead=1):
                for row in page.rows:
                    invoice = str(row.get("invoice_id"))
                    if invoice in missing:
                        missing.discard(invoice)
                        found[invoice].append(self._found(invoice, row, page, fields))
                if not missing:
                    break
        for invoice in missing:  # paid in another way (on the screen): paid all the same
            row = paid[invoice]
            found[invoice].append(Found(key=invoice, target_id=f"{_PAID}{invoice}", version=_version(row)))
        return {key: tuple(records) for key, records in found.items()}

    def _params(self, shape: Shape, fields: Sequence[str]) -> dict[str, Any]:
        includes = ["external_references"] if shape.has_reference else []
        if any(name.startswith(_CUSTOM) for name in fields):
            includes.append("custom_field_values")
        if any(name.startswith(_PREFERENCE) for name in fields):
            includes.append("workspace_invoice_preference")
        includes += [_INCLUDES[name] for name in fields if name in _INCLUDES]
        if shape.collection == "invoices" and "workspace_id" in fields:
            includes.append("workspaces")
        params: dict[str, Any] = {"include": list(dict.fromkeys(includes))} if includes else {}
        optional = [name for name in shape.optional_fields if name in fields]
        if optional:
            params["optional_fields"] = optional
        return params

    def _found(self, key: str, row: Record, page: Page, fields: Sequence[str]) -> Found:
        shown: dict[str, Value] = {}
        for name in fields:
            there, value = _read(name, row, page)
            if there:
                shown[name] = value
        return Found(key=key, target_id=str(row["id"]), version=_version(row), fields=shown)

    # ---- writing ----------------------------------------------------------------------------------------------

    def write(
        self, object: str, verb: Verb, rows: Sequence[WriteRow], *, key_field: str, batch_id: str
    ) -> Sequence[Receipt]:
        shape = self._shape(object)
        if verb is Verb.create:
            bodies, receipts = self._bodies(shape, rows, key_field)
            if not bodies:
                return receipts
            if object == "external_payment":
                return [*receipts, *self._pay(*bodies[0], key_field)]
            return [*receipts, *self._create(shape, bodies)]
        if len(rows) > 1 or self._only_values(rows[0]):
            return self._update_values(shape, rows, key_field)
        return [self._update(shape, rows[0], key_field)]

    def _bodies(
        self, shape: Shape, rows: Sequence[WriteRow], key_field: str
    ) -> tuple[list[tuple[WriteRow, dict[str, Any]]], list[Receipt]]:
        """Request bodies of creates; rows whose values cannot be written come back as refused receipts."""
        bodies, refused = [], []
        for row in rows:
            try:
                body = self._body(shape, row.fields)
            except Refused as error:
                refused += receipts_for(error, [row])
                continue
            if shape.has_reference:
                body["external_reference"] = {
                    "status": "successful",
                    **body.get("external_reference", {}),
                    "service_name": SERVICE_NAME,
                    "service_model": self._model(key_field),
                    "service_model_ref": row.key,
                }
            else:
                body[key_field] = row.key
            bodies.append((row, body))
        return bodies, refused

    def _create(self, shape: Shape, bodies: Sequence[tuple[WriteRow, dict[str, Any]]]) -> list[Receipt]:
        rows = [row for row, _ in bodies]
        params = {"include": "external_references"}
        try:
            if shape.collection in BULK_LIMITS:
                page = self.client.bulk_create(shape.collection, [body for _, body in bodies], params)
                made = {str(_reference_of(row, page).get("service_model_ref")): row for row in page.rows}
            else:
                made = {rows[0].key: self.client.create(shape.collection, bodies[0][1], params)}
        except (Invalid, AlreadyThere) as error:
            return self._refused(error, error.problems, rows)
        receipts = []
        for row in rows:
            record = made.get(row.key)
            if record is None:
                receipts.append(
                    Receipt(entry_id=row.entry_id, outcome=Outcome.uncertain, message="the answer does not name it")
                )
            else:
                receipts.append(_done(row, record, created=True))
        return receipts

    def _pay(self, row: WriteRow, body: dict[str, Any], key_field: str) -> list[Receipt]:
        """A payment for an invoice that is paid already is refused; then it is as it should be."""
        try:
            return [_done(row, self.client.create("external_payments", body), created=True)]
        except (Invalid, AlreadyThere) as error:
            if "invoice_id" in error.fields:
                there = self._find_payments(key_field, [row.key], [])[row.key]
                if there:
                    return [
                        Receipt(
                            entry_id=row.entry_id,
                            outcome=Outcome.done,
                            target_id=there[0].target_id,
                            target_version=there[0].version,
                            created=False,
                            message="the invoice was paid already",
                        )
                    ]
            return self._refused(error, error.problems, [row])

    def _update(self, shape: Shape, row: WriteRow, key_field: str) -> Receipt:
        assert row.target_id is not None
        try:
            body = self._body(shape, row.fields)
            reference = body.pop("external_reference", {})
            if row.adopt and shape.has_reference:
                reference |= {"service_model": self._model(key_field), "service_model_ref": row.key}
            if not body and reference:
                # The reference can be written although the record itself is closed (a paid invoice).
                self.client.put_reference(shape.subject, row.target_id, reference)
                return Receipt(entry_id=row.entry_id, outcome=Outcome.done, target_id=row.target_id, created=False)
            if reference:
                body["external_reference"] = {"service_name": SERVICE_NAME, **reference}
            return _done(row, self.client.update(shape.collection, row.target_id, body), created=False)
        except (Invalid, AlreadyThere) as error:
            return self._refused(error, error.problems, [row])[0]

    def _only_values(self, row: WriteRow) -> bool:
        return bool(row.fields) and not row.adopt and all(name.startswith(_CUSTOM) for name in row.fields)

    def _update_values(self, shape: Shape, rows: Sequence[WriteRow], key_field: str) -> list[Receipt]:
        """Rows that only change custom fields share calls of a hundred values; the others go one by one."""
        receipts: list[Receipt] = []
        values: list[tuple[WriteRow, dict[str, Any]]] = []
        for row in rows:
            if not self._only_values(row):
                receipts.append(self._one(shape, row, key_field))
                continue
            try:
                for given in self._values(shape, row.fields):
                    values.append(
                        (row, {"subject_type": shape.subject, "subject_id": int(row.target_id or 0), **given})
                    )
            except Refused as error:
                values = [pair for pair in values if pair[0] is not row]
                receipts += receipts_for(error, [row])
        trouble: dict[str, Receipt] = {}
        for at in range(0, len(values), _VALUES_PER_CALL):
            part = values[at : at + _VALUES_PER_CALL]
            try:
                self.client.put_values([body for _, body in part])
            except (Invalid, AlreadyThere) as error:
                for receipt in self._refused(error, error.problems, [row for row, _ in part]):
                    known = trouble.get(receipt.entry_id)
                    # One refused value decides for its row; else one in doubt does.
                    if known is None or known.outcome is Outcome.uncertain:
                        trouble[receipt.entry_id] = receipt
        for entry_id, target_id in {row.entry_id: row.target_id for row, _ in values}.items():
            done = Receipt(entry_id=entry_id, outcome=Outcome.done, target_id=target_id, created=False)
            receipts.append(trouble.get(entry_id, done))
        return receipts

    def _one(self, shape: Shape, row: WriteRow, key_field: str) -> Receipt:
        try:
            return self._update(shape, row, key_field)
        except PlatformError as error:
            return receipts_for(error, [row])[0]

    def _refused(
        self,
        error: PlatformError,
        problems: Sequence[Problem],
        rows: Sequence[WriteRow],
    ) -> list[Receipt]:
        """Receipts of a refused call. In a bulk call only the named rows are refused; whether the others were made is
        not documented, so they are in doubt and read back."""
        by_row: dict[int, list[Problem]] = {}
        for problem in problems:
            at = problem.index if problem.index is not None else (0 if len(rows) == 1 else -1)
            by_row.setdefault(at, []).append(problem)
        if set(by_row) & {-1} or not by_row or max(by_row) >= len(rows):
            return receipts_for(error, rows)
        receipts = []
        for position, row in enumerate(rows):
            own = by_row.get(position)
            if own is None:
                receipts.append(
                    Receipt(
                        entry_id=row.entry_id,
                        outcome=Outcome.uncertain,
                        message="another record of the same call was refused",
                        request_id=error.request_id,
                    )
                )
                continue
            text = "; ".join(f"{p.field}: {p.message}" if p.field not in ("", "base") else p.message for p in own)
            outcome = Outcome.retry if all(_AGAIN in p.message for p in own) else outcome_of(error)
            if outcome is Outcome.conflict and not any("already" in p.message for p in own):
                outcome = Outcome.refused
            receipts.append(
                Receipt(
                    entry_id=row.entry_id,
                    outcome=outcome,
                    code=error.code,
                    message=text,
                    fields=tuple(dict.fromkeys(p.field for p in own if p.field)),
                    request_id=error.request_id,
                )
            )
        return receipts

    # ---- bodies -----------------------------------------------------------------------------------------------

    def _body(self, shape: Shape, fields: Mapping[str, Value]) -> dict[str, Any]:
        plain = {name: _sent(value) for name, value in fields.items() if not name.startswith(_CUSTOM)}
        body = nest(plain)
        values = self._values(shape, fields)
        if values:
            body["custom_fields"] = values
        return body

    def _values(self, shape: Shape, fields: Mapping[str, Value]) -> list[dict[str, Any]]:
        """`custom_fields.<Name>` as {custom_field_id, value} in the encoding of the field's type."""
        values = []
        for name, value in fields.items():
            if not name.startswith(_CUSTOM):
                continue
            label = name.removeprefix(_CUSTOM)
            field = self._fields_of(shape.subject).get(label)
            if field is None:
                raise self.client.api.error(
                    Refused,
                    f"there is no custom field {label!r} on {shape.subject}",
                    fields=(name,),
                    next_step="Create it in Kantata (Settings > Custom Fields), or take it out of the sync.",
                )
            values.append({"custom_field_id": int(field["id"]), "value": self._value(name, field, value)})
        return values

    def _value(self, name: str, field: Record, value: Value) -> Any:
        kind = field["value_type"]
        if value is None:
            return None
        if kind == "currency":
            if not isinstance(value, list) or len(value) != 2:
                raise self.client.api.error(
                    Refused, f"{name} needs [subunits, currency], not {value!r}", fields=(name,)
                )
            return [int(str(value[0])), str(value[1])]
        if kind in ("single", "multi"):
            labels = value if isinstance(value, list) else [value]
            unknown = [label for label in labels if str(label) not in field["choices"]]
            if unknown:
                raise self.client.api.error(
                    Refused,
                    f"{name} has no choice {unknown[0]!r}; there are {', '.join(sorted(field['choices']))}",
                    fields=(name,),
                    next_step="Add the choice in Kantata, or correct the value where it comes from.",
                )
            return [int(field["choices"][str(label)]) for label in labels]
        return _sent(value)

    def _fields_of(self, subject: str) -> dict[str, Record]:
        """Custom fields of a subject by name, with their choices (label -> id); asked once per run."""
        if self._custom is None:
            custom: dict[str, dict[str, Record]] = {}
            for page in self.client.pages("custom_fields", {"include": "choices"}, read_ahead=1):
                choices = page.included.get("custom_field_choices", {})
                for row in page.rows:
                    mine = [choices[c] for c in row.get("choice_ids") or () if c in choices]
                    labels = {str(choice["label"]): choice["id"] for choice in mine}
                    custom.setdefault(row["subject_type"], {})[row["name"]] = {**row, "choices": labels}
            self._custom = custom
        return self._custom.get(subject, {})

    def _shape(self, object: str) -> Shape:
        try:
            return SHAPES[object]
        except KeyError:
            raise Refused(
                f"Tieout cannot write {object!r} to Kantata; there are {', '.join(sorted(SHAPES))}",
                platform=self.platform,
                connection=self.connection,
                next_step="Correct `object` in the sync's yml.",
            ) from None

    def _model(self, key_field: str) -> str:
        if not key_field.startswith(_REFERENCE):
            raise Refused(
                f"the key field {key_field!r} cannot carry a key in Kantata",
                platform=self.platform,
                connection=self.connection,
                next_step="Use external_reference.<Model> as key field, e.g. external_reference.Opportunity.",
            )
        return key_field.removeprefix(_REFERENCE)


def _done(row: WriteRow, record: Record, *, created: bool) -> Receipt:
    return Receipt(
        entry_id=row.entry_id,
        outcome=Outcome.done,
        target_id=str(record["id"]),
        target_version=_version(record),
        created=created,
    )


def _version(row: Record) -> str | None:
    stamp = row.get("updated_at")
    return None if stamp is None else str(stamp)


def _reference_of(row: Record, page: Page) -> Mapping[str, Any]:
    """Tieout's own reference on a record, empty when it has none."""
    references = page.included.get("external_references", {})
    for id in row.get("external_reference_ids") or ():
        reference = references.get(str(id), {})
        if reference.get("service_name") == SERVICE_NAME:
            return reference
    return {}


def _sent(value: Any) -> Any:
    """A value as JSON: Decimals without padding (25000.0000 -> 25000), days and moments as text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else value.normalize()
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list):
        return [_sent(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _sent(item) for name, item in value.items()}
    return value


def _read(name: str, row: Record, page: Page) -> tuple[bool, Any]:
    """(is it shown, value) of one field in the words it was sent in: main units for `price`, ids as sorted lists.

    What Kantata never shows again (`suppress_emails`, template controls) is reported as not shown.
    """
    if name.startswith(_CUSTOM):
        values = page.included.get("custom_field_values", {})
        label = name.removeprefix(_CUSTOM)
        for id in row.get("custom_field_value_ids") or ():
            value = values.get(str(id), {})
            if value.get("custom_field_name") == label:
                chosen = value.get("type") in ("single", "multi")
                return True, value.get("display_value") if chosen else value.get("value")
        return "custom_field_value_ids" in row, None
    if name.startswith(_REFERENCE):
        return True, _reference_of(row, page).get(name.removeprefix(_REFERENCE))
    if name.startswith(_PREFERENCE):
        preferences = page.included.get("workspace_invoice_preferences", {})
        preference = preferences.get(str(row.get("workspace_invoice_preference_id")), {})
        return True, preference.get(name.removeprefix(_PREFERENCE))
    if name == "price":
        cents = row.get("price_in_cents")
        if "price_in_cents" not in row:
            return False, None
        return True, None if cents is None else Decimal(cents) / Decimal(row.get("currency_base_unit") or 100)
    if name == "status_key":
        return "status" in row, (row.get("status") or {}).get("key")
    if name == "workspace_id" and "workspace_ids" in row:
        return len(row["workspace_ids"]) == 1, row["workspace_ids"][0] if len(row["workspace_ids"]) == 1 else None
    if name.endswith("_ids") and isinstance(row.get(name), list):
        return True, sorted(str(id) for id in row[name])
    if name in ("fixed_fee_items", "additional_items") or name not in row:
        return False, None
    return True, row[name]


def build(client: KantataClient, connection: str) -> KantataTarget:
    """The target of one connection."""
    return KantataTarget(client, connection)
