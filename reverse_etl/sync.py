"""What one sync is: the settings an analyst writes beside a `sync_<platform>__<object>` model, typed and checked.

In: the dbt manifest (`target/manifest.json`); nothing of dbt is imported. Out: `SyncSettings`, in an order in which
every sync comes after those it depends on or refers to. A mistake in the yml is told with file, model and key, all
mistakes of all models at once, before anything is read or written.

    .venv/bin/python -m reverse_etl.sync dbt_project/target/manifest.json     prints the order and the settings
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

RESERVED = ("_connection", "_target_id", "_hold_reason", "_source_refs")
"""Columns of a sync model that are not data; `_connection` is the only one that must be there."""


class SyncConfigError(Exception):
    """The settings of one or more syncs cannot be used; the message names file, model and key of each mistake."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(mistakes))


class Mode(StrEnum):
    """Which writes a sync may make."""

    upsert = "upsert"
    """Creates what is missing, updates what differs."""
    create = "create"
    """Creates what is missing, once; never touches it again."""
    update = "update"
    """Updates records that exist already; the key is the platform's own id."""


class Approval(StrEnum):
    """Whether a person has to agree before anything is sent."""

    none = "none"
    """Within the brakes, everything is sent."""
    always = "always"
    """Every change is held until a person approves it."""


class Criticality(StrEnum):
    """How loudly trouble with this sync is told."""

    normal = "normal"
    """A refused record is an exception for its owner."""
    high = "high"
    """Money or customers: a refused record also fails the sync's blocking check."""


@dataclass(frozen=True, kw_only=True)
class Brakes:
    """How much one plan may change before a person is asked. None = no such brake. Deletes are never planned at all."""

    max_changes: int | None = None
    """Most creates and updates together."""
    max_creates: int | None = None
    """Most creates."""
    max_change_ratio: Decimal | None = None
    """Most updates as a share of the records we know, 0..1. Not asked while fewer than `min_known` are known."""
    max_amount: Decimal | None = None
    """Largest sum of absolute amounts in any one currency, in that currency's units."""
    min_known: int = 20
    """Below this many known records a ratio says nothing: 2 of 3 is not an accident."""


@dataclass(frozen=True, kw_only=True)
class SyncSettings:
    """One sync. Column names are the model's, field names the platform's."""

    name: str
    platform: str
    object: str
    key_column: str
    key_field: str
    mode: Mode
    fields: Mapping[str, str]
    """Owned fields: column -> platform field, in yml order. Nothing else is ever written or compared."""
    database: str
    schema: str
    table: str
    file: str
    """The yml it was read from, for messages."""
    create_only: frozenset[str] = frozenset()
    """Columns sent when the record is made and never compared afterwards."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Column -> sync whose key it holds; replaced by that record's target id when sent."""
    optional_references: frozenset[str] = frozenset()
    """Referring columns that are left out, not waited for, while what they refer to is unknown."""
    json: frozenset[str] = frozenset()
    """Columns holding JSON text that is sent parsed (lists of lines, of ids)."""
    amount_column: str | None = None
    currency_column: str | None = None
    criticality: Criticality = Criticality.normal
    approval: Approval = Approval.none
    brakes: Brakes = Brakes()
    depends_on: tuple[str, ...] = ()
    owner: str = ""
    field_group: str = ""
    """Whose business the written fields are (O-1): a stack's `owners` name the role with the last word on the group."""
    link: str = ""
    """Address of a record with `{id}` in it; '' = ask the target."""
    description: str = ""

    @property
    def prerequisites(self) -> tuple[str, ...]:
        """Syncs that are applied before this one: declared ones, then those referred to; itself left out."""
        return tuple(n for n in dict.fromkeys([*self.depends_on, *self.references.values()]) if n != self.name)

    def field_references(self) -> dict[str, str]:
        """Platform field -> sync referred to."""
        return {self.fields[column]: sync for column, sync in self.references.items()}


_KNOWN_KEYS = {
    "platform",
    "object",
    "connection",
    "key",
    "mode",
    "fields",
    "create_only",
    "references",
    "optional_references",
    "json",
    "amount",
    "criticality",
    "approval",
    "brakes",
    "depends_on",
    "owner",
    "link",
    "field_group",
}
_NAME = re.compile(r"sync_[a-z0-9]+__[a-z0-9_]+")


