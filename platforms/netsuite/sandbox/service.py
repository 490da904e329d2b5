"""The sandbox ledger's rules for every record, without HTTP; `ledger.py` has those of the documents that post.

    values -> parse (kinds) -> resolve (references) -> rules -> rows
    a refusal is a `Refusal` with the vendor's code, text and field path; nothing of a refused write stays

`actor` is one of the identities in ROLES for callers from outside, anything else for people inside the firm (finance),
who may do everything. Ids of customers, projects, contacts and employees come from one sequence, as in the vendor's
entity table, so a reference that may hold either is never ambiguous.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platforms.kit.sandbox.clock import SandboxClock
from platforms.kit.sandbox.service import Refusal, chunked
from platforms.kit.sandbox.store import Store
from platforms.netsuite.sandbox import schema
from platforms.netsuite.sandbox.ledger import Ledger
from platforms.netsuite.sandbox.schema import BY_NAME, TARGET_TABLES, TRANSACTIONS, Field, Record, Sublist
from platforms.netsuite.sandbox.setup import PREFERENCES, set_up
from platforms.netsuite.sandbox.values import bad, bind, parse, stamp

_ENTITIES = frozenset({"customer", "job", "contact", "employee"})
_OPEN_TARGETS = frozenset({"department", "classification", "location", "pricelevel", "jobType", "taxSchedule"})
_ALL = frozenset(r.name for r in schema.RECORDS)


@dataclass(frozen=True, kw_only=True)
class Role:
    """What an identity may do: see all but `hidden`, create and change what is in `edit`, approve if so flagged."""

    name: str
    edit: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    approve: bool = False


ROLES: Mapping[str, Role] = {
    "administrator": Role(name="Administrator", edit=_ALL, approve=True),
    "integration": Role(
        name="Tieout Integration",
        edit=frozenset(
            {
                "customer",
                "customerSubsidiaryRelationship",
                "contact",
                "job",
                "projectTask",
                "invoice",
                "timeBill",
                "charge",
            }
        ),
    ),
    "auditor": Role(name="Auditor", hidden=frozenset({"employee"})),
}


@dataclass(kw_only=True)
class Change:
    """One sublist of a write: the lines sent, and whether they replace what is there or merge with it by key."""

    items: list[dict[str, Any]]
    replace: bool = False


@dataclass(kw_only=True)
class Body:
    """A parsed record body: columns with their values, and sublist changes by REST name."""

    columns: dict[str, Any] = field(default_factory=dict)
    sublists: dict[str, Change] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class _Work(threading.local):
    """What one thread's open write remembers; gone when it ends, because another process may write next."""

    depth = 0
    block = 1
    now: str = ""
    rows: dict[tuple[str, int], dict[str, Any]]
    numbers: dict[str, tuple[int, int]]

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.rows = {}
        self.numbers = {}
        self.now = ""


