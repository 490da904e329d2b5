"""The rules of the Kantata sandbox, without HTTP.

`Service` is what the HTTP face (`app.py`), the simulated firm and the tests use: insert, insert_many, update, delete,
act (buttons such as approving a timesheet) and rows. Rules of single objects stand in `rules/`; this file keeps what
is common to all: reading values, references to other records, nested bodies, timestamps, events.

Names are the vendor's (`time_entries`, `rate_in_cents`); a singular object name means the same. Ids go in as str or
int and come out as str. Moments come from the sandbox clock, never from the wall.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from platforms.kantata.sandbox import schema
from platforms.kantata.sandbox.refusals import Problem, ValidationFailed, gone
from platforms.kantata.sandbox.rules import ACTIONS, BULK_INSERTS, RULES, ObjectRules
from platforms.kantata.sandbox.schema import (
    BY_SUBJECT,
    SINGULARS,
    TABLES,
    BadValue,
    Kind,
    Table,
    from_stored,
    to_stored,
)
from platforms.kantata.sandbox.setup import set_up
from platforms.kit.sandbox.clock import SandboxClock
from platforms.kit.sandbox.service import chunked
from platforms.kit.sandbox.store import Store

Values = Mapping[str, Any]

# Events are kept for about nine days (vendor page "Subscribed Events").
EVENT_DAYS = 9
_EVENT_MS = EVENT_DAYS * 24 * 3600 * 1000

# Which table an `*_id` column points at, where its name does not say it.
_PARENTS = {
    "primary_maven_id": "users",
    "primary_counterpart_id": "users",
    "creator_id": "users",
    "approver_id": "users",
    "manager_id": "users",
    "assignee_id": "users",
    "recipient_id": "users",
    "setter_id": "users",
    "current_resolution_creator_id": "users",
    "primary_workspace_group_id": "workspace_groups",
    "default_role_id": "roles",
    "parent_id": "stories",
    "resource_id": "workspace_resources",
    "favorite_scenario_id": "estimate_scenarios",
    "subject_id": "",
    "receipt_id": "",
    "expense_budget_id": "",
    "project_tracker_template_id": "",
    "root_id": "",
    "active_submission_id": "",
    "recent_submission_id": "",
}

_CHUNK = 20_000


def _parent_table(column: str) -> str:
    if column in _PARENTS:
        return _PARENTS[column]
    return SINGULARS.get(column.removesuffix("_id"), "")


class Service:
    """The vendor's rules over one store file. Create it with `open_service(state_dir)`."""

    def __init__(self, store: Store, clock: SandboxClock) -> None:
        self.store = store
        self.clock = clock
        if not store.read("SELECT 1 FROM sqlite_master WHERE name = 'subscribed_events'"):
            with store.transaction():
                for statement in schema.ddl():
                    store.write(statement)

    def setup(self, seed: int) -> None:
        """Make a fresh account: integration user, token, custom fields (see `setup.py`)."""
        set_up(self, seed)

    # ---- looking ----------------------------------------------------------------------------------------------

    @property
    def account_id(self) -> int:
        """The account every record belongs to."""
        return int(self.store.meta.get("account_id", 7010001))

    @property
    def account_currency(self) -> str:
        """The currency of people's default rates."""
        return str(self.store.meta.get("account_currency", "USD"))

    def option(self, name: str, default: str) -> str:
        """A behaviour the public sources leave open and that a test may turn (README, "Left open")."""
        return str(self.store.meta.get(f"option:{name}", default))

    def set_option(self, name: str, value: str) -> None:
        """Turn one of the open behaviours, e.g. `updated_after_bound` = `exclusive`."""
        self.store.meta[f"option:{name}"] = value

    def now_ms(self) -> int:
        return self.clock.milliseconds()

    def today(self) -> str:
        """The sandbox's calendar day, YYYY-MM-DD (UTC)."""
        return self.clock.today().isoformat()

    def rows(self, object: str, where_sql: str = "", params: Sequence[Any] = ()) -> Iterator[dict[str, Any]]:
        """Stored records as Python values (ids str, moments aware UTC, flags bool), in id order, streamed.

        `where_sql` is SQL over the stored columns, where ids are integers, flags 0/1 and moments milliseconds.
        """
        table = self.table(object)
        kinds = [(name, column.kind) for name, column in table.columns.items()]
        last = 0
        where = f"({where_sql}) AND " if where_sql else ""
        while True:
            page = self.store.read(
                f"SELECT * FROM {table.name} WHERE {where}id > ? ORDER BY id LIMIT {_CHUNK}", (*params, last)
            )
            for row in page:
                shown: dict[str, Any] = {"id": str(row["id"])}
                for name, kind in kinds:
                    shown[name] = from_stored(kind, row[name])
                yield shown
            if len(page) < _CHUNK:
                return
            last = page[-1]["id"]

    def get(self, object: str, id: str | int) -> dict[str, Any]:
        """One stored record as Python values; `Refusal` 404 when it is not there."""
        for row in self.rows(object, "id = ?", (int(id),)):
            return row
        raise gone(self.table(object).name)

    def table(self, object: str) -> Table:
        """The table of an object named in plural, singular, or by its subject class."""
        name = object if object in TABLES else SINGULARS.get(object) or BY_SUBJECT.get(object)
        if name is None:
            raise KeyError(f"Kantata has no object {object!r}")
        return TABLES[name]

    def raw(self, table: str, id: Any) -> dict[str, Any] | None:
        """One row in stored form (None when absent). For rules."""
        if id is None:
            return None
        found = self.store.read(f"SELECT * FROM {table} WHERE id = ?", (int(id),))
        return found[0] if found else None

    def need(self, table: str, id: Any) -> dict[str, Any]:
        """One row in stored form; 404 when absent."""
        row = self.raw(table, id)
        if row is None:
            raise gone(table)
        return row

    # ---- writing ----------------------------------------------------------------------------------------------

    def insert(self, object: str, values: Values, *, actor: str | None = None) -> str:
        """Create one record with everything nested in it; its id. Raises `Refusal`."""
        table = self.table(object)
        with self.store.transaction():
            return str(self._insert(table, values, self._actor(actor)))

    def insert_many(self, object: str, rows: Iterable[Values], *, actor: str | None = None) -> list[str]:
        """Create many records, streamed; ids in the order given. The first refusal stops it, committed chunks stay.

        `time_entries` and `expenses` have a fast path with the same rules; other objects go one by one.
        """
        table = self.table(object)
        fast = BULK_INSERTS.get(table.name)
        me = self._actor(actor)
        ids: list[str] = []
        for chunk in chunked(rows, _CHUNK):
            with self.store.transaction():
                if fast is not None:
                    ids.extend(map(str, fast(self, chunk, me)))
                else:
                    ids.extend(str(self._insert(table, row, me)) for row in chunk)
        return ids

    def update(self, object: str, id: str | int, values: Values, *, actor: str | None = None) -> None:
        """Change one record. Raises `Refusal` (404 when it is not there)."""
        table = self.table(object)
        me = self._actor(actor)
        with self.store.transaction():
            old = self.need(table.name, id)
            changes, nested = self.read_values(table, values, create=False)
            rules = RULES.get(table.name, _PLAIN)
            rules.before_update(self, old, changes, nested, me)
            new = {**old, **changes}
            self.check_required(table, new, old)
            self.check_parents(table, changes)
            changed = {name: value for name, value in changes.items() if old[name] != value}
            # A reference or a custom field value is a record of its own and does not touch the one it hangs on.
            if changed or set(nested) - schema.COMMON_NESTED:
                self.set_columns(table.name, old["id"], changed)
            rules.after_update(self, old, new, nested, me)
            self._nested_common(table, old["id"], nested, me)
            if changed and table.event:
                self.event(table, "updated", old["id"], me, {k: {"from": old[k], "to": v} for k, v in changed.items()})

    def delete(self, object: str, id: str | int, *, actor: str | None = None) -> None:
        """Delete one record the way the platform does: most vanish, stories and roles keep a deleted_at."""
        table = self.table(object)
        me = self._actor(actor)
        with self.store.transaction():
            old = self.need(table.name, id)
            rules = RULES.get(table.name, _PLAIN)
            if rules.before_delete(self, old, me):
                self.set_columns(table.name, old["id"], {"deleted_at": self.now_ms()})
            else:
                self.store.write(f"DELETE FROM {table.name} WHERE id = ?", (old["id"],))
                self.store.write(
                    "DELETE FROM external_references WHERE subject_type = ? AND subject_id = ?",
                    (table.subject, old["id"]),
                )
            if table.event:
                self.event(table, "deleted", old["id"], me)

    def act(self, action: str, id: Any = None, *, actor: str | None = None, **params: Any) -> Any:
        """Press a button of `rules.ACTIONS` (README lists them). `id` may be a list for approvals and the like."""
        try:
            handler = ACTIONS[action]
        except KeyError:
            raise KeyError(f"Kantata has no action {action!r}; there are {', '.join(sorted(ACTIONS))}") from None
        with self.store.transaction():
            return handler(self, id, self._actor(actor), **params)

    # ---- for rules --------------------------------------------------------------------------------------------

    def _actor(self, actor: str | int | None) -> int:
        if actor is not None:
            return int(actor)
        return int(self.store.meta.get("integration_user_id", 0))

    def read_values(self, table: Table, values: Values, *, create: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """Split given values into stored columns and nested bodies. Unknown names are a mistake of the caller.

        The HTTP face has dropped what the vendor ignores before it comes here.
        """
        columns: dict[str, Any] = {}
        nested: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, value in values.items():
            column = table.columns.get(name)
            if name in table.nested:
                nested[name] = value
            elif column is not None and (column.create if create else column.update):
                try:
                    columns[name] = to_stored(column.kind, value)
                except BadValue as bad:
                    problems.append(Problem(field=name, message=f"{_human(name)} {bad}"))
            elif column is None or create:
                raise KeyError(f"{table.name} has no writable field {name!r}")
        if problems:
            raise ValidationFailed(problems)
        return columns, nested

    def _insert(self, table: Table, values: Values, actor: int) -> int:
        columns, nested = self.read_values(table, values, create=True)
        row = {name: column.default for name, column in table.columns.items()}
        row.update(columns)
        rules = RULES.get(table.name, _PLAIN)
        rules.before_create(self, row, nested, actor)
        self.check_required(table, row)
        self.check_parents(table, row)
        if table.timestamps:
            row["created_at"] = row["updated_at"] = self.now_ms()
        id = self.insert_row(table.name, row)
        rules.after_create(self, {"id": id, **row}, nested, actor)
        self._nested_common(table, id, nested, actor)
        if table.event:
            self.event(table, "created", id, actor)
        return id

    def insert_row(self, table: str, row: Mapping[str, Any]) -> int:
        """Write one row as it is; its new id."""
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        cursor = self.store.write(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
        return int(cursor.lastrowid or 0)

    def set_columns(self, table: str, id: int, changes: Mapping[str, Any], *, touch: bool = True) -> None:
        """Set stored columns of one row; `touch` also moves updated_at."""
        sets = dict(changes)
        if touch and TABLES[table].timestamps:
            sets["updated_at"] = self.now_ms()
        if sets:
            assignments = ", ".join(f'"{name}" = ?' for name in sets)
            self.store.write(f"UPDATE {table} SET {assignments} WHERE id = ?", (*sets.values(), id))

    def check_required(self, table: Table, row: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> None:
        problems = [
            Problem(field=name, message=f"{_human(name)} can't be blank")
            for name in table.required
            if row.get(name) in (None, "") and (old is None or old[name] != row.get(name))
        ]
        if problems:
            raise ValidationFailed(problems)

    def check_parents(self, table: Table, row: Mapping[str, Any]) -> None:
        problems = []
        for name, value in row.items():
            if value is None or table.columns[name].kind is not Kind.ID:
                continue
            parent = _parent_table(name)
            if parent and self.raw(parent, value) is None:
                problems.append(Problem(field=name, message=f"{_human(name)} does not exist"))
        if problems:
            raise ValidationFailed(problems)

    def _nested_common(self, table: Table, id: int, nested: Mapping[str, Any], actor: int) -> None:
        reference = nested.get("external_reference")
        if reference:
            self.put_reference({**reference, "subject_type": table.subject, "subject_id": id}, actor)
        for given in nested.get("custom_fields") or ():
            self._insert(
                TABLES["custom_field_values"],
                {
                    "subject_type": table.subject,
                    "subject_id": id,
                    "custom_field_id": given.get("custom_field_id"),
                    "value": given.get("value"),
                },
                actor,
            )

    def put_reference(self, values: Values, actor: int) -> int:
        """`external_references/create_or_update`: one reference per subject and service_name."""
        table = TABLES["external_references"]
        columns, _ = self.read_values(table, values, create=True)
        self.check_required(table, columns)
        found = self.store.read(
            "SELECT * FROM external_references WHERE subject_type = ? AND subject_id = ? AND service_name = ?",
            (columns["subject_type"], columns["subject_id"], columns["service_name"]),
        )
        if not found:
            return self._insert(table, values, actor)
        changes = {name: value for name, value in columns.items() if table.columns[name].update}
        changes.setdefault("last_synced_at", self.now_ms())
        self.set_columns("external_references", found[0]["id"], changes)
        return int(found[0]["id"])

    def event(self, table: Table, what: str, id: int, actor: int, changes: Mapping[str, Any] | None = None) -> None:
        """Record a subscribed event and forget those older than nine days."""
        now = self.now_ms()
        self.store.write(
            "INSERT INTO subscribed_events (event_type, account_id, user_id, subject_type, subject_id,"
            " subject_changed_at, created_at, payload_changes) VALUES (?,?,?,?,?,?,?,?)",
            (
                f"{table.event}:{what}",
                self.account_id,
                actor or None,
                table.subject,
                id,
                now,
                now,
                json.dumps(changes) if changes else None,
            ),
        )
        self.forget_old_events(now)

    def forget_old_events(self, now: int) -> None:
        """Drop events older than nine days, at most once a sandbox hour (a bulk load would pay for it on every row)."""
        if now - int(self.store.meta.get("events_swept_at", 0)) >= 3600_000:
            self.store.write("DELETE FROM subscribed_events WHERE created_at < ?", (now - _EVENT_MS,))
            self.store.meta["events_swept_at"] = now


_PLAIN = ObjectRules()


def _human(name: str) -> str:
    return name.removesuffix("_id").replace("_", " ").capitalize()


def open_service(state_dir: Path) -> Service:
    """The service over `<state_dir>/kantata.sqlite`, made when absent (empty until `setup`)."""
    store = Store(state_dir / "kantata.sqlite")
    return Service(store, SandboxClock(store))
