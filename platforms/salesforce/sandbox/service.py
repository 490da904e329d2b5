"""The rules of a Salesforce org over the sandbox's store, without HTTP.

    values --checks (types, picklists, references, uniqueness)--> row --rules.py (stages, roll-ups)--> table

Rows carry the vendor's field names as columns: text as text, booleans as 0/1, numbers as REAL rounded to the field's
scale, days as `YYYY-MM-DD`, instants as `YYYY-MM-DDTHH:MM:SS.000+0000`. As on the real platform instants have whole
seconds, so the rows of one call share their SystemModstamp; each transaction of its own begins a new second.
"""

from __future__ import annotations

import datetime as dt
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from platforms.kit.sandbox.clock import SandboxClock
from platforms.kit.sandbox.service import Refusal, chunked
from platforms.kit.sandbox.store import Store
from platforms.salesforce.sandbox import rules
from platforms.salesforce.sandbox.ids import make_id, normal_id
from platforms.salesforce.sandbox.schema import (
    NUMBER_TYPES,
    FieldDef,
    ObjectDef,
    column_type,
    create_index_sql,
    create_table_sql,
    field_from_json,
    label_of,
    object_from_json,
    object_to_json,
)
from platforms.salesforce.sandbox.setup import set_up_org
from platforms.salesforce.sandbox.soql import (
    Child,
    Compiled,
    SoqlError,
    compile_query,
    instant_text,
    parse,
    parse_instant,
    shaper,
)

_TABLES = """
CREATE TABLE IF NOT EXISTS _schema (name TEXT PRIMARY KEY, position INTEGER, definition TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS _cursors (
    id TEXT PRIMARY KEY, soql TEXT, all_rows INTEGER, page INTEGER, seqs BLOB, at_ms INTEGER
);
CREATE TABLE IF NOT EXISTS _jobs (id TEXT PRIMARY KEY, kind TEXT, state TEXT, facts TEXT, body BLOB, at_ms INTEGER);
CREATE TABLE IF NOT EXISTS _batches (id TEXT PRIMARY KEY, job TEXT, facts TEXT, body BLOB, result BLOB);
CREATE TABLE IF NOT EXISTS _sessions (token TEXT PRIMARY KEY, user_id TEXT, client TEXT, expires_at REAL);
CREATE TABLE IF NOT EXISTS _locks (id TEXT PRIMARY KEY, reason TEXT);
"""
_CHUNK = 5_000
_SECOND = dt.timedelta(seconds=1)
CURSOR_LIFE = dt.timedelta(days=2)

Checker = Callable[[Any], Any]


def open_service(state_dir: Path) -> SalesforceService:
    """The service over `<state_dir>/salesforce.sqlite`, created when it is not there."""
    return SalesforceService(Store(Path(state_dir) / "salesforce.sqlite"))