class NetSuiteService:
    """The sandbox ledger in `<state_dir>/netsuite.sqlite`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = SandboxClock(store)
        self._work = _Work()
        self._preferences: dict[str, Any] = {}
        if "netsuite.schema" not in store.meta:
            store.script(";\n".join(schema.ddl()) + ";")
            store.meta["netsuite.schema"] = 1
        self.ledger = Ledger(self)

    # -- the seam ----------------------------------------------------------------------------------------------------

    def setup(self, seed: int) -> None:
        """A OneWorld account: three subsidiaries, currencies, rates, accounts, periods, items, tax codes, logins."""
        set_up(self, seed)

    def insert(self, object: str, values: Mapping[str, Any], *, actor: str) -> str:
        """Create one record; `values` by REST or SuiteQL names, sublists as lists or `{"items": [...]}`."""
        with self.writing():
            return str(self.create(self.record(object), values, actor))

    def insert_many(self, object: str, rows: Iterable[Mapping[str, Any]], *, actor: str) -> list[str]:
        """Create many, 500 to a transaction; stops at the first refusal, leaving the earlier transactions' records."""
        record, ids = self.record(object), []
        for chunk in chunked(rows, 500):
            with self.writing(block=500):
                ids += [str(self.create(record, values, actor)) for values in chunk]
        return ids

    def update(self, object: str, id: str, values: Mapping[str, Any], *, actor: str) -> None:
        """Change one record; sublist lines merge by key."""
        with self.writing():
            self.change(self.record(object), int(id), values, actor)

    def delete(self, object: str, id: str, *, actor: str) -> None:
        """Delete one record; it appears in `deletedrecord`."""
        with self.writing():
            self.remove(self.record(object), int(id), actor)

    def act(self, action: str, id: str, *, actor: str, **params: Any) -> Any:
        """Press a button of the vendor's screens; see README for the list. Raises Refusal."""
        with self.writing():
            return self._act(action, str(id), actor, params)

    def rows(self, object: str, where_sql: str = "", params: Sequence[Any] = ()) -> Iterator[dict[str, Any]]:
        """Rows of a record type (`invoice`) or of a table (`transactionline`), by SuiteQL column names."""
        record = BY_NAME.get(object.lower())
        if record is not None:
            conditions = [f"\"{column}\" = '{value}'" for column, value in record.where.items()]
            table = record.table
        else:
            conditions, table = [], object.lower()
        if where_sql:
            conditions.append(f"({where_sql})")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        yield from self.store.iterate(f'SELECT * FROM "{table}"{where}', params)

    # -- for the app and the ledger ----------------------------------------------------------------------------------

    def record(self, name: str) -> Record:
        """The record type of this name in any case. Raises Refusal as the vendor does for an unknown one."""
        found = BY_NAME.get(name.lower())
        if found is None:
            text = f"Record type '{name}' does not exist or is not available in this account."
            raise Refusal("NONEXISTENT_ID", text, (), 404)
        return found

    def preference(self, name: str) -> Any:
        """An account preference (see PREFERENCES in setup.py)."""
        return self.store.meta.get(f"preference.{name}", PREFERENCES[name])

    def prefer(self, name: str, value: Any) -> None:
        """Set an account preference."""
        if name not in PREFERENCES:
            raise LookupError(f"no preference {name!r}; there are {', '.join(PREFERENCES)}")
        self.store.meta[f"preference.{name}"] = value

    @contextmanager
    def writing(self, block: int = 1) -> Iterator[None]:
        """One write, whole or not at all. Rows read and numbers drawn in it are remembered until it ends."""
        work = self._work
        outermost = work.depth == 0
        with self.store.transaction():
            if outermost:
                work.clear()
                work.block = block
            work.depth += 1
            try:
                yield
            except BaseException:
                # The savepoint takes numbers and rows back; what is remembered of them must go too.
                work.clear()
                raise
            finally:
                work.depth -= 1
                if outermost:
                    work.clear()

    def now(self) -> str:
        """The moment of this write, as stored."""
        if not self._work.depth:
            return stamp(self.clock.now())
        if not self._work.now:
            self._work.now = stamp(self.clock.now())
        return self._work.now

    def today(self) -> str:
        """The ledger's date, YYYY-MM-DD."""
        return self.now()[:10]

    def number(self, name: str, count: int = 1, *, start: int = 1, exact: bool = False) -> int:
        """The first of `count` new numbers. `exact` ones leave no gaps when a write is refused (document numbers)."""
        work = self._work
        if exact or work.block == 1:
            return self.store.next_number(name, count, start=start)
        first, end = work.numbers.get(name, (0, 0))
        if end - first < count:
            size = max(count, work.block)
            first = self.store.next_number(name, size, start=start)
            end = first + size
        work.numbers[name] = (first + count, end)
        return first

    def row(self, table: str, id: int) -> dict[str, Any] | None:
        """A row by id; remembered while the write lasts (writes of this service keep it fresh)."""
        known = self._work.rows.get((table, id)) if self._work.depth else None
        if known is None:
            known = self.store.one(f'SELECT * FROM "{table}" WHERE id = ?', (id,))
            if known is not None and self._work.depth and table != "transaction":
                self._work.rows[table, id] = known
        return known

    def forget(self, table: str, id: int) -> None:
        """Drop a remembered row that has changed."""
        self._work.rows.pop((table, id), None)

    def permit(self, actor: str, record: Record, *, write: bool) -> None:
        """Raises Refusal INSUFFICIENT_PERMISSION when `actor` may not see (or write) this record type."""
        role = ROLES.get(actor)
        if role is None:
            return
        if record.name in role.hidden or (write and (record.name not in role.edit or not record.writable)):
            level = "Edit" if write else "View"
            text = (
                f"Permission Violation: The subrecord or record type '{record.name}' needs permission "
                f"level {level}, which "
                f"your role '{role.name}' does not have. Please contact your account administrator."
            )
            raise Refusal("INSUFFICIENT_PERMISSION", text, (), 403)

    def may_approve(self, actor: str) -> bool:
        """Whether `actor` may approve and reject documents."""
        role = ROLES.get(actor)
        return role is None or role.approve

    def find(self, record: Record, id_text: str) -> int:
        """The id behind a path segment: `123` or `eid:X`. Raises Refusal NONEXISTENT_ID (404)."""
        if id_text.lower().startswith("eid:"):
            found = self.by_external_id(record, id_text[4:])
        else:
            found = int(id_text) if id_text.isdigit() and self.exists(record, int(id_text)) else None
        if found is None:
            text = f"The record instance does not exist. Provide a valid record instance ID. ({record.name} {id_text})"
            raise Refusal("NONEXISTENT_ID", text, (), 404)
        return found

    def by_external_id(self, record: Record, external_id: str) -> int | None:
        """The id of the record of this type with this external id, or None."""
        where = "".join(f" AND \"{column}\" = '{value}'" for column, value in record.where.items())
        if "externalid" not in schema.TABLES[record.table]:
            return None
        found = self.store.one(f'SELECT id FROM "{record.table}" WHERE externalid = ?{where}', (external_id,))
        return None if found is None else int(found["id"])

    def exists(self, record: Record, id: int) -> bool:
        """Whether a record of this type has this id."""
        found = self.store.one(f'SELECT * FROM "{record.table}" WHERE id = ?', (id,))
        return found is not None and all(found[column] == value for column, value in record.where.items())

    # -- create, change, remove --------------------------------------------------------------------------------------

    def create(
        self, record: Record, values: Mapping[str, Any], actor: str, *, unknown: str = "error",
        warnings: list[str] | None = None,
    ) -> int:  # fmt: skip
        """Create a record inside an open write; returns its id."""
        self.permit(actor, record, write=True)
        body = self.parse(record, values, unknown=unknown)
        if warnings is not None:
            warnings += body.warnings
        self._external_id_is_free(record, body.columns.get("externalid"), None)
        if record.name in TRANSACTIONS:
            return self.ledger.create(record, body, actor)
        missing = [f.name for f in record.fields if f.required and body.columns.get(f.column) in (None, "")]
        if missing:
            raise Refusal("USER_ERROR", f"Please enter value(s) for: {', '.join(missing)}", missing, 400)
        row: dict[str, Any] = {**_DEFAULTS.get(record.name, {}), **record.where, **body.columns}
        rule = getattr(self, f"_new_{record.table}", None)
        id = self.number("entity" if record.name in _ENTITIES else record.table, start=1)
        row["id"] = id
        if rule is not None:
            rule(row, body)
        now = self.now()
        for column in ("lastmodifieddate", "datecreated", "createddate"):
            if column in schema.TABLES[record.table]:
                row[column] = now
        self.write_row(record.table, row)
        if "addressBook" in body.sublists:
            self._addresses(id, body.sublists["addressBook"])
        return id

    def change(
        self, record: Record, id: int, values: Mapping[str, Any], actor: str, *, unknown: str = "error",
        replace: Sequence[str] = (), warnings: list[str] | None = None,
    ) -> None:  # fmt: skip
        """Change a record inside an open write. `replace` names sublists whose lines replace those there."""
        self.permit(actor, record, write=True)
        body = self.parse(record, values, unknown=unknown)
        if warnings is not None:
            warnings += body.warnings
        for name, change in body.sublists.items():
            change.replace = change.replace or name.lower() in {r.lower() for r in replace}
        self._external_id_is_free(record, body.columns.get("externalid"), id)
        if record.name in TRANSACTIONS:
            self.ledger.change(record, id, body, actor)
            return
        old = self.row(record.table, id)
        assert old is not None
        emptied = [
            f.name for f in record.fields if f.required and f.column in body.columns and not body.columns[f.column]
        ]
        if emptied:
            raise Refusal("USER_ERROR", f"Please enter value(s) for: {', '.join(emptied)}", emptied, 400)
        new = {**old, **body.columns}
        rule = getattr(self, f"_changed_{record.table}", None)
        if rule is not None:
            rule(old, new)
        changed = {column: value for column, value in new.items() if value != old.get(column)}
        if "addressBook" in body.sublists:
            self._addresses(id, body.sublists["addressBook"])
        if "lastmodifieddate" in schema.TABLES[record.table]:
            changed["lastmodifieddate"] = self.now()
        self.set_row(record.table, id, changed)

    def upsert(
        self, record: Record, external_id: str, values: Mapping[str, Any], actor: str, *, unknown: str = "error",
        replace: Sequence[str] = (), warnings: list[str] | None = None,
    ) -> int:  # fmt: skip
        """PUT by external id: changes the record that has it, else creates one that does; returns its id."""
        id = self.by_external_id(record, external_id)
        if id is None:
            return self.create(record, {**values, "externalId": external_id}, actor, unknown=unknown, warnings=warnings)
        self.change(record, id, values, actor, unknown=unknown, replace=replace, warnings=warnings)
        return id

    def remove(self, record: Record, id: int, actor: str) -> None:
        """Delete a record inside an open write. Refused while others depend on it."""
        self.permit(actor, record, write=True)
        old = self.row(record.table, id)
        if old is None:
            raise Refusal("NONEXISTENT_ID", "The record instance does not exist.", (), 404)
        if record.name in TRANSACTIONS:
            self.ledger.remove(record, id, actor)
        else:
            self._nothing_depends(record, id)
            self.store.write(f'DELETE FROM "{record.table}" WHERE id = ?', (id,))
            if record.name == "customer":
                self.store.write("DELETE FROM customersubsidiaryrelationship WHERE entity = ?", (id,))
                self.store.write("DELETE FROM customeraddressbook WHERE entity = ?", (id,))
                self.store.write("DELETE FROM customeraddressbookentityaddress WHERE recordowner = ?", (id,))
        self.forget(record.table, id)
        name = next((str(old[c]) for c in ("tranid", "entityid", "itemid", "name", "title") if old.get(c)), None)
        self.store.write(
            "INSERT INTO deletedrecord (recordid, recordtypeid, type, name, deleteddate, deletedby, context, "
            "iscustomlist, iscustomrecord) VALUES (?, ?, ?, ?, ?, ?, 'REST Web Services', 'F', 'F')",
            (id, schema.RECORDS.index(record) + 1, record.name.lower(), name, self.now(), -5),
        )

    def transform(
        self, source: Record, id: int, target: Record, values: Mapping[str, Any], actor: str, *, unknown: str = "error"
    ) -> int:
        """`!transform`: a new record of `target` made from a source record, with `values` on top; returns its id."""
        row = self.row(source.table, id)
        assert row is not None
        return self.create(target, self.ledger.transformed(source, row, target, values), actor, unknown=unknown)

    # -- parsing -----------------------------------------------------------------------------------------------------

    def parse(self, record: Record, values: Mapping[str, Any], *, unknown: str = "error") -> Body:
        """`values` by column. `unknown` says what happens to a field that does not exist: error, warning or ignore."""
        body = Body()
        for name, value in values.items():
            sublist = record.sublist(name)
            if sublist is not None:
                body.sublists[sublist.name] = self._parse_sublist(sublist, value, unknown, body)
                continue
            found = record.field(name)
            if found is None or name in ("links",):
                if name != "links":
                    self._unknown(record.name, name, name, unknown, body)
                continue
            if found.read_only:
                # The vendor ignores what it computes itself; a caller may send a record back as it was read.
                continue
            parsed = parse(found, value)
            body.columns[found.column] = self.resolve(found, parsed, found.name) if found.kind == "ref" else parsed
        return body

    def _parse_sublist(self, sublist: Sublist, value: Any, unknown: str, body: Body) -> Change:
        replace = value is None
        items: Any = value
        if isinstance(value, Mapping):
            items = value.get("items")
            replace = items is None and "items" in value
        if items is None:
            items = []
        if not isinstance(items, list):
            raise Refusal("INVALID_CONTENT", f"Invalid content of sublist {sublist.name}.", [sublist.name], 400)
        lines = []
        for n, item in enumerate(items):
            if not isinstance(item, Mapping):
                raise Refusal(
                    "INVALID_CONTENT", f"Invalid line in {sublist.name}.", [f"{sublist.name}.items[{n}]"], 400
                )
            line: dict[str, Any] = {}
            for name, given in item.items():
                path = f"{sublist.name}.items[{n}].{name}"
                if sublist.name == "addressBook" and name.lower() == "addressbookaddress":
                    line["address"] = self._parse_address(given, path, unknown, body)
                    continue
                found = sublist.field(name)
                if found is None:
                    if name != "links":
                        self._unknown(sublist.name, name, path, unknown, body)
                    continue
                if found.read_only:
                    continue
                parsed = parse(found, given, path)
                line[found.column] = self.resolve(found, parsed, path) if found.kind == "ref" else parsed
            lines.append(line)
        return Change(items=lines, replace=replace)

    def _parse_address(self, given: Any, path: str, unknown: str, body: Body) -> dict[str, Any]:
        if not isinstance(given, Mapping):
            raise Refusal("INVALID_CONTENT", "addressBookAddress must be an object.", [path], 400)
        out: dict[str, Any] = {}
        for name, value in given.items():
            found = next((f for f in schema.ADDRESS if f.name.lower() == name.lower()), None)
            if found is None:
                self._unknown("addressBookAddress", name, f"{path}.{name}", unknown, body)
            else:
                out[found.column] = parse(found, value, f"{path}.{name}")
        return out

    def _unknown(self, owner: str, name: str, path: str, unknown: str, body: Body) -> None:
        text = f"Unknown reference or field '{name}' in {owner}. The field does not exist."
        if unknown == "error":
            raise Refusal("NONEXISTENT_FIELD", text, [path], 400)
        if unknown == "warning":
            body.warnings.append(text)

    def resolve(self, field: Field, value: Any, path: str) -> int | None:
        """The id a reference (id, `{"id": ..}`, `{"externalId": ..}`) stands for. Raises Refusal INVALID_CONTENT."""
        if value is None:
            return None
        external = None
        if isinstance(value, Mapping):
            if not value.keys() & {"id", "externalId", "externalid", "refName"}:
                raise bad(field.name, dict(value), path)
            external = value.get("externalId", value.get("externalid")) if "id" not in value else None
            value = value.get("id")
        if field.target in _OPEN_TARGETS or field.target == "expenseCategory":
            return int(value) if str(value).lstrip("-").isdigit() else None
        tables = ("customer", "job") if field.target == "entity" else (TARGET_TABLES[field.target],)
        if field.target == "customer" and field.name in ("entity", "billTo"):
            tables = ("customer", "job")
        if external is not None:
            for table in tables:
                found = self.store.one(f'SELECT id FROM "{table}" WHERE externalid = ?', (str(external),))
                if found is not None:
                    return int(found["id"])
            raise bad(field.name, external, path)
        if not str(value).isdigit():
            raise bad(field.name, value, path)
        id = int(value)
        if not any(self.row(table, id) is not None for table in tables):
            raise bad(field.name, value, path)
        return id

    # -- rules of the records that do not post -----------------------------------------------------------------------

    def _external_id_is_free(self, record: Record, external_id: str | None, id: int | None) -> None:
        if not external_id:
            return
        taken = self.by_external_id(record, external_id)
        if taken is not None and taken != id:
            text = (
                f"This record already exists. A {record.name} with external ID '{external_id}' has internal ID {taken}."
            )
            raise Refusal("USER_ERROR", text, ["externalId"], 400)

    def _name_is_free(self, table: str, row: Mapping[str, Any], extra: str = "", params: Sequence[Any] = ()) -> None:
        name = str(row["entityid"])
        if ":" in name:
            raise Refusal("USER_ERROR", f"The name '{name}' contains a colon, which separates parents from children.",
                          ["entityId"], 400)  # fmt: skip
        taken = self.store.one(
            f"SELECT id FROM {table} WHERE entityid = ? COLLATE NOCASE AND id <> ?{extra}", (name, row["id"], *params)
        )
        if taken is not None:
            label = "customer" if table == "customer" else "project" if table == "job" else table
            text = (
                f"A {label} record with this ID already exists. You must enter a unique {label} ID for each record "
                "you create."
            )
            raise Refusal("USER_ERROR", text, ["entityId"], 400)

    def _auto_number(self, prefix: str) -> str | None:
        if not self.preference("auto_numbers"):
            return None
        return f"{prefix}{self.number('auto.' + prefix, start=1001)}"

    def _new_customer(self, row: dict[str, Any], body: Body) -> None:
        person = row.get("isperson") == "T"
        if person and not (row.get("firstname") and row.get("lastname")):
            raise Refusal(
                "USER_ERROR", "Please enter value(s) for: First Name, Last Name", ["firstName", "lastName"], 400
            )
        if not person and not row.get("companyname"):
            raise Refusal("USER_ERROR", "Please enter value(s) for: Company Name", ["companyName"], 400)
        if not row.get("subsidiary"):
            raise Refusal("USER_ERROR", "Please enter value(s) for: Primary Subsidiary", ["subsidiary"], 400)
        subsidiary = self.row("subsidiary", row["subsidiary"]) or {}
        row.setdefault("currency", None)
        row["currency"] = row["currency"] or subsidiary["currency"]
        name = f"{row.get('firstname')} {row.get('lastname')}" if person else row["companyname"]
        row["altname"] = name
        row["entityid"] = row.get("entityid") or self._auto_number("CUST") or name
        self._name_is_free("customer", row)
        self.write_row(
            "customersubsidiaryrelationship",
            {
                "id": self.number("customersubsidiaryrelationship"),
                "entity": row["id"],
                "subsidiary": row["subsidiary"],
                "isprimarysub": "T",
                "primarycurrency": row["currency"],
                "name": subsidiary.get("name"),
                "lastmodifieddate": self.now(),
            },
        )

    def _changed_customer(self, old: Mapping[str, Any], new: dict[str, Any]) -> None:
        if new["currency"] != old["currency"] or new["subsidiary"] != old["subsidiary"]:
            if self.store.one('SELECT 1 AS yes FROM "transaction" WHERE entity = ?', (old["id"],)):
                which = "currency" if new["currency"] != old["currency"] else "subsidiary"
                text = f"You cannot change the {which} of a customer that has transactions."
                raise Refusal("USER_ERROR", text, [which], 400)
            self.store.write(
                "UPDATE customersubsidiaryrelationship SET subsidiary = ?, primarycurrency = ?, lastmodifieddate = ? "
                "WHERE entity = ? AND isprimarysub = 'T'",
                (new["subsidiary"], new["currency"], self.now(), old["id"]),
            )
        if not new.get("entityid"):
            new["entityid"] = new["companyname"]
        if new["isperson"] != "T":
            new["altname"] = new["companyname"]
        if str(new["entityid"]).lower() != str(old["entityid"]).lower():
            self._name_is_free("customer", new)

    def _new_customersubsidiaryrelationship(self, row: dict[str, Any], body: Body) -> None:
        taken = self.store.one(
            "SELECT id FROM customersubsidiaryrelationship WHERE entity = ? AND subsidiary = ?",
            (row["entity"], row["subsidiary"]),
        )
        if taken is not None:
            raise Refusal("USER_ERROR", "This customer is related to this subsidiary already.", ["subsidiary"], 400)
        customer = self.row("customer", row["entity"])
        if customer is None:
            raise bad("entity", row["entity"])
        row |= {"isprimarysub": "F", "primarycurrency": customer["currency"]}

    def _new_job(self, row: dict[str, Any], body: Body) -> None:
        customer = self.row("customer", row["parent"])
        assert customer is not None
        if customer["isinactive"] == "T":
            text = f"Customer {customer['entityid']} is inactive; a project cannot be added to it."
            raise Refusal("USER_ERROR", text, ["parent"], 400)
        row["customer"] = row["parent"]
        if not row.get("companyname") and not row.get("entityid"):
            raise Refusal("USER_ERROR", "Please enter value(s) for: Project Name", ["companyName"], 400)
        row["entityid"] = row.get("entityid") or self._auto_number("PRJ") or row["companyname"]
        row["companyname"] = row.get("companyname") or row["entityid"]
        row["altname"] = row.get("altname") or row["companyname"]
        row["subsidiary"] = row.get("subsidiary") or customer["subsidiary"]
        self.ledger.subsidiary_fits(customer, row["subsidiary"])
        row["currency"] = row.get("currency") or customer["currency"]
        if row["currency"] != customer["currency"]:
            raise bad("currency", row["currency"])
        self._name_is_free("job", row, " AND parent = ?", (row["parent"],))
        self._dates_in_order(row)

    def _changed_job(self, old: Mapping[str, Any], new: dict[str, Any]) -> None:
        if new["parent"] != old["parent"]:
            if self.store.one("SELECT 1 AS yes FROM transactionline WHERE job = ?", (old["id"],)):
                raise Refusal("USER_ERROR", "You cannot move a project that has transactions.", ["parent"], 400)
            new["customer"] = new["parent"]
        new["entityid"] = new.get("entityid") or new["companyname"]
        self._name_is_free("job", new, " AND parent = ?", (new["parent"],))
        self._dates_in_order(new)

    @staticmethod
    def _dates_in_order(row: Mapping[str, Any]) -> None:
        start, end = row.get("startdate"), row.get("projectedenddate")
        if start and end and end < start:
            raise Refusal("USER_ERROR", "The end date is before the start date.", ["projectedEndDate"], 400)

    def _new_employee(self, row: dict[str, Any], body: Body) -> None:
        row["entityid"] = row.get("entityid") or " ".join(str(row[c]) for c in ("firstname", "lastname") if row.get(c))
        if not row["entityid"]:
            raise Refusal("USER_ERROR", "Please enter value(s) for: Name", ["firstName", "lastName"], 400)
        self._name_is_free("employee", row)
        row["currency"] = row.get("currency") or (self.row("subsidiary", row["subsidiary"]) or {}).get("currency")

    def _new_contact(self, row: dict[str, Any], body: Body) -> None:
        row["entityid"] = row.get("entityid") or " ".join(str(row[c]) for c in ("firstname", "lastname") if row.get(c))
        if not row["entityid"]:
            raise Refusal("USER_ERROR", "Please enter value(s) for: Contact", ["entityId"], 400)

    def _new_item(self, row: dict[str, Any], body: Body) -> None:
        row["fullname"] = row["itemid"]
        row["displayname"] = row.get("displayname") or row["itemid"]
        row["incomeaccount"] = row.get("incomeaccount") or self.ledger.account("revenue")

    def _new_account(self, row: dict[str, Any], body: Body) -> None:
        row["fullname"] = " ".join(str(row[c]) for c in ("acctnumber", "displayname") if row.get(c))

    def _new_subsidiary(self, row: dict[str, Any], body: Body) -> None:
        row["fullname"] = row.get("fullname") or row["name"]
        row["legalname"] = row.get("legalname") or row["name"]

    def _new_timebill(self, row: dict[str, Any], body: Body) -> None:
        if row.get("customer") and not row.get("item"):
            raise Refusal("USER_ERROR", "Please enter value(s) for: Service Item", ["item"], 400)
        employee = self.row("employee", row["employee"]) or {}
        row["subsidiary"] = row.get("subsidiary") or employee.get("subsidiary")
        row["trandate"] = row.get("trandate") or self.today()
        hours, _, minutes = str(row["hours"]).partition(":")
        row["durationdecimal"] = round(int(hours) + int(minutes) / 60, 6)

    def _changed_timebill(self, old: Mapping[str, Any], new: dict[str, Any]) -> None:
        if old["posted"] == "T":
            raise Refusal("USER_ERROR", "Posted time cannot be changed.", (), 400)
        hours, _, minutes = str(new["hours"]).partition(":")
        new["durationdecimal"] = round(int(hours) + int(minutes) / 60, 6)

    def _nothing_depends(self, record: Record, id: int) -> None:
        for table, columns in _DEPENDENTS.get(record.table, {}).items():
            for column in columns:
                if self.store.one(f'SELECT 1 AS yes FROM "{table}" WHERE "{column}" = ?', (id,)):
                    text = f"This record cannot be deleted because it has dependent records ({table})."
                    raise Refusal("USER_ERROR", text, (), 400)

    def _addresses(self, customer: int, change: Change) -> None:
        if change.replace:
            self.store.write("DELETE FROM customeraddressbook WHERE entity = ?", (customer,))
            self.store.write("DELETE FROM customeraddressbookentityaddress WHERE recordowner = ?", (customer,))
        for item in change.items:
            old = None
            if item.get("internalid") is not None:
                old = self.store.one(
                    "SELECT * FROM customeraddressbook WHERE internalid = ? AND entity = ?",
                    (item["internalid"], customer),
                )
                if old is None:
                    raise bad("addressBook.items.id", item["internalid"])
            id = old["internalid"] if old else self.number("customeraddressbook")
            nkey = old["addressbookaddress"] if old else self.number("customeraddressbookentityaddress")
            billing = item.get("defaultbilling") or (old["defaultbilling"] if old else None)
            if billing is None:
                first = not self.store.one("SELECT 1 AS yes FROM customeraddressbook WHERE entity = ?", (customer,))
                billing = "T" if first else "F"
            if billing == "T":
                self.store.write("UPDATE customeraddressbook SET defaultbilling = 'F' WHERE entity = ?", (customer,))
            known = self.store.one("SELECT * FROM customeraddressbookentityaddress WHERE nkey = ?", (nkey,)) or {}
            address = {**known, **(item.get("address") or {}), "nkey": nkey, "recordowner": customer}
            self.write_row("customeraddressbookentityaddress", address)
            self.write_row(
                "customeraddressbook",
                {
                    "internalid": id,
                    "entity": customer,
                    "addressbookaddress": nkey,
                    "defaultbilling": billing,
                    "defaultshipping": item.get("defaultshipping") or (old["defaultshipping"] if old else billing),
                    "label": item.get("label") or (old["label"] if old else address.get("addr1")),
                },
            )
        default = self.store.one(
            "SELECT a.nkey, a.country FROM customeraddressbook b JOIN customeraddressbookentityaddress a "
            "ON a.nkey = b.addressbookaddress WHERE b.entity = ? AND b.defaultbilling = 'T'",
            (customer,),
        ) or {"nkey": None, "country": None}
        self.set_row("customer", customer, {"defaultbillingaddress": default["nkey"], "country": default["country"]})

    # -- rows --------------------------------------------------------------------------------------------------------

    def write_row(self, table: str, row: Mapping[str, Any]) -> None:
        """Insert (or, by primary key, overwrite) one row."""
        columns = list(row)
        marks = ", ".join("?" * len(columns))
        names = ", ".join(f'"{c}"' for c in columns)
        self.store.write(
            f'INSERT OR REPLACE INTO "{table}" ({names}) VALUES ({marks})', [bind(row[c]) for c in columns]
        )

    def set_row(self, table: str, id: int, values: Mapping[str, Any]) -> None:
        """Change columns of one row."""
        if values:
            sets = ", ".join(f'"{c}" = ?' for c in values)
            self.store.write(f'UPDATE "{table}" SET {sets} WHERE id = ?', [*(bind(v) for v in values.values()), id])
            self.forget(table, id)

    # -- buttons -----------------------------------------------------------------------------------------------------

    def _act(self, action: str, id: str, actor: str, params: Mapping[str, Any]) -> Any:
        kind, _, verb = action.partition(".")
        if kind == "period":
            return self.ledger.period(verb, id, actor, **params)
        if kind == "customer" and verb in ("deactivate", "activate"):
            number = self.find(self.record("customer"), id)
            return self.change(self.record("customer"), number, {"isInactive": verb == "deactivate"}, actor)
        names = {"payment": "customerPayment", "creditmemo": "creditMemo", "expensereport": "expenseReport"}
        record = self.record(names.get(kind.lower(), kind))
        return self.ledger.act(record, verb, self.find(record, id), actor, params)


