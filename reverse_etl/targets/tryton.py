"""Writing to Tryton: one call is one transaction, for many records at once, and it can be made to happen only once.

Tryton has no external id, no upsert and no idempotency key. What holds for each object, and why:

    party.party       exactly once. Our key is `code`, unique in the database, given at the creation.
    account.invoice   exactly once. Our key is `reference`, which nothing keeps unique, so the create is guarded.
    project.work      exactly once, projects and tasks. Our key is the first line of `comment`; guarded likewise.
    sale.opportunity, timesheet.line
                      only records that exist are changed, by id; setting a field twice does no harm.

The guard. A create carries a nested write of a record that is there already (the company's own party for invoices, a
task named Tieout for projects), and the time stamp which that record had before we looked for our keys. Tryton checks
the stamp inside the transaction of the create and changes it there: of any number of creates that carry the same
stamp, one is carried out. So a call that was lost on the way and is carried out late either happened before our look,
and is found by it, or finds the guard moved, and is undone by the server. `read_back` moves the guard before it
looks: what is not there then can no longer come. Seen on SQLite and on PostgreSQL, where the server repeats the
transaction that lost, with the stamp it came with. Two Tieouts that do not know of each other share the guard as well.

A refused batch says nothing of its rows: the engine halves it. The text of a refusal is translated and never
interpreted; for a row that was refused alone the target looks what is in the way (a period, a party, an account).

Fields may be dotted. `currency.code`, `payment_term.name`, `party.code`: the record so called. `address.<field>`,
`contact.<type>`, `identifier.<type>`: the first address, contact or number of a party, made where there is none.
`notes.tieout` of an opportunity: the one note that is ours, all that Tryton lets anybody add to a won one.
`lines` of an invoice and `tasks` of a project: lists of objects whose members are fields again. A line's `amount` is
not sent (Tryton multiplies and rounds by itself); an invoice with a line that would not come to it is refused. Spans
of time are seconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from platforms.kit.errors import AskPerson, Conflict, PlatformError, Refused, Retry, Uncertain
from platforms.tryton.client import Record, TrytonClient
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
    outcome_of,
    read_back_by_key,
)

PLATFORM = "tryton"
GUARD = "tieout:guard"
"""How the comment of the task begins that guards the creation of projects. Ingestion leaves that task out."""
_GUARD_TEXT = f"{GUARD}\nTieout writes to this task whenever it makes a project, so that none is made twice. Keep it."
# Two writers that use one guard at the same moment make each other's calls fail: look again, this often.
_ATTEMPTS = 5
_ARCHIVED_TOO: Mapping[str, Any] = {"active_test": False}
_CONCURRENT = "ConcurrencyException"
# Refusals that concern a record; any other concerns the connection.
_OF_A_RECORD = ("UserError", "UserWarning", _CONCURRENT)
# Rows below a record that are written as if they were fields of its own: prefix -> the record, their model, its field.
_PARTS: Mapping[str, tuple[str, str, str]] = {
    "address": ("party.party", "party.address", "addresses"),
    "contact": ("party.party", "party.contact_mechanism", "contact_mechanisms"),
    "identifier": ("party.party", "party.identifier", "identifiers"),
    "notes": ("sale.opportunity", "ir.note", "notes"),
}
_VALUE_OF_PART = {"contact": "value", "identifier": "code"}
_UNSPECIFIED = "unspecified"
"""As type of an identifier: none, so that Tryton does not check it."""
_OUR_NOTE = "Tieout"
"""The first line of the one note on a record that is ours; a note cannot be changed, only replaced."""
_LINE_FIELDS = (
    "type", "product", "product.code", "account", "unit", "quantity", "unit_price", "amount", "currency.code",
    "description", "note",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One object. `guard` is the field through which a create writes to its guard; `lists` are fields of lists."""

    model: str
    key_field: str = ""
    guard: str = ""
    batch: int = 100
    lists: Mapping[str, str] = dataclasses.field(default_factory=dict)


SHAPES: Mapping[str, Shape] = {
    "party.party": Shape(model="party.party", key_field="code"),
    "project.work": Shape(
        model="project.work", key_field="comment", guard="children", batch=50, lists={"tasks": "children"}
    ),
    # An invoice brings all its lines along, and a call has a minute.
    "account.invoice": Shape(
        model="account.invoice", key_field="reference", guard="alternative_payees", batch=25, lists={"lines": "lines"}
    ),
    "sale.opportunity": Shape(model="sale.opportunity"),
    "timesheet.line": Shape(model="timesheet.line"),
}


class _RowRefused(Exception):
    """This row cannot be sent: why, in words for a person."""


@dataclass(frozen=True, kw_only=True)
class _Guard:
    """A record whose stamp lets a create happen once."""

    model: str
    id: str
    name: str
    stamp: str