class SalesforceService:
    """One org. Safe to open from several processes and threads at the same time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = SandboxClock(store)
        store.script(_TABLES)
        self._version = -1
        self._objects: dict[str, ObjectDef] = {}
        self._checkers: dict[str, dict[str, tuple[FieldDef, Checker]]] = {}
        self._actors: dict[str, str] = {}

    # --- schema ---------------------------------------------------------------------------------------------

    @property
    def objects(self) -> dict[str, ObjectDef]:
        """The org's objects by lower-case name, as they are now (another process may have changed them)."""
        row = self.store.one("SELECT value FROM _meta WHERE key = 'schema.version'")
        version = int(row["value"]) if row else 0
        if version != self._version:
            rows = self.store.read("SELECT definition FROM _schema ORDER BY position")
            found = [object_from_json(json.loads(row["definition"])) for row in rows]
            self._objects = {definition.name.lower(): definition for definition in found}
            self._checkers = {}
            self._version = version
        return self._objects

    def forget(self) -> None:
        """Drop what was remembered of the store; for whoever replaces its contents under a running service."""
        self._version = -1
        self._actors.clear()

    def object(self, name: str) -> ObjectDef:
        """One object by name, caseless. Raises Refusal NOT_FOUND."""
        found = self.objects.get(name.lower())
        if found is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        return found

    def object_of_id(self, record_id: str) -> ObjectDef | None:
        """The object whose key prefix an id carries."""
        return next((o for o in self.objects.values() if o.prefix == record_id[:3]), None)

    def _save_object(self, definition: ObjectDef) -> None:
        self.store.write(
            "INSERT INTO _schema (name, position, definition) VALUES (?, (SELECT COUNT(*) FROM _schema), ?) "
            "ON CONFLICT (name) DO UPDATE SET definition = excluded.definition",
            (definition.name, json.dumps(object_to_json(definition))),
        )
        self.store.meta["schema.changed"] = instant_text(self.clock.now())
        self.store.meta["schema.version"] = int(self.store.meta.get("schema.version", 0)) + 1

    def add_object(self, definition: ObjectDef) -> None:
        """Add an object (a package's, an administrator's) with its table."""
        with self.store.transaction():
            for statement in create_table_sql(definition):
                self.store.connection.execute(statement)
            self._save_object(definition)

    def add_field(self, object_name: str, added: FieldDef | Mapping[str, Any]) -> None:
        """Add a field; existing records get its default."""
        one = added if isinstance(added, FieldDef) else field_from_json(added)
        definition = self.object(object_name)
        with self.store.transaction():
            if one.stored and one.name not in definition.by_name:
                self.store.connection.execute(
                    f'ALTER TABLE "{definition.name}" ADD COLUMN "{one.name}" {column_type(one)}'
                )
                if one.default is not None:
                    value = int(one.default) if isinstance(one.default, bool) else one.default
                    self.store.connection.execute(f'UPDATE "{definition.name}" SET "{one.name}" = ?', (value,))
                for statement in create_index_sql(definition, one):
                    self.store.connection.execute(statement)
            self._save_object(definition.with_field(one))

    def alter_field(self, object_name: str, name: str, **changes: Any) -> None:
        """Change attributes of a field (type, length, picklist, required, ...); stored values stay as they are."""
        definition = self.object(object_name)
        with self.store.transaction():
            self._save_object(definition.with_field(replace(definition.by_name[name], **changes)))

    def remove_field(self, object_name: str, name: str) -> None:
        """Take a field away from the API; its column stays in the table, out of reach."""
        definition = self.object(object_name)
        with self.store.transaction():
            self._save_object(definition.without_field(name))

    # --- set-up, clock, actors ------------------------------------------------------------------------------

    def setup(self, seed: int) -> None:
        """A fresh org: standard objects with Tieout's custom fields, currencies, stages, users, credentials."""
        with self.store.transaction():
            set_up_org(self, seed)

    @contextmanager
    def transaction(self) -> Iterator[str]:
        """One commit, with the instant that its rows are stamped with; the outermost begins a new whole second."""
        outermost = not self.store.connection.in_transaction
        with self.store.transaction():
            if outermost:
                now = self.clock.now()
                if now.microsecond or self.store.meta.get("clock.stamped") == now.isoformat():
                    now = now.replace(microsecond=0) + _SECOND
                self.clock.set_at_least(now)
                self.store.meta["clock.stamped"] = now.isoformat()
            yield instant_text(self.clock.now().replace(microsecond=0))

    def user_id(self, actor: str) -> str:
        """The id of the user whom `actor` names by id, username or e-mail; any other name is the administrator."""
        found = self._actors.get(actor)
        if found is None:
            row = self.store.one(
                'SELECT "Id" FROM "User" WHERE "Id" = ? OR "Username" = ? OR "Email" = ? LIMIT 1', (actor, actor, actor)
            )
            found = str(row["Id"]) if row else str(self.store.meta["admin_id"])
            if row:
                self._actors[actor] = found
        return found

    # --- checks ---------------------------------------------------------------------------------------------

    def _field_checkers(self, definition: ObjectDef) -> dict[str, tuple[FieldDef, Checker]]:
        found = self._checkers.get(definition.name)
        if found is None:
            found = {one.name: (one, self._checker(one)) for one in definition.fields if one.stored}
            found |= {one.name.lower(): found[one.name] for one in definition.fields if one.stored}
            self._checkers[definition.name] = found
        return found

    def _checker(self, one: FieldDef) -> Checker:
        """A function from a given value to the stored one; raises Refusal with the vendor's code."""
        name, label, kind = one.name, label_of(one), one.type

        def parser_error(value: Any) -> Refusal:
            token = {bool: "VALUE_TRUE", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING"}
            shown = token.get(type(value), "START_OBJECT")
            return Refusal(
                "JSON_PARSER_ERROR",
                f"Cannot deserialize instance of {kind} from {shown} value {value} or request may be "
                "missing a required field",
                [name],
            )

        if kind == "boolean":

            def check_boolean(value: Any) -> Any:
                if value is True or value is False:
                    return int(value)
                if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
                    return int(value.lower() in ("true", "1"))
                raise parser_error(value)

            return check_boolean
        if kind in NUMBER_TYPES or kind == "int":
            quantum = Decimal(1).scaleb(-one.scale) if kind != "int" else Decimal(1)
            limit = Decimal(10) ** (one.precision - one.scale) if one.precision else None

            def check_number(value: Any) -> Any:
                if value is None:
                    return None
                if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
                    raise parser_error(value)
                try:
                    exact = Decimal(str(value))
                except InvalidOperation:
                    raise parser_error(value) from None
                if not exact.is_finite():
                    raise parser_error(value)
                exact = exact.quantize(quantum, ROUND_HALF_UP)
                if limit is not None and abs(exact) >= limit:
                    raise Refusal(
                        "NUMBER_OUTSIDE_VALID_RANGE",
                        f"{label}: value outside of valid range on numeric field: {value}",
                        [name],
                    )
                return int(exact) if kind == "int" else float(exact)

            return check_number
        if kind == "date":

            def check_date(value: Any) -> Any:
                if value is None or value == "":
                    return None
                if isinstance(value, dt.datetime):
                    return value.astimezone(dt.UTC).date().isoformat()
                if isinstance(value, dt.date):
                    return value.isoformat()
                try:
                    return dt.date.fromisoformat(str(value)[:10]).isoformat()
                except ValueError:
                    raise parser_error(value) from None

            return check_date
        if kind == "datetime":

            def check_datetime(value: Any) -> Any:
                if value is None or value == "":
                    return None
                moment = value if isinstance(value, dt.datetime) else parse_instant(str(value))
                if moment is None:
                    raise parser_error(value)
                return instant_text(moment.replace(microsecond=0))

            return check_datetime
        if kind in ("reference", "id"):

            def check_reference(value: Any) -> Any:
                if value is None or value == "":
                    return None
                made = normal_id(value) if isinstance(value, str) else None
                if made is None:
                    raise Refusal("MALFORMED_ID", f"{label}: id value of incorrect type: {value}", [name])
                return made

            return check_reference
        return self._text_checker(one, name, label, parser_error)

    def _text_checker(self, one: FieldDef, name: str, label: str, parser_error: Callable[[Any], Refusal]) -> Checker:
        length = one.length
        allowed = {v.value.lower(): v.value for v in one.picklist if v.active} if one.picklist else {}
        restricted, is_email, multi = one.restricted, one.type == "email", one.type == "multipicklist"

        def check_text(value: Any) -> Any:
            if value is None or value == "":
                return None
            if not isinstance(value, str):
                raise parser_error(value)
            if len(value) > length:
                raise Refusal(
                    "STRING_TOO_LONG", f"{label}: data value too large: {value[:255]} (max length={length})", [name]
                )
            if restricted:
                for part in value.split(";") if multi else (value,):
                    if part.lower() not in allowed:
                        raise Refusal(
                            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                            f"{label}: bad value for restricted picklist field: {value}",
                            [name],
                        )
                return value if multi else allowed[value.lower()]
            if is_email and not _looks_like_email(value):
                raise Refusal("INVALID_EMAIL_ADDRESS", f"{label}: invalid email address: {value}", [name])
            return value.rstrip() or None

        return check_text

    def clean(
        self, definition: ObjectDef, values: Mapping[str, Any], *, creating: bool, trusted: bool = False
    ) -> dict[str, Any]:
        """The stored form of given values, every field checked; parents named by external id are looked up.

        `trusted` (set-up and rules only) may write fields that the org keeps for itself.
        """
        checkers = self._field_checkers(definition)
        row: dict[str, Any] = {}
        locked: list[str] = []
        for given, value in values.items():
            entry = checkers.get(given) or checkers.get(given.lower())
            if entry is None:
                self._other_key(definition, given, value, row)
                continue
            one, check = entry
            if not trusted and not (one.createable if creating else one.updateable):
                if one.type == "id" and creating:
                    if value in (None, ""):
                        continue
                    raise Refusal("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", ["Id"])
                if one.type == "id":
                    continue
                locked.append(one.name)
                continue
            stored = check(value)
            if stored is None and not creating and (one.required or not one.nillable):
                if one.name in ("OwnerId", "CurrencyIsoCode"):
                    continue
                raise Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{one.name}]", [one.name])
            row[one.name] = stored
        if locked:
            verb = "create/update"
            raise Refusal(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to {verb} fields: {', '.join(locked)}. Please check the security settings of this field and "
                "verify that it is read/write for your profile or permission set.",
                locked,
            )
        return row

    def _other_key(self, definition: ObjectDef, given: str, value: Any, row: dict[str, Any]) -> None:
        if given == "attributes":
            return
        link = definition.by_relationship.get(given.lower())
        if link is not None and (value is None or isinstance(value, Mapping)):
            row[link.name] = None if value is None else self._parent_by_external_id(link, value)
            return
        compound = definition.by_lower.get(given.lower())
        if compound is not None:
            raise Refusal(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {compound.name}. Please check the security settings of this field "
                "and verify that it is read/write for your profile or permission set.",
                [compound.name],
            )
        raise Refusal("INVALID_FIELD", f"No such column '{given}' on sobject of type {definition.name}")

    def _parent_by_external_id(self, link: FieldDef, value: Mapping[str, Any]) -> str:
        parent = self.object(link.reference_to[0])
        keys = [(k, v) for k, v in value.items() if k != "attributes"]
        if len(keys) != 1:
            raise Refusal(
                "INVALID_FIELD",
                f"More than 1 field provided in an external foreign key reference in entity: {parent.name}",
            )
        name, wanted = keys[0]
        one = parent.by_lower.get(name.lower())
        if one is None or not (one.external_id or one.id_lookup or one.type == "id"):
            raise Refusal("INVALID_FIELD", f"{name} is not an External ID or indexed field for {parent.name}")
        found = self.find_ids(parent, one.name, wanted)
        if len(found) != 1:
            raise Refusal(
                "INVALID_FIELD",
                f"Foreign key external ID: {wanted} not found for field {one.name} in entity {parent.name}",
                [link.name],
            )
        return found[0]

    def find_ids(self, definition: ObjectDef, field_name: str, value: Any) -> list[str]:
        """Ids of the records that are not deleted whose field has this value (at most three)."""
        alive = ' AND "IsDeleted" = 0' if definition.has_is_deleted else ""
        rows = self.store.read(
            f'SELECT "Id" FROM "{definition.name}" WHERE "{field_name}" = ?{alive} ORDER BY _seq LIMIT 3', (value,)
        )
        return [str(row["Id"]) for row in rows]

    def _check_references(self, definition: ObjectDef, row: Mapping[str, Any], known: set[str]) -> None:
        for name, value in row.items():
            one = definition.by_name[name]
            if value is None or one.type != "reference" or value in known:
                continue
            parent = self.objects.get(one.reference_to[0].lower())
            if parent is None:
                continue
            if value[:3] != parent.prefix:
                raise Refusal(
                    "FIELD_INTEGRITY_EXCEPTION", f"{label_of(one)}: id value of incorrect type: {value}", [name]
                )
            deleted = '"IsDeleted"' if parent.has_is_deleted else "0"
            found = self.store.connection.execute(
                f'SELECT {deleted} FROM "{parent.name}" WHERE "Id" = ?', (value,)
            ).fetchone()
            if found is None:
                raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [name])
            if found[0]:
                raise Refusal("ENTITY_IS_DELETED", "entity is deleted", [name])
            known.add(value)

    def _check_unique(
        self, definition: ObjectDef, row: Mapping[str, Any], own_id: str | None, seen: set[tuple[str, Any]]
    ) -> None:
        for one in definition.fields:
            if not one.unique or row.get(one.name) is None:
                continue
            value = row[one.name]
            folded = value if one.case_sensitive or not isinstance(value, str) else value.lower()
            others = [i for i in self.find_ids(definition, one.name, value) if i != own_id]
            if others or (one.name, folded) in seen:
                where = f"record with id: {others[0][:15]}" if others else "record in the same request"
                raise Refusal(
                    "DUPLICATE_VALUE", f"duplicate value found: {one.name} duplicates value on {where}", [one.name]
                )
            seen.add((one.name, folded))

    def _check_required(self, definition: ObjectDef, row: Mapping[str, Any]) -> None:
        missing = [one.name for one in definition.fields if one.required and row.get(one.name) is None]
        if missing:
            raise Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)

    # --- writing --------------------------------------------------------------------------------------------

    def insert(self, object: str, values: Mapping[str, Any], *, actor: str) -> str:
        """Create one record as `actor` (user id, username or e-mail); returns its 18-character id. Raises Refusal."""
        return self.insert_many(object, [values], actor=actor)[0]

    def insert_many(
        self, object: str, rows: Iterable[Mapping[str, Any]], *, actor: str, trusted: bool = False
    ) -> list[str]:
        """Create many records in one commit, every rule checked, streaming; all or none. Returns ids in order."""
        definition = self.object(object)
        if not definition.createable and not trusted:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be inserted: {definition.label}")
        rule = rules.rules_for(definition.name)
        made: list[str] = []
        known: set[str] = set()
        columns = [one.name for one in definition.stored_fields]
        slots = ", ".join("?" for _ in columns)
        listed = ", ".join(f'"{name}"' for name in columns)
        sql = f'INSERT INTO "{definition.name}" (_seq, {listed}) VALUES (?, {slots})'
        unique = any(one.unique for one in definition.fields)
        has = definition.by_name
        defaults = {
            one.name: int(one.default) if isinstance(one.default, bool) else one.default
            for one in definition.stored_fields
            if one.default is not None
        }
        numbered = [one for one in definition.fields if one.auto_number]
        with self.transaction() as stamp:
            user = self.user_id(actor) if "CreatedById" in has else ""
            audit = {
                "CreatedDate": stamp, "CreatedById": user, "LastModifiedDate": stamp, "LastModifiedById": user,
                "SystemModstamp": stamp,
            }  # fmt: skip
            base = {**defaults, **{k: v for k, v in audit.items() if k in has}}
            if "OwnerId" in has:
                base["OwnerId"] = user
            if "CurrencyIsoCode" in has:
                base["CurrencyIsoCode"] = self.default_currency(user)
            for chunk in chunked(rows, _CHUNK):
                first = self.store.next_number(definition.name, len(chunk))
                seen: set[tuple[str, Any]] = set()
                tuples = []
                finished: list[dict[str, Any]] = []
                for offset, values in enumerate(chunk):
                    given = self.clean(definition, values, creating=True, trusted=trusted)
                    row = base | {k: v for k, v in given.items() if v is not None}
                    own_id = make_id(definition.prefix, first + offset)
                    row["Id"] = own_id
                    if rule is not None:
                        rule.before_insert(self, row, given)
                    self._check_required(definition, row)
                    self._check_references(definition, given, known)
                    if unique:
                        self._check_unique(definition, row, None, seen)
                    for one in numbered:
                        row[one.name] = _auto_number(one.auto_number or "", first + offset, stamp)
                    tuples.append((first + offset, *[row.get(name) for name in columns]))
                    made.append(own_id)
                    if rule is not None:
                        finished.append(row)
                self.store.connection.executemany(sql, tuples)
                if rule is not None:
                    rule.after_write(self, finished, stamp, user)
        return made

    def update(
        self,
        object: str,
        id: str,
        values: Mapping[str, Any],
        *,
        actor: str,
        unmodified_since: dt.datetime | None = None,
    ) -> None:
        """Change one record as `actor`. Raises Refusal (ENTITY_IS_DELETED, NOT_FOUND, ENTITY_IS_LOCKED, a field's own).

        `unmodified_since` refuses with 412 when the record changed after that instant.
        """
        definition = self.object(object)
        if not definition.updateable:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be updated: {definition.label}")
        with self.transaction() as stamp:
            old = self.stored(definition, id)
            if unmodified_since is not None and old["LastModifiedDate"] > instant_text(unmodified_since):
                raise Refusal("PRECONDITION_FAILED", "The record was modified since the given date", status=412)
            given = self.clean(definition, values, creating=False)
            self._change(definition, old, given, stamp, self.user_id(actor))

    def _change(self, definition: ObjectDef, old: dict[str, Any], given: dict[str, Any], stamp: str, user: str) -> None:
        lock = self.store.one("SELECT reason FROM _locks WHERE id = ?", (old["Id"],))
        if lock is not None:
            raise Refusal("ENTITY_IS_LOCKED", lock["reason"] or "entity is locked for editing")
        rule = rules.rules_for(definition.name)
        new = {**old, **given}
        self._check_references(definition, given, set())
        if rule is not None:
            rule.before_update(self, old, new, given, stamp)
        self._check_required(definition, new)
        self._check_unique(definition, {k: new[k] for k in given}, old["Id"], set())
        new |= {"LastModifiedDate": stamp, "LastModifiedById": user, "SystemModstamp": stamp}
        self.overwrite(definition, new, old)
        if rule is not None:
            rule.after_write(self, [new], stamp, user)

    def overwrite(self, definition: ObjectDef, new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
        """Write the columns of `new` that differ from `old`, without further checks."""
        changed = {k: v for k, v in new.items() if k in definition.by_name and v != old.get(k)}
        if changed:
            sets = ", ".join(f'"{name}" = ?' for name in changed)
            self.store.write(f'UPDATE "{definition.name}" SET {sets} WHERE "Id" = ?', (*changed.values(), old["Id"]))

    def stored(self, definition: ObjectDef, record_id: str, *, deleted: bool = False) -> dict[str, Any]:
        """The raw row of a record. Raises Refusal NOT_FOUND, or ENTITY_IS_DELETED unless `deleted` is allowed."""
        normal = normal_id(record_id)
        row = self.store.one(f'SELECT * FROM "{definition.name}" WHERE "Id" = ?', (normal,)) if normal else None
        if row is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        if row.get("IsDeleted") and not deleted:
            raise Refusal("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return {name: value for name, value in row.items() if name in definition.by_name}

    def upsert(
        self,
        object: str,
        field_name: str,
        value: Any,
        values: Mapping[str, Any],
        *,
        actor: str,
        update_only: bool = False,
        unmodified_since: dt.datetime | None = None,
    ) -> tuple[str, bool]:
        """Update the one record whose external id is `value`, or create it: (id, created).

        Raises Refusal 404 for a field that is no external id, 300 (details `ids`) when several records match.
        """  # fmt: skip
        definition = self.object(object)
        one = definition.by_lower.get(field_name.lower())
        if one is None or not (one.external_id or one.id_lookup or one.type == "id"):
            raise Refusal(
                "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {field_name}", status=404
            )
        with self.transaction():
            stored_key = self._field_checkers(definition)[one.name][1](value)
            if one.type == "id":
                if stored_key is None:
                    return self.insert(definition.name, values, actor=actor), True
                found = self.find_ids(definition, "Id", stored_key)
                if not found:
                    raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
            else:
                if stored_key is None:
                    raise Refusal("MISSING_ARGUMENT", f"{one.name} not specified", [one.name])
                found = self.find_ids(definition, one.name, stored_key)
            if len(found) > 1:
                raise Refusal(
                    "DUPLICATE_EXTERNAL_ID",
                    f"{one.name}: more than one record found for external id field: {found}",
                    [one.name],
                    status=300,
                    ids=found,
                )
            if found:
                self.update(definition.name, found[0], values, actor=actor, unmodified_since=unmodified_since)
                return found[0], False
            if update_only:
                raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
            return self.insert(definition.name, {**values, one.name: value}, actor=actor), True

    def delete(self, object: str, id: str, *, actor: str, hard: bool = False) -> None:
        """Put a record and its cascading children into the recycle bin (`hard`: remove it for good). Raises Refusal."""
        definition = self.object(object)
        if not definition.deletable:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be deleted: {definition.label}")
        with self.transaction() as stamp:
            row = self.stored(definition, id)
            if self.store.one("SELECT 1 AS yes FROM _locks WHERE id = ?", (row["Id"],)):
                raise Refusal("ENTITY_IS_LOCKED", "entity is locked for editing")
            rule = rules.rules_for(definition.name)
            if rule is not None:
                rule.before_delete(self, row)
            user = self.user_id(actor)
            self._bin(definition, [row["Id"]], stamp, user)
            if hard:
                self.store.write(f'DELETE FROM "{definition.name}" WHERE "Id" = ?', (row["Id"],))
            if rule is not None:
                rule.after_write(self, [row], stamp, user)

    def _bin(self, definition: ObjectDef, ids: list[str], stamp: str, user: str) -> None:
        wanted = json.dumps(ids)
        self.store.write(
            f'UPDATE "{definition.name}" SET "IsDeleted" = 1, "SystemModstamp" = ?, "LastModifiedDate" = ?, '
            '"LastModifiedById" = ? WHERE "Id" IN (SELECT value FROM json_each(?)) AND "IsDeleted" = 0',
            (stamp, stamp, user, wanted),
        )
        for other in self.objects.values():
            for one in other.fields:
                if definition.name not in one.reference_to or not one.cascade_delete:
                    continue
                children = self.store.read(
                    f'SELECT "Id" FROM "{other.name}" WHERE "{one.name}" IN (SELECT value FROM json_each(?)) '
                    'AND "IsDeleted" = 0',
                    (wanted,),
                )
                if children:
                    self._bin(other, [str(row["Id"]) for row in children], stamp, user)

    def act(self, action: str, id: str, *, actor: str, **params: Any) -> Any:
        """Press a button.

        account.merge(losers=[ids]): children move to `id`, losers are deleted with MasterRecordId.
        record.undelete; record.lock(reason=...) and record.unlock, as an approval process does;
        recycle_bin.empty (id of a record, or '' for all): deleted rows vanish for good.
        """
        if action == "account.merge":
            return self._merge(id, list(params["losers"]), actor)
        if action == "record.undelete":
            return self._undelete(id, actor)
        if action == "record.lock":
            return self.store.write(
                "INSERT OR REPLACE INTO _locks (id, reason) VALUES (?, ?)", (normal_id(id), params.get("reason"))
            ).rowcount
        if action == "record.unlock":
            return self.store.write("DELETE FROM _locks WHERE id = ?", (normal_id(id),)).rowcount
        if action == "recycle_bin.empty":
            chosen = [self._owner_object(id)] if id else [o for o in self.objects.values() if o.has_is_deleted]
            with self.transaction():
                for definition in chosen:
                    extra, values = (' AND "Id" = ?', (normal_id(id),)) if id else ("", ())
                    self.store.write(f'DELETE FROM "{definition.name}" WHERE "IsDeleted" = 1{extra}', values)
            return None
        raise Refusal("NOT_FOUND", f"there is no action {action!r}", status=404)

    def _owner_object(self, record_id: str) -> ObjectDef:
        found = self.object_of_id(record_id)
        if found is None:
            raise Refusal("MALFORMED_ID", f"malformed id {record_id}")
        return found

    def _merge(self, master: str, losers: list[str], actor: str) -> None:
        account = self.object("Account")
        with self.transaction() as stamp:
            winner = self.stored(account, master)
            user = self.user_id(actor)
            for loser in losers:
                row = self.stored(account, loser)
                if row["Id"] == winner["Id"]:
                    raise Refusal("INVALID_OPERATION", "a record cannot be merged into itself")
                for other in self.objects.values():
                    for one in other.fields:
                        if "Account" in one.reference_to and one.name != "MasterRecordId":
                            self.store.write(
                                f'UPDATE "{other.name}" SET "{one.name}" = ?, "SystemModstamp" = ?, '
                                f'"LastModifiedDate" = ?, "LastModifiedById" = ? WHERE "{one.name}" = ? AND "Id" <> ?',
                                (winner["Id"], stamp, stamp, user, row["Id"], winner["Id"]),
                            )
                self._bin(account, [row["Id"]], stamp, user)
                self.store.write('UPDATE "Account" SET "MasterRecordId" = ? WHERE "Id" = ?', (winner["Id"], row["Id"]))
            self._change(account, winner, {}, stamp, user)

    def _undelete(self, record_id: str, actor: str) -> None:
        definition = self._owner_object(record_id)
        with self.transaction() as stamp:
            row = self.stored(definition, record_id, deleted=True)
            if not row["IsDeleted"]:
                raise Refusal("UNDELETE_FAILED", "Entity is not in the recycle bin")
            new = {**row, "IsDeleted": 0, "SystemModstamp": stamp, "LastModifiedDate": stamp}
            self.overwrite(definition, new, row)
            rule = rules.rules_for(definition.name)
            if rule is not None:
                rule.after_write(self, [new], stamp, self.user_id(actor))

    def default_currency(self, user: str) -> str:
        """The currency of a user's new records."""
        row = self.store.one('SELECT "DefaultCurrencyIsoCode" AS code FROM "User" WHERE "Id" = ?', (user,))
        return str(row["code"]) if row and row["code"] else "USD"

    # --- reading --------------------------------------------------------------------------------------------

    def rows(self, object: str, where_sql: str = "", params: Sequence[Any] = ()) -> Iterator[dict[str, Any]]:
        """Stored rows, deleted ones included: booleans as bool, numbers as Decimal. `where_sql` without WHERE."""
        definition = self.object(object)
        booleans = [f.name for f in definition.stored_fields if f.type == "boolean"]
        numbers = [f.name for f in definition.stored_fields if f.type in NUMBER_TYPES]
        listed = ", ".join(f'"{f.name}"' for f in definition.stored_fields)
        where = f"WHERE {where_sql}" if where_sql else ""
        for row in self.store.iterate(f'SELECT {listed} FROM "{definition.name}" {where} ORDER BY _seq', params):
            for name in booleans:
                row[name] = bool(row[name])
            for name in numbers:
                if row[name] is not None:
                    row[name] = Decimal(repr(float(row[name])))
            yield row

    def compile(self, soql: str, *, all_rows: bool = False) -> Compiled:
        """The SQL of a statement. Raises SoqlError."""
        return compile_query(parse(soql), self.objects, self.clock.now(), all_rows=all_rows)

    def count_rows(self, compiled: Compiled) -> int:
        """The answer of SELECT COUNT()."""
        return int(self.store.connection.execute(compiled.ids_sql, compiled.ids_params).fetchone()[0])

    def groups(self, compiled: Compiled) -> list[dict[str, Any]]:
        """The rows of an aggregate query."""
        shape = shaper(compiled.root, "")
        rows = self.store.connection.execute(compiled.ids_sql, compiled.ids_params).fetchall()
        return [record for row in rows if (record := shape(row)) is not None]

    def find(self, compiled: Compiled) -> array[int]:
        """The running numbers of the records a statement finds, in its order."""
        cursor = self.store.connection.execute(compiled.ids_sql, compiled.ids_params)
        return array("q", (row[0] for row in cursor))

    def fetch(self, compiled: Compiled, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
        """The SQL rows (without the number) of these records, in this order; vanished ones are left out."""
        found = {
            row[0]: row[1:] for row in self.store.connection.execute(compiled.page_sql, (json.dumps(list(numbers)),))
        }
        return [found[number] for number in numbers if number in found]

    def page(self, compiled: Compiled, numbers: Sequence[int], base: str) -> list[dict[str, Any]]:
        """The JSON records of one page, children included; `base` is `/services/data/vXX.0`."""
        shape = shaper(compiled.root, base)
        rows = self.fetch(compiled, numbers)
        records = [record for row in rows if (record := shape(row)) is not None]
        for child in compiled.children:
            groups = self._children(child, [row[compiled.root.id_index] for row in rows], base)
            for record, row in zip(records, rows, strict=True):
                mine = groups.get(row[compiled.root.id_index])
                record[child.name] = {"totalSize": len(mine), "done": True, "records": mine} if mine else None
        return records

    def _children(self, child: Child, parents: list[str], base: str) -> dict[str, list[dict[str, Any]]]:
        compiled = child.compiled
        shape = shaper(compiled.root, base)
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in self.store.connection.execute(compiled.page_sql, (json.dumps(parents), *compiled.ids_params)):
            record = shape(row)
            if record is not None:
                groups.setdefault(row[child.key_index], []).append(record)
        if child.offset or child.limit is not None:
            end = None if child.limit is None else child.offset + child.limit
            groups = {key: rows[child.offset : end] for key, rows in groups.items()}
        return groups

    def query(self, soql: str, *, all_rows: bool = False) -> list[dict[str, Any]]:
        """All records of a statement as JSON answers carry them; for the world and for tests."""
        compiled = self.compile(soql, all_rows=all_rows)
        if compiled.query.is_count:
            return [{"count": self.count_rows(compiled)}]
        if compiled.aggregate:
            return self.groups(compiled)
        return self.page(compiled, self.find(compiled), "/services/data/v67.0")

    def record(self, definition: ObjectDef, record_id: str, fields: Iterable[str] | None, base: str) -> dict[str, Any]:
        """One record as GET answers it: all fields, or the named ones. Raises Refusal or SoqlError."""
        row = self.stored(definition, record_id)
        chosen = [f.name for f in definition.fields] if fields is None else list(fields)
        compiled = self.compile(f"SELECT {', '.join(chosen)} FROM {definition.name} WHERE Id = '{row['Id']}'")
        return self.page(compiled, self.find(compiled), base)[0]


def _looks_like_email(value: str) -> bool:
    name, at, domain = value.partition("@")
    return bool(at and name and "." in domain and not value.startswith(".") and " " not in value and "@" not in domain)


def _auto_number(template: str, number: int, stamp: str) -> str:
    """A name such as TCH-{MM}-{DD}-{YYYY}-{000000} filled in."""
    text = template.replace("{YYYY}", stamp[:4]).replace("{MM}", stamp[5:7]).replace("{DD}", stamp[8:10])
    text = text.replace("{YYYYMMDD}", stamp[:10].replace("-", ""))
    start, end = text.find("{0"), text.find("}", max(text.find("{0"), 0))
    if start < 0:
        return text
    return f"{text[:start]}{number:0{end - start - 1}d}{text[end + 1 :]}"


__all__ = ["CURSOR_LIFE", "Refusal", "SalesforceService", "SoqlError", "open_service"]