_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "customer": {"isperson": "F", "isinactive": "F", "entitystatus": "13"},
    "job": {"isinactive": "F", "entitystatus": "2", "allowtime": "T", "allowexpenses": "T"},
    "projectTask": {"status": "NOTSTART", "nonbillabletask": "F"},
    "employee": {"isinactive": "F"},
    "contact": {"isinactive": "F"},
    "subsidiary": {"isinactive": "F", "iselimination": "F"},
    "currency": {"isinactive": "F", "currencyprecision": 2, "isbasecurrency": "F"},
    "term": {"isinactive": "F", "daysuntilnetdue": 30},
    "account": {"isinactive": "F"},
    "salesTaxItem": {"isinactive": "F"},
    "serviceSaleItem": {"isinactive": "F"},
    "serviceResaleItem": {"isinactive": "F"},
    "nonInventorySaleItem": {"isinactive": "F"},
    "otherChargeSaleItem": {"isinactive": "F"},
    "charge": {"stage": "HOLD"},
    "timeBill": {
        "isbillable": "F",
        "isproductive": "T",
        "isutilized": "T",
        "isexempt": "F",
        "posted": "F",
        "approvalstatus": "1",
        "timetype": "A",
    },
}
_DEPENDENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "customer": {"transaction": ("entity",), "job": ("parent",), "contact": ("company",), "timebill": ("customer",)},
    "job": {"transactionline": ("job",), "projecttask": ("project",), "timebill": ("customer",)},
    "item": {"transactionline": ("item",), "timebill": ("item",)},
    "employee": {"timebill": ("employee",), "job": ("projectmanager",)},
    "subsidiary": {"customer": ("subsidiary",), "employee": ("subsidiary",)},
    "currency": {"customer": ("currency",), "transaction": ("currency",)},
    "term": {"customer": ("terms",), "transaction": ("terms",)},
    "account": {"transactionaccountingline": ("account",), "item": ("incomeaccount",)},
    "salestaxitem": {"customer": ("taxitem",), "transactionline": ("taxcode",)},
}


def open_service(state_dir: Path) -> NetSuiteService:
    """Open (and, the first time, create the tables of) the ledger in `state_dir`."""
    return NetSuiteService(Store(Path(state_dir) / "netsuite.sqlite"))