class TrytonTarget:
    """The verbs of one Tryton connection. See `reverse_etl.targets.base.Target`."""

    platform = PLATFORM

    def __init__(self, client: TrytonClient, connection: str) -> None:
        self.client = client
        self.connection = connection
        self._links: dict[tuple[str, str], dict[str, list[str]]] = {}
        self._products: dict[tuple[str, str], Record] = {}
        self._books: Record | None = None
        self._places: dict[str, int] = {}
        self._access: dict[str, dict[str, Any]] = {}

    # -- what can be done -------------------------------------------------------------------------------------------

    def capability(self, object: str) -> Capability:
        """Writes go one after the other: guarded ones undo each other, and a small server has one writer anyway."""
        shape = self._shape(object)
        return Capability(
            object=object,
            key_kind=KeyKind.reference if shape.key_field else KeyKind.target_id,
            promise=Promise.exactly_once if shape.key_field else Promise.in_doubt_resolved_by_read_back,
            max_batch_create=shape.batch,
            max_batch_update=shape.batch,
            max_find=100,
            can_create=bool(shape.key_field),
        )

    def _shape(self, object: str) -> Shape:
        if object not in SHAPES:
            raise Refused(
                f"Tryton's {object} cannot be written; there are {', '.join(SHAPES)}",
                platform=PLATFORM, connection=self.connection, next_step="Correct the object of the sync.",
            )  # fmt: skip
        return SHAPES[object]

    def call_floor(self, object: str, verb: Verb, rows: int) -> int:
        """One call for every batch begun."""
        return -(-rows // self._shape(object).batch)

    def calls(self) -> CallCount:
        counted = self.client.api.calls.snapshot()
        return CallCount(reads=counted["reads"] + counted["polls"], writes=counted["writes"])

    def link(self, object: str, target_id: str) -> str:
        """The record in Tryton's web client, which a server offers at its own address when it is installed there."""
        base = self.client.base_url.rstrip("/")
        return f"{base}/#{self.client.database}/model/{self._shape(object).model}/{target_id}"

    def fields_exist(self, object: str, fields: Sequence[str]) -> Mapping[str, bool]:
        shape = self._shape(object)
        try:
            known = self.client.types(shape.model)
        except Refused:
            return dict.fromkeys(fields, False)
        return {name: self._field_exists(shape, known, name) for name in fields}

    def _field_exists(self, shape: Shape, known: Mapping[str, Mapping[str, Any]], name: str) -> bool:
        head, _, rest = name.partition(".")
        if self._is_part(shape, name):
            model = _PARTS[head][1]
            if head == "notes":
                return rest == _OUR_NOTE.lower() and head in known
            if rest == _UNSPECIFIED:
                return head == "identifier"
            if head != "address":
                selection = self.client.types(model)["type"].get("selection")
                return not isinstance(selection, list) or rest in [str(value) for value, _ in selection]
            return rest.partition(".")[0] in self.client.types(model)
        head = shape.lists.get(head, head)
        return head in known and not known[head].get("readonly")

    # -- looking ----------------------------------------------------------------------------------------------------

    def find(
        self, object: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        """Archived parties and cancelled invoices count as there: they carry the key and could be taken up again."""
        shape = self._shape(object)
        answer: dict[str, list[Found]] = {key: [] for key in keys}
        asked = list(dict.fromkeys(keys))
        if not asked:
            return {}
        plain = [name for name in fields if not self._is_part(shape, name) and name not in shape.lists]
        is_id = key_field in (TARGET_ID, "id")
        wanted = dict.fromkeys([*plain, *([] if is_id else [key_field]), "_timestamp"])
        rows = self.client.search_read(
            shape.model, self._by_key(shape, key_field, asked), list(wanted), order=[["id", "ASC"]],
            context=_ARCHIVED_TOO,
        )  # fmt: skip
        more = self._more(shape, [row["id"] for row in rows], fields)
        for row in rows:
            key = row["id"] if is_id else self._key_of(shape, row.get(key_field))
            if key not in answer:
                continue
            values = {name: _dig(row, name) for name in plain}
            if shape.key_field in values and self._is_text(shape, shape.key_field):
                # The text below the key. By id nobody knows whether there is a key above it: it is not compared.
                text = str(values.pop(shape.key_field) or "")
                if not is_id:
                    values[shape.key_field] = "\n".join(text.split("\n")[1:])
            shown = {name: _told(value) for name, value in {**values, **more.get(row["id"], {})}.items()}
            answer[key].append(
                Found(key=key, target_id=row["id"], version=row.get("_timestamp"), fields=shown)
            )  # fmt: skip
        return {key: tuple(found) for key, found in answer.items()}

    def _is_text(self, shape: Shape, field: str) -> bool:
        return bool(self.client.types(shape.model).get(field, {}).get("type") == "text")

    def _key_of(self, shape: Shape, value: Any) -> str:
        return str(value or "").split("\n")[0].strip()

    def _by_key(self, shape: Shape, key_field: str, keys: Sequence[str]) -> list[Any]:
        if key_field in (TARGET_ID, "id"):
            return [["id", "in", [key for key in keys if key.isdigit()]]]
        if self._is_text(shape, key_field):
            # `_` in a key stands for any character here; what is found too much is left out by its first line.
            return ["OR", *([key_field, "like", f"{key}%"] for key in keys)]
        return [[key_field, "in", list(keys)]]

    @staticmethod
    def _is_part(shape: Shape, name: str) -> bool:
        head, dot, _ = name.partition(".")
        return bool(dot) and head in _PARTS and _PARTS[head][0] == shape.model

    def _more(self, shape: Shape, ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Fields that lie in rows below the record: parts of parties, lines of invoices."""
        out: dict[str, dict[str, Any]] = {id: {} for id in ids}
        if not ids:
            return out
        for head in _PARTS:
            names = [name for name in fields if self._is_part(shape, name) and name.startswith(f"{head}.")]
            if names:
                parts = self._parts(head, ids, names)
                for id in ids:
                    out[id].update({name: self._part_value(head, name, parts.get(id, ())) for name in names})
        if shape.model == "account.invoice" and "lines" in fields:
            rows = self.client.search_read(
                "account.invoice.line", [["invoice", "in", list(ids)]], ["invoice", *_LINE_FIELDS],
                order=[["sequence", "ASC"], ["id", "ASC"]],
            )  # fmt: skip
            for id in ids:
                out[id]["lines"] = [
                    {name: _dig(row, name) for name in _LINE_FIELDS} for row in rows if row["invoice"] == id
                ]
        return out

    def _parts(self, head: str, ids: Sequence[str], names: Iterable[str]) -> dict[str, list[Record]]:
        """The rows of one kind below these records, by record."""
        owner, model, _ = _PARTS[head]
        found: dict[str, list[Record]] = {}
        if head == "notes":
            domain = [["resource", "in", [f"{owner},{id}" for id in ids]], ["message", "like", f"{_OUR_NOTE}%"]]
            for row in self.client.search_read(model, domain, ["resource", "message"], order=[["id", "ASC"]]):
                if str(row["message"]).split("\n")[0] == _OUR_NOTE:
                    found.setdefault(str(row["resource"]).partition(",")[2], []).append(row)
            return found
        is_address = head == "address"
        fields = [name.partition(".")[2] for name in names] if is_address else ["type", _VALUE_OF_PART[head]]
        rows = self.client.search_read(
            model, [["party", "in", list(ids)]], ["party", *fields], order=[["sequence", "ASC"], ["id", "ASC"]]
        )
        for row in rows:
            found.setdefault(row["party"], []).append(row)
        return found

    @staticmethod
    def _part_value(head: str, name: str, parts: Sequence[Record]) -> Any:
        rest = name.partition(".")[2]
        if head == "notes":
            return str(parts[-1]["message"]).partition("\n")[2] if parts else None
        if head == "address":
            return _dig(parts[0], rest) if parts else None
        return next((part[_VALUE_OF_PART[head]] for part in parts if part["type"] == _type_of(rest)), None)

    def keys_of_others(self, object: str, rows: Sequence[WriteRow], *, key_field: str) -> Mapping[str, str]:
        """Of records to be taken over, codes and references that people or sequences gave: they stay as they are."""
        shape = self._shape(object)
        if key_field != shape.key_field or self._is_text(shape, key_field):
            return {}
        by_id = {_target(row): row for row in rows}
        found: dict[str, str] = {}
        for row in self.client.search_read(
            shape.model, self._by_key(shape, TARGET_ID, list(by_id)), [key_field], context=_ARCHIVED_TOO
        ):
            if row[key_field] and row[key_field] != by_id[row["id"]].key:
                found[by_id[row["id"]].entry_id] = str(row[key_field])
        return found

    def read_back(
        self, object: str, rows: Sequence[WriteRow], *, key_field: str, fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        """First the guard is moved: a call still under way is undone by that, so what is not there will not come."""
        shape = self._shape(object)
        if shape.guard:
            self._fence(shape)
        return read_back_by_key(self, object, rows, key_field=key_field, fields=fields)

    # -- the guard --------------------------------------------------------------------------------------------------

    def _guards(self, shape: Shape) -> list[_Guard]:
        """The guard of an object, as it stands now; made when there is none. Should two have been made, both count."""
        if not shape.guard:
            return []
        if shape.model == "account.invoice":
            model, domain = "party.party", [["id", "=", self.client.company.party]]
        else:
            model, domain = shape.model, [["comment", "like", f"{GUARD}%"], ["company", "=", self.client.company.id]]
        for _ in range(2):
            rows = self.client.search_read(model, domain, ["name", "_timestamp"], order=[["id", "ASC"]])
            if rows:
                return [_Guard(model=model, id=r["id"], name=r["name"], stamp=str(r["_timestamp"])) for r in rows]
            if model == shape.model:
                self.client.create(model, [{"type": "task", "name": "Tieout", "comment": _GUARD_TEXT}])
        raise AskPerson(
            "the company's own party is archived, and invoices are guarded by it",
            platform=PLATFORM, connection=self.connection, next_step="Activate the party of the company in Tryton.",
        )  # fmt: skip

    def _fence(self, shape: Shape) -> None:
        """Move the guard: from here on no call that was sent before can be carried out any more."""
        for _ in range(_ATTEMPTS):
            try:
                for guard in self._guards(shape):
                    self.client.write(guard.model, [([guard.id], {"name": guard.name})], context=_stamps([guard]))
                return
            except Uncertain:
                continue
            except Conflict as error:
                if error.code != _CONCURRENT:
                    raise
        raise self._busy()

    def _busy(self) -> Retry:
        return Retry(
            "the record that guards new ones is being changed by others all the time",
            platform=PLATFORM, connection=self.connection, code=_CONCURRENT,
        )  # fmt: skip

    # -- writing ----------------------------------------------------------------------------------------------------

    def write(
        self, object: str, verb: Verb, rows: Sequence[WriteRow], *, key_field: str, batch_id: str
    ) -> Sequence[Receipt]:
        """One create or write for all rows; all of it is done, or nothing. Raises Refused for several refused rows."""
        shape = self._shape(object)
        if verb is Verb.create and key_field != shape.key_field:
            raise Refused(
                f"{object} is recognised by {shape.key_field or 'its id'}, not by {key_field}",
                platform=PLATFORM, connection=self.connection, next_step="Correct the key field of the sync.",
            )  # fmt: skip
        bodies: list[tuple[WriteRow, Record]] = []
        receipts: list[Receipt] = []
        self._look_up(shape, rows)
        for row, body in self._bodies(shape, rows, key_field):
            if isinstance(body, _RowRefused):
                receipts.append(_receipt(row, Outcome.ask_person, code="checked", message=str(body)))
            else:
                bodies.append((row, body))
        if not bodies:
            return receipts
        sent = self._create(shape, bodies, key_field) if verb is Verb.create else self._update(shape, bodies, key_field)
        return [*receipts, *sent]

    def _create(self, shape: Shape, bodies: Sequence[tuple[WriteRow, Record]], key_field: str) -> list[Receipt]:
        for _ in range(_ATTEMPTS):
            guards = self._guards(shape)
            # Only now: what was carried out after the stamp was read makes the create fail.
            there = self._there(shape, key_field, bodies) if guards else set()
            known = [_already(row) for row, _ in bodies if row.key in there]
            fresh = [(row, body) for row, body in bodies if row.key not in there]
            if not fresh:
                return known
            values = [body for _, body in fresh]
            if guards:
                moves = [["write", [guard.id], {"name": guard.name}] for guard in guards]
                values[0] = {**values[0], shape.guard: [*moves, *values[0].get(shape.guard, [])]}
            try:
                ids = self.client.create(shape.model, values, context=_stamps(guards))
            except Conflict as error:
                if error.code != _CONCURRENT:
                    raise
                continue
            except (Refused, AskPerson) as error:
                if guards and error.code in _OF_A_RECORD and self._guards(shape) != guards:
                    continue  # others were at it: numbers drawn at the same moment are refused too
                if not guards and (there := self._there(shape, key_field, bodies)):
                    return [
                        _already(row)
                        if row.key in there
                        else _receipt(row, Outcome.retry, message="rolled back together with others of its batch")
                        for row, _ in bodies
                    ]
                return [*known, *self._refused(shape, [row for row, _ in fresh], error)]
            return [
                *known,
                *(
                    _receipt(row, Outcome.done, target_id=id, created=True)
                    for (row, _), id in zip(fresh, ids, strict=True)
                ),
            ]
        raise self._busy()

    def _there(self, shape: Shape, key_field: str, bodies: Sequence[tuple[WriteRow, Record]]) -> set[str]:
        keys = [row.key for row, _ in bodies]
        return {key for key, found in self.find(shape.model, key_field, keys, ()).items() if found}

    def _update(self, shape: Shape, bodies: Sequence[tuple[WriteRow, Record]], key_field: str) -> list[Receipt]:
        """Rows whose lines or parts are made anew carry their own stamp: the same call a second time does nothing."""
        for _ in range(_ATTEMPTS):
            changes = [([_target(row)], self._completed(shape, row, body)) for row, body in bodies]
            context = {"_timestamp": dict(stamp for _, body in changes for stamp in body.pop("_stamps", ()))}
            changes = [(ids, body) for ids, body in changes if body]
            try:
                self.client.write(shape.model, changes, context=context if context["_timestamp"] else None)
            except Conflict as error:
                if error.code != _CONCURRENT:
                    raise
                continue
            except (Refused, AskPerson) as error:
                return self._refused(shape, [row for row, _ in bodies], error)
            return [_receipt(row, Outcome.done, target_id=row.target_id, created=False) for row, _ in bodies]
        raise self._busy()

    def _refused(self, shape: Shape, rows: Sequence[WriteRow], error: PlatformError) -> list[Receipt]:
        """One row: its receipt, with what a look at Tryton tells of the cause. Several: raised, so that they are
        halved. What concerns the connection or the user's rights is raised as it is."""
        if error.code not in _OF_A_RECORD:
            raise error
        for model, right in self._rights(shape, rows[0].verb):
            if not self._may(model, right):
                raise AskPerson(
                    f"the user may not {right} {model} in Tryton: {error.message}",
                    platform=PLATFORM, connection=self.connection, code=error.code,
                    next_step="Add the integration user to a group that may (Administration > Users).",
                ) from error  # fmt: skip
        if len(rows) > 1:
            raise error if isinstance(error, Refused) else Refused(error.message, code=error.code, fields=error.fields)
        (row,) = rows
        try:
            cause = self._cause(shape, row)
        except Refused as look:
            cause = f"(the cause could not be looked up: {look.message})"
        outcome = Outcome.ask_person if cause else outcome_of(error)
        told = f"{cause} Tryton says: {error.message}" if cause else error.message
        return [_receipt(row, outcome, code=error.code, message=told, fields=error.fields)]

    @staticmethod
    def _rights(shape: Shape, verb: Verb) -> list[tuple[str, str]]:
        """What the user must be allowed to, by model; an invoice is guarded by a party, which is written to."""
        rights = [(shape.model, verb.value.replace("update", "write"))]
        if verb is Verb.create and shape.model == "account.invoice":
            rights.append(("party.party", "write"))
        return rights

    def _may(self, model: str, right: str) -> bool:
        if model not in self._access:
            answer = self.client.call("ir.model.access", "get_access", [model], idempotent=True)
            self._access[model] = dict(answer.get(model, {}))
        return bool(self._access[model].get(right, True))

    # -- what is in the way -----------------------------------------------------------------------------------------

    def _cause(self, shape: Shape, row: WriteRow) -> str:
        """Why Tryton may have refused this row, found by looking at the records concerned; '' when nothing shows."""
        if row.target_id:
            fields = ["rec_name", *({"account.invoice": ["state"], "party.party": ["active"]}.get(shape.model, []))]
            rows = self.client.search_read(shape.model, [["id", "=", row.target_id]], fields, context=_ARCHIVED_TOO)
            if not rows:
                return f"There is no {shape.model} {row.target_id} any more; decide whether it is made anew."
            if rows[0].get("state", "draft") != "draft":
                return (
                    f"Invoice {rows[0]['rec_name']} is {rows[0]['state']} and cannot be changed any more. Finance "
                    "decides: leave it, or credit it and let it be made anew."
                )
            if not rows[0].get("active", True):
                return f"Party {rows[0]['rec_name']} is deactivated. Finance decides: activate it again, or leave it."
        party = str(row.fields.get("party") or "")
        if party.isdigit():
            rows = self.client.search_read("party.party", [["id", "=", party]], ["active"], context=_ARCHIVED_TOO)
            if not rows:
                return f"There is no party {party} in Tryton any more."
        return ""

    # -- bodies -----------------------------------------------------------------------------------------------------

    def _bodies(
        self, shape: Shape, rows: Sequence[WriteRow], key_field: str
    ) -> list[tuple[WriteRow, Record | _RowRefused]]:
        out: list[tuple[WriteRow, Record | _RowRefused]] = []
        prepared: list[tuple[WriteRow, Record]] = []
        for row in rows:
            try:
                prepared.append((row, self._body(shape, row, key_field)))
            except _RowRefused as refusal:
                out.append((row, refusal))
        if shape.model == "account.invoice":
            return [*out, *self._invoices(prepared)]
        if shape.model == "project.work":
            out += self._with_live_parties(prepared)
            return out
        return [*out, *prepared]

    def _body(self, shape: Shape, row: WriteRow, key_field: str) -> Record:
        body: Record = {}
        parts: dict[str, Record] = {}
        for name, value in row.fields.items():
            head, _, rest = name.partition(".")
            if self._is_part(shape, name):
                parts.setdefault(head, {})[rest] = value
            elif name in shape.lists:
                if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
                    raise _RowRefused(f"{name} is no list of objects")
                body[f"@{name}"] = value
            else:
                field, plain = self._field(shape.model, name, value)
                body[field] = plain
        for head, values in parts.items():
            body[f"@{head}"] = {
                rest: value if head != "address" else self._field("party.address", rest, value)
                for rest, value in values.items()
            }
        self._keyed(shape, row, key_field, body)
        return self._made(shape, body) if row.verb is Verb.create else body

    def _keyed(self, shape: Shape, row: WriteRow, key_field: str, body: Record) -> None:
        """Put our key where it lives. A party keeps the code it was born with."""
        if key_field != shape.key_field:
            if shape.key_field in body and self._is_text(shape, shape.key_field):
                raise _RowRefused(f"{shape.key_field} holds our key: only the sync that makes the record may write it")
            return
        if self._is_text(shape, key_field):
            if row.adopt and key_field not in body:
                body["@key"] = row.key
            elif row.verb is Verb.create or key_field in body:
                text = str(body.get(key_field) or "")
                body[key_field] = f"{row.key}\n{text}" if text else row.key
        elif row.verb is Verb.create or (row.adopt and shape.model != "party.party"):
            body[key_field] = row.key

    def _made(self, shape: Shape, body: Record) -> Record:
        """A new record: what belongs below it is made along with it, and what screens would fill in is filled in."""
        out = {name: value for name, value in body.items() if not name.startswith("@")}
        company = self.client.company.id
        if shape.model == "party.party":
            # Without an address there is nowhere to send an invoice to, and Tryton refuses to make one.
            address = {field: value for field, value in body.get("@address", {}).values() if value is not None}
            out["addresses"] = [["create", [address]]]
            for head in _VALUE_OF_PART:
                made = [
                    {"type": _type_of(kind), _VALUE_OF_PART[head]: value}
                    for kind, value in body.get(f"@{head}", {}).items()
                    if value
                ]
                if made:
                    out[_PARTS[head][2]] = [["create", made]]
        if shape.model == "project.work":
            out.setdefault("company", company)
            tasks = [
                {"type": "task", "company": company, **self._item("project.work", task)}
                for task in body.get("@tasks", ())
            ]
            if tasks:
                out["children"] = [["create", tasks]]
        if shape.model == "account.invoice":
            out = {"type": "out", "company": company, **out, "@lines": body.get("@lines", [])}
        return out

    def _completed(self, shape: Shape, row: WriteRow, body: Record) -> Record:
        """An update: parts of a party are changed where they are, lines of an invoice are replaced."""
        out = {name: value for name, value in body.items() if not name.startswith("@")}
        if len(out) == len(body):
            return out
        id = _target(row)
        rows = self.client.search_read(
            shape.model, [["id", "=", id]], ["_timestamp", *([shape.key_field] if shape.key_field else [])],
            context=_ARCHIVED_TOO,
        )  # fmt: skip
        now = rows[0] if rows else {}
        out["_stamps"] = [(f"{shape.model},{id}", str(now.get("_timestamp")))]
        for head, (_, _, name) in _PARTS.items():
            if f"@{head}" in body and (commands := self._part_commands(head, id, body[f"@{head}"])):
                out[name] = commands
        if "@key" in body and self._key_of(shape, now.get(shape.key_field)) != body["@key"]:
            # What people wrote stays below our key.
            out[shape.key_field] = f"{body['@key']}\n{now.get(shape.key_field) or ''}".rstrip("\n")
        if "@lines" in body:
            old = self.client.search("account.invoice.line", [["invoice", "=", id]])
            out["lines"] = [*([["delete", old]] if old else []), ["create", body["@lines"]]]
        if "@tasks" in body:
            del out["_stamps"]  # tasks are made with their project and belong to people afterwards
        return out

    def _part_commands(self, head: str, id: str, values: Mapping[str, Any]) -> list[Any]:
        parts = self._parts(head, [id], [f"{head}.{rest}" for rest in values]).get(id, [])
        if head == "notes":
            (text,) = values.values()
            if self._part_value(head, "", parts) == text and len(parts) == (text is not None):
                return []
            old = [["delete", [part["id"] for part in parts]]] if parts else []
            return old + ([["create", [{"message": f"{_OUR_NOTE}\n{text}"}]]] if text is not None else [])
        if head == "address":
            changed = dict(values.values())
            return [["write", [parts[0]["id"]], changed]] if parts else [["create", [changed]]]
        commands: list[Any] = []
        for kind, value in values.items():
            there = next((part["id"] for part in parts if part["type"] == _type_of(kind)), None)
            if there and value:
                commands.append(["write", [there], {_VALUE_OF_PART[head]: value}])
            elif there:
                commands.append(["delete", [there]])
            elif value:
                commands.append(["create", [{"type": _type_of(kind), _VALUE_OF_PART[head]: value}]])
        return commands

    def _item(self, model: str, item: Mapping[str, Any]) -> Record:
        return dict(self._field(model, name, value) for name, value in item.items())

    def _field(self, model: str, path: str, value: Any) -> tuple[str, Any]:
        """The field that a path names, and its value: a record looked up by name, a span of time from seconds."""
        field, dot, rest = path.partition(".")
        known = self.client.types(model).get(field)
        if known is None:
            raise _RowRefused(f"{model} has no field {field}; is the module that brings it active?")
        if dot and value is not None:
            ids = self._links.get((str(known.get("relation")), rest), {}).get(str(value), [])
            if len(ids) != 1:
                what = f"{known.get('relation')} with {rest} {value}"
                raise _RowRefused(
                    f"there {'is no' if not ids else f'are {len(ids)} of'} {what} in Tryton"
                    f"{'' if ids else '; make it there, or correct the value'}"
                )
            return field, ids[0]
        if known["type"] == "timedelta" and isinstance(value, Decimal | int):
            return field, timedelta(microseconds=int(Decimal(value) * 1_000_000))
        return field, value

    def _look_up(self, shape: Shape, rows: Sequence[WriteRow]) -> None:
        """Ask once for every record that these rows name by something else than its id."""
        wanted: dict[tuple[str, str], set[str]] = {}

        def note(model: str, path: str, value: Any) -> None:
            field, dot, rest = path.partition(".")
            relation = str(self.client.types(model).get(field, {}).get("relation") or "")
            if dot and relation and value is not None:
                known = self._links.setdefault((relation, rest), {})
                if str(value) not in known:
                    wanted.setdefault((relation, rest), set()).add(str(value))

        for row in rows:
            for name, value in row.fields.items():
                if self._is_part(shape, name):
                    if name.startswith("address."):
                        note("party.address", name.partition(".")[2], value)
                elif name in shape.lists and isinstance(value, list):
                    model = "account.invoice.line" if name == "lines" else shape.model
                    for item in value:
                        for path, inner in item.items() if isinstance(item, Mapping) else ():
                            note(model, path, inner)
                else:
                    note(shape.model, name, value)
        for (relation, path), values in wanted.items():
            domain: list[Any] = [[path, "in", sorted(values)]]
            if "company" in self.client.types(relation):
                domain.append(["company", "in", [self.client.company.id, None]])
            found = self._links[relation, path]
            for record in self.client.search_read(relation, domain, [path], order=[["id", "ASC"]]):
                found.setdefault(str(_dig(record, path)), []).append(record["id"])

    # -- invoices ---------------------------------------------------------------------------------------------------

    def _with_live_parties(
        self, prepared: Sequence[tuple[WriteRow, Record]]
    ) -> list[tuple[WriteRow, Record | _RowRefused]]:
        """A deactivated party gets no project: Tryton would make one."""
        ids = sorted({str(body["party"]) for row, body in prepared if row.verb is Verb.create and body.get("party")})
        parties = self._parties(ids, [])
        return [
            (row, body if not body.get("party") or row.verb is Verb.update else self._live(parties, body) or body)
            for row, body in prepared
        ]

    def _parties(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        if not ids:
            return {}
        rows = self.client.search_read(
            "party.party", [["id", "in", list(ids)]], ["name", "active", *fields], context=_ARCHIVED_TOO
        )
        return {row["id"]: row for row in rows}

    @staticmethod
    def _live(parties: Mapping[str, Record], body: Record) -> _RowRefused | None:
        party = parties.get(str(body["party"]))
        if party is None:
            return _RowRefused(f"There is no party {body['party']} in Tryton any more; decide who takes its place.")
        if not party["active"]:
            return _RowRefused(
                f"Party {party['name']} is deactivated. Finance decides: activate it again, or leave this undone."
            )
        return None

    def _invoices(self, prepared: Sequence[tuple[WriteRow, Record]]) -> list[tuple[WriteRow, Record | _RowRefused]]:
        """Invoices with what the screens of Tryton would have filled in, or why one cannot be made.

        Tryton takes a draft for a closed period or a deactivated customer, and refuses to post it. The draft is not
        made in the first place, so that finance decides before there is one.
        """
        creates = [body for row, body in prepared if row.verb is Verb.create]
        ids = sorted({str(body["party"]) for body in creates if body.get("party")})
        parties = self._parties(
            ids, ["account_receivable", "customer_payment_term", "customer_tax_rule", "tax_identifier"]
        )
        addresses = self._addresses(ids)
        periods = self._periods([body["invoice_date"] for body in creates if body.get("invoice_date")])
        out: list[tuple[WriteRow, Record | _RowRefused]] = []
        for row, body in prepared:
            try:
                if row.verb is Verb.create:
                    _check_period(body.get("invoice_date"), periods)
                    if refusal := self._live(parties, body) if body.get("party") else _RowRefused("it has no party"):
                        raise refusal
                    body = self._invoice(body, parties[str(body["party"])], addresses)
                elif "@lines" in body:
                    body = {**body, "@lines": self._lines(body["@lines"], None, self._digits(body.get("currency")))}
                out.append((row, body))
            except _RowRefused as refusal:
                out.append((row, refusal))
        return out

    def _invoice(self, body: Record, party: Record, addresses: Mapping[str, str]) -> Record:
        books = self._defaults()
        filled: Record = {
            "journal": books["journal"],
            "account": party["account_receivable"] or books["default_account_receivable"],
            "invoice_address": addresses.get(party["id"]),
            "payment_term": party["customer_payment_term"],
            "party_tax_identifier": party["tax_identifier"],
        }
        filled.update({name: value for name, value in body.items() if not name.startswith("@")})
        if not filled["account"]:
            raise _RowRefused(
                f"There is no receivable account for {party['name']}: neither the party nor the company has one. "
                "Finance decides: set it on the party, or as the company's default."
            )
        if not filled["journal"]:
            raise _RowRefused("There is no journal of type Revenue in Tryton. Finance sets it up.")
        if not filled["invoice_address"]:
            raise _RowRefused(f"Party {party['name']} has no address to send an invoice to. Finance adds one.")
        filled["lines"] = [["create", self._lines(body["@lines"], party, self._digits(filled.get("currency")))]]
        return filled

    def _digits(self, currency: Any) -> int:
        """Decimal places of a currency (its id); of the company's own when none is named."""
        if not self._places:
            rows = self.client.search_read("currency.currency", [], ["code", "digits"], context=_ARCHIVED_TOO)
            self._places.update((key, int(row["digits"])) for row in rows for key in (row["id"], row["code"]))
        return self._places.get(str(currency or self.client.company.currency), 2)

    def _lines(self, lines: Sequence[Mapping[str, Any]], party: Record | None, digits: int) -> list[Record]:
        out = []
        for line in lines:
            item = self._item("account.invoice.line", line)
            _check_amount(item, item.pop("amount", None), digits)
            out.append(self._line(item, party))
        return out

    def _line(self, line: Record, party: Record | None) -> Record:
        """A line with the unit, account and taxes of its product."""
        filled: Record = {"type": "line"}
        if line.get("product"):
            product = self._product(str(line["product"]), party)
            filled.update(unit=product["unit"], account=product["account"])
            if product["taxes"]:
                filled["taxes"] = [["add", product["taxes"]]]
        filled.update(line)
        if isinstance(line.get("taxes"), list) and all(isinstance(tax, str | int) for tax in line["taxes"]):
            filled["taxes"] = [["add", line["taxes"]]]
        if filled["type"] == "line" and not filled.get("account"):
            raise _RowRefused(
                f"There is no revenue account for {line.get('description') or 'a line without product'}: neither its "
                "product's category nor the company has one. Finance decides which account it is booked on."
            )
        return filled

    def _product(self, id: str, party: Record | None) -> Record:
        """Unit, revenue account and taxes of a product; for a customer with a tax rule as Tryton's own form says."""
        rule = str((party or {}).get("customer_tax_rule") or "")
        if (id, rule) not in self._products:
            plain = self._products.get((id, "")) or self._plain_product(id)
            self._products[id, ""] = plain
            if rule and party is not None:
                asked = {
                    "product": int(id), "party": int(party["id"]), "invoice_type": "out", "type": "line",
                    "company": int(self.client.company.id),
                }  # fmt: skip
                shown = self.client.call("account.invoice.line", "on_change_product", asked, idempotent=True)
                plain = {**plain, "taxes": _listed(shown.get("taxes"))}
                self._products[id, rule] = plain
        return self._products[id, rule]

    def _plain_product(self, id: str) -> Record:
        rows = self.client.search_read(
            "product.product", [["id", "=", id]], ["default_uom", "account_category"], context=_ARCHIVED_TOO
        )
        if not rows:
            raise _RowRefused(f"there is no product {id} in Tryton")
        out: Record = {"unit": rows[0]["default_uom"], "account": None, "taxes": []}
        category = at = rows[0]["account_category"]
        names = ["parent", "account_parent", "account_revenue", "customer_taxes_used"]
        while at:
            [found] = self.client.read("product.category", [at], names)
            if at == category:
                out["taxes"] = found["customer_taxes_used"]
            out["account"] = found["account_revenue"]
            at = found["parent"] if found["account_parent"] else None
        out["account"] = out["account"] or self._defaults()["default_category_account_revenue"]
        return out

    def _defaults(self) -> Record:
        """The company's journal for sales and its accounts for those who have none of their own; asked once."""
        if self._books is None:
            names = ["default_account_receivable", "default_category_account_revenue"]
            rows = self.client.read("account.configuration", ["1"], names)
            journals = self.client.search("account.journal", [["type", "=", "revenue"]], order=[["id", "ASC"]])
            self._books = {**rows[0], "journal": journals[0] if journals else None}
        return self._books

    def _addresses(self, parties: Sequence[str]) -> dict[str, str]:
        """By party: its address for invoices, or else its first."""
        found: dict[str, str] = {}
        if parties:
            rows = self.client.search_read(
                "party.address", [["party", "in", list(parties)]], ["party", "invoice"],
                order=[["sequence", "ASC"], ["id", "ASC"]],
            )  # fmt: skip
            for row in sorted(rows, key=lambda row: not row["invoice"]):
                found.setdefault(row["party"], row["id"])
        return found

    def _periods(self, days: Sequence[Any]) -> list[Record]:
        if not days:
            return []
        return self.client.search_read(
            "account.period",
            [
                ["company", "=", self.client.company.id],
                ["type", "=", "standard"],
                ["start_date", "<=", max(days)],
                ["end_date", ">=", min(days)],
            ],
            ["name", "state", "start_date", "end_date"],
        )


def _type_of(kind: str) -> str | None:
    return None if kind == _UNSPECIFIED else kind


def _check_period(day: Any, periods: Sequence[Record]) -> None:
    if day is None:
        return
    covering = [period for period in periods if period["start_date"] <= day <= period["end_date"]]
    if not covering:
        raise _RowRefused(
            f"No period of Tryton covers {day}. Finance decides: make the fiscal year, or date it otherwise."
        )
    if all(period["state"] != "open" for period in covering):
        period = covering[0]
        raise _RowRefused(
            f"Period {period['name']} is {period['state']}. Finance decides: reopen period {period['name']}, or date "
            "the invoice into an open one."
        )


def _check_amount(line: Record, amount: Any, digits: int) -> None:
    """Tryton multiplies and rounds by itself, half to even: a line must come to the amount that is due."""
    if amount is None:
        return
    made = Decimal(line.get("quantity") or 0) * Decimal(line.get("unit_price") or 0)
    made = made.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    if made != amount:
        raise _RowRefused(
            f"A line of {line['quantity']} at {line['unit_price']} comes to {made} in Tryton, but {amount} are due: "
            f"{line.get('description') or line.get('note') or ''}".rstrip(": ")
        )


def _stamps(guards: Sequence[_Guard]) -> dict[str, Any] | None:
    return {"_timestamp": {f"{guard.model},{guard.id}": guard.stamp for guard in guards}} if guards else None


def _already(row: WriteRow) -> Receipt:
    return _receipt(row, Outcome.conflict, code="exists", message=f"a record with {row.key} is there already")


def _receipt(row: WriteRow, outcome: Outcome, **told: Any) -> Receipt:
    return Receipt(entry_id=row.entry_id, outcome=outcome, **told)


def _target(row: WriteRow) -> str:
    if not row.target_id:
        raise ValueError(f"entry {row.entry_id} updates no record: it has no target_id")
    return row.target_id


def _dig(row: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of a record as Tryton nests it: the parts of the way end in a dot."""
    *way, leaf = path.split(".")
    at: Any = row
    for name in way:
        at = at.get(f"{name}.") if isinstance(at, Mapping) else None
    return at.get(leaf) if isinstance(at, Mapping) else None


def _told(value: Any) -> Value:
    """A value as the engine compares it."""
    if isinstance(value, timedelta):
        return Decimal(value // timedelta(microseconds=1)).scaleb(-6)
    shown: Value = value
    return shown


def _listed(value: Any) -> list[str]:
    """Ids of a link to many, as an on-change answers: a list, or what is added."""
    if isinstance(value, Mapping):
        return [str(added["id"]) for _, added in value.get("add", ())]
    return [str(id) for id in value or ()]


def build(client: TrytonClient, connection: str) -> TrytonTarget:
    """The target of one connection."""
    return TrytonTarget(client, connection)