class _Reader:
    """Reads one model's `config.meta.sync`, collecting mistakes instead of stopping at the first."""

    def __init__(self, where: str, raw: Mapping[str, Any]) -> None:
        self.where = where
        self.raw = raw
        self.mistakes: list[str] = []

    def wrong(self, key: str, what: str) -> None:
        self.mistakes.append(f"{self.where}: config.meta.sync.{key}: {what}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.raw.get(key, default)
        if not isinstance(value, str) or (default is None and not value):
            self.wrong(key, f"a text is needed, not {value!r}" if key in self.raw else "is missing")
            return ""
        return value

    def choice(self, key: str, kind: type[StrEnum], default: StrEnum) -> Any:
        value = self.raw.get(key, default.value)
        try:
            return kind(value)
        except ValueError:
            self.wrong(key, f"{value!r} is none of {', '.join(m.value for m in kind)}")
            return default

    def names(self, key: str) -> tuple[str, ...]:
        value = self.raw.get(key) or []
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self.wrong(key, f"a list of names is needed, not {value!r}")
            return ()
        return tuple(value)

    def mapping(self, key: str) -> dict[str, str]:
        value = self.raw.get(key) or {}
        if not isinstance(value, dict) or not all(isinstance(v, str) and v for v in value.values()):
            self.wrong(key, f"a mapping of name to name is needed, not {value!r}")
            return {}
        return dict(value)

    def columns(self, key: str, among: Iterable[str]) -> frozenset[str]:
        chosen = self.names(key)
        for name in chosen:
            if name not in among:
                self.wrong(key, f"column {name!r} is not one of the fields")
        return frozenset(chosen)

    def brakes(self) -> Brakes:
        raw = self.raw.get("brakes") or {}
        if not isinstance(raw, dict):
            self.wrong("brakes", f"a mapping is needed, not {raw!r}")
            return Brakes()
        values: dict[str, Any] = {}
        for name, value in raw.items():
            whole = name in ("max_changes", "max_creates", "min_known")
            if not whole and name not in ("max_change_ratio", "max_amount"):
                self.wrong(f"brakes.{name}", "there is no such brake")
                continue
            if value is None:
                continue
            try:
                number = Decimal(str(value))
            except InvalidOperation:
                self.wrong(f"brakes.{name}", f"a number is needed, not {value!r}")
                continue
            if isinstance(value, bool) or number < 0 or (whole and number != int(number)):
                self.wrong(f"brakes.{name}", f"{value!r} is not a {'whole ' if whole else ''}number of 0 or more")
                continue
            if name == "max_change_ratio" and number > 1:
                self.wrong(f"brakes.{name}", f"{value!r} is a share and lies between 0 and 1")
                continue
            values[name] = int(number) if whole else number
        return Brakes(**values)


def read_sync(name: str, node: Mapping[str, Any], raw: Mapping[str, Any]) -> SyncSettings:
    """One model's settings. `node` is the manifest node, `raw` its `config.meta.sync`. Raises SyncConfigError."""
    file = str(node.get("patch_path") or node.get("original_file_path") or "dbt_project").split("://")[-1]
    if not isinstance(raw, Mapping):
        raise SyncConfigError([f"{file}: model {name}: config.meta.sync: a mapping is needed, not {raw!r}"])
    read = _Reader(f"{file}: model {name}", raw)
    for key in raw:
        if key not in _KNOWN_KEYS:
            read.wrong(key, f"there is no such setting; there are: {', '.join(sorted(_KNOWN_KEYS))}")
    if not _NAME.fullmatch(name):
        read.mistakes.append(f"{file}: model {name}: a sync model is named sync_<platform>__<object>")
    mode: Mode = read.choice("mode", Mode, Mode.upsert)
    fields = read.mapping("fields")
    if not fields:
        read.wrong("fields", "at least one column must be mapped to a field of the platform")
    taken: dict[str, str] = {}
    for column, target in fields.items():
        if column in RESERVED:
            read.wrong(f"fields.{column}", "this column has a meaning of its own and cannot be sent")
        if target in taken:
            read.wrong(f"fields.{column}", f"field {target!r} is already filled from column {taken[target]!r}")
        taken[target] = column
    business_key = read.mapping("key")
    if (
        set(business_key) - {"column", "field"}
        or "column" not in business_key
        or ("field" not in business_key and mode is not Mode.update)
    ):
        read.wrong("key", "needs `column` and `field`")
    if business_key.get("field") in taken:
        read.wrong("key.field", f"{business_key['field']!r} is written by the key itself; take it out of fields")
    references = read.mapping("references")
    for column in references:
        if column not in fields:
            read.wrong(f"references.{column}", "this column is not one of the fields")
    amount = read.mapping("amount")
    if amount and set(amount) != {"column", "currency"}:
        read.wrong("amount", "needs `column` and `currency`, both names of columns")
    connection = raw.get("connection", "_connection")
    if connection not in ("_connection", "via column _connection of each row"):
        read.wrong("connection", "is always taken from the column _connection")
    link = read.text("link", "")
    if link and "{id}" not in link:
        read.wrong("link", "must contain {id}")
    settings = SyncSettings(
        name=name,
        platform=read.text("platform"),
        object=read.text("object"),
        key_column=business_key.get("column", ""),
        key_field=business_key.get("field", ""),
        mode=mode,
        fields=fields,
        database=str(node.get("database") or ""),
        schema=str(node.get("schema") or ""),
        table=str(node.get("alias") or name),
        file=file,
        create_only=read.columns("create_only", fields),
        references=references,
        optional_references=read.columns("optional_references", references),
        json=read.columns("json", fields),
        amount_column=amount.get("column"),
        currency_column=amount.get("currency"),
        criticality=read.choice("criticality", Criticality, Criticality.normal),
        approval=read.choice("approval", Approval, Approval.none),
        brakes=read.brakes(),
        depends_on=read.names("depends_on"),
        owner=read.text("owner", ""),
        link=link,
        field_group=read.text("field_group", ""),
        description=str(node.get("description") or ""),
    )
    if not settings.owner:
        read.wrong("owner", "is missing: somebody has to hear of refused records")
    if settings.json & set(references):
        read.wrong("json", "a referring column cannot be JSON")
    if read.mistakes:
        raise SyncConfigError(read.mistakes)
    return settings


def sync_nodes(manifest: Mapping[str, Any]) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Model name -> (manifest node, raw sync settings) of every enabled model that has some."""
    found: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    for node in manifest.get("nodes", {}).values():
        if node.get("resource_type") != "model":
            continue
        meta = (node.get("config") or {}).get("meta") or node.get("meta") or {}
        if "sync" in meta:
            found[str(node["name"])] = (node, meta["sync"])
    return found


def read_syncs(manifest: Mapping[str, Any], platforms: Sequence[str] | None = None) -> tuple[SyncSettings, ...]:
    """Every sync of a manifest, in the order in which they are applied (ties by name).

    `platforms`, when given, are those that can be written to; another one is a mistake. Raises SyncConfigError with all
    mistakes at once: bad settings, unknown names in depends_on or references, circles.
    """
    mistakes: list[str] = []
    syncs: dict[str, SyncSettings] = {}
    for name, (node, raw) in sorted(sync_nodes(manifest).items()):
        try:
            syncs[name] = read_sync(name, node, raw)
        except SyncConfigError as error:
            mistakes.extend(error.mistakes)
    # Models of platforms that no stack has are not built: there is nothing of them to wait for.
    switched_off = {node["name"] for nodes in (manifest.get("disabled") or {}).values() for node in nodes}
    syncs = {
        name: replace(sync, depends_on=tuple(other for other in sync.depends_on if other not in switched_off))
        for name, sync in syncs.items()
    }
    if not mistakes:
        for sync in syncs.values():
            for other in sync.prerequisites:
                if other not in syncs:
                    key = "depends_on" if other in sync.depends_on else "references"
                    mistakes.append(f"{sync.file}: model {sync.name}: config.meta.sync.{key}: no sync named {other!r}")
            if platforms is not None and sync.platform not in platforms:
                mistakes.append(
                    f"{sync.file}: model {sync.name}: config.meta.sync.platform: {sync.platform!r} cannot be written "
                    "to; "
                    f"there are: {', '.join(platforms)}"
                )
    if mistakes:
        raise SyncConfigError(mistakes)
    return ordered(syncs.values())


def ordered(syncs: Iterable[SyncSettings]) -> tuple[SyncSettings, ...]:
    """Syncs with every prerequisite before its dependents; ties by name. A circle -> SyncConfigError naming it."""
    by_name = {sync.name: sync for sync in syncs}
    sorter = TopologicalSorter({n: [p for p in s.prerequisites if p in by_name] for n, s in by_name.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        first = by_name[error.args[1][0]]
        raise SyncConfigError(
            [f"{first.file}: model {first.name}: syncs depend on each other in a circle: {circle}"]
        ) from error
    order: list[SyncSettings] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order.extend(by_name[name] for name in ready)
        sorter.done(*ready)
    return tuple(order)


def load_syncs(manifest_path: Path, platforms: Sequence[str] | None = None) -> tuple[SyncSettings, ...]:
    """`read_syncs` from a file. A missing or broken file -> SyncConfigError that says how to make it."""
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SyncConfigError([f"{manifest_path}: not there; run `dbt parse` in the dbt project first"]) from error
    except ValueError as error:
        raise SyncConfigError([f"{manifest_path}: not a dbt manifest: {error}; run `dbt parse` again"]) from error
    return read_syncs(manifest, platforms)


if __name__ == "__main__":
    for one in load_syncs(Path(sys.argv[1])):
        sys.stdout.write(
            f"{one.name}: {one.mode} {one.platform} {one.object}, after {', '.join(one.prerequisites) or '-'}\n"
        )
