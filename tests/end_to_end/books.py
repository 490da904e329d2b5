"""A look into the sandboxes' own stores: what is really there, counted and compared without asking Tieout.

    books.keys("netsuite", "invoice")     business key -> how many records carry it
    books.totals()                        records there are, with or without a key of ours
    books.lines()                         what each invoice line bills -> how many lines bill it
    books.content()                       every record that Tieout can write, with ids and times of writing left out

Ids differ from run to run, so a record is called by its business key where it has one, and other records' ids that it
holds are replaced by theirs. What was there before any run keeps its id in every run and is called by it.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

# Kantata object -> (table, class name in its external references).
KANTATA = {
    "workspace": ("workspaces", "Workspace"),
    "workspace_group": ("workspace_groups", "WorkspaceGroup"),
    "story": ("stories", "Story"),
    "billing_milestone": ("billing_milestones", "BillingMilestone"),
    "invoice": ("invoices", "Invoice"),
}

_KEYS = {
    ("netsuite", "customer"): "SELECT externalid FROM customer WHERE externalid IS NOT NULL",
    ("netsuite", "job"): "SELECT externalid FROM job WHERE externalid IS NOT NULL",
    ("netsuite", "invoice"): (
        "SELECT externalid FROM \"transaction\" WHERE type = 'CustInvc' AND externalid IS NOT NULL"
    ),
    ("kantata", "external_payment"): "SELECT invoice_id FROM external_payments",
    **{
        ("kantata", name): (
            f"SELECT r.service_model_ref FROM external_references r JOIN {table} s ON s.id = r.subject_id "
            f"WHERE r.subject_type = '{subject}' AND r.service_name = 'tieout'"
        )
        for name, (table, subject) in KANTATA.items()
    },
}

_TOTALS = {
    ("netsuite", "customer"): "SELECT count(*) FROM customer",
    ("netsuite", "job"): "SELECT count(*) FROM job",
    ("netsuite", "invoice"): "SELECT count(*) FROM \"transaction\" WHERE type = 'CustInvc'",
    ("kantata", "external_payment"): "SELECT count(*) FROM external_payments",
    **{("kantata", name): f"SELECT count(*) FROM {table}" for name, (table, _) in KANTATA.items()},
}

# Ids, times and running numbers that depend on when and in which order a record was written.
_NOISE = frozenset(
    [
        "id",
        "_seq",
        "entityid",
        "tranid",
        "transactionnumber",
        "uniquekey",
        "lastmodifieddate",
        "createddate",
        "datecreated",
        "linelastmodifieddate",
        "created_at",
        "updated_at",
        "last_synced_at",
        "creator_id",
        "position",
        "weight",
        "workspace_invoice_preference_id",
        "nkey",
        "LastModifiedDate",
        "SystemModstamp",
        "CreatedDate",
        "LastModifiedById",
        "LastViewedDate",
        "LastReferencedDate",
        "subject_changed_at",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How one table is compared: which columns hold another record's id (or text with one), as column -> what kind of
    record, or `column:<the column that tells the kind>`."""

    refers: Mapping[str, str] = field(default_factory=dict)
    where: str = "1 = 1"


_ENTITY = {"entity": "entity", "customer": "entity", "parent": "entity", "job": "entity"}
_SHAPES: dict[tuple[str, str], Shape] = {
    ("netsuite", "customer"): Shape(refers=_ENTITY),
    ("netsuite", "job"): Shape(refers=_ENTITY),
    ("netsuite", "transaction"): Shape(refers={**_ENTITY, "custbody_tieout_project": "Workspace"}),
    ("netsuite", "transactionline"): Shape(refers={**_ENTITY, "transaction": "transaction"}),
    ("netsuite", "transactionaccountingline"): Shape(refers={"transaction": "transaction"}),
    ("netsuite", "transactionlinelink"): Shape(refers={"previousdoc": "transaction", "nextdoc": "transaction"}),
    ("kantata", "workspace_groups"): Shape(),
    ("kantata", "workspaces"): Shape(refers={"primary_workspace_group_id": "WorkspaceGroup"}),
    ("kantata", "workspace_group_memberships"): Shape(
        refers={"workspace_id": "Workspace", "workspace_group_id": "WorkspaceGroup"}
    ),
    ("kantata", "stories"): Shape(
        refers={"workspace_id": "Workspace", "parent_id": "Story", "root_id": "Story", "ancestor_ids": "Story"}
    ),
    ("kantata", "billing_milestones"): Shape(
        refers={"workspace_id": "Workspace", "story_id": "Story", "invoice_id": "Invoice"}
    ),
    ("kantata", "invoices"): Shape(),
    ("kantata", "invoice_workspaces"): Shape(refers={"invoice_id": "Invoice", "workspace_id": "Workspace"}),
    ("kantata", "external_payments"): Shape(refers={"invoice_id": "Invoice", "workspace_id": "Workspace"}),
    ("kantata", "external_references"): Shape(refers={"subject_id": "column:subject_type"}),
    ("kantata", "custom_field_values"): Shape(refers={"subject_id": "column:subject_type"}),
    ("kantata", "participations"): Shape(refers={"workspace_id": "Workspace"}),
    ("kantata", "workspace_invoice_preferences"): Shape(refers={"workspace_id": "Workspace"}),
    ("kantata", "time_entries"): Shape(refers={"workspace_id": "Workspace", "story_id": "Story", "invoice_id": "Invoice"}),
    ("kantata", "expenses"): Shape(refers={"workspace_id": "Workspace", "story_id": "Story", "invoice_id": "Invoice"}),
    ("salesforce", "Account"): Shape(),
    ("salesforce", "Opportunity"): Shape(
        refers={"Tieout_Project_Id__c": "Workspace", "Tieout_Project_Link__c": "Workspace"}
    ),
    ("salesforce", "OpportunityLineItem"): Shape(),
}  # fmt: skip


@dataclass(frozen=True)
class Books:
    """The stores under `state`, opened read-only for each question."""

    state: Path

    @contextlib.contextmanager
    def _store(self, platform: str) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.state / f"{platform}.sqlite", timeout=30)) as store:
            store.execute("PRAGMA query_only = ON")
            yield store

    def ask(self, platform: str, question: str) -> list[tuple[Any, ...]]:
        """The rows of one SQL question to a platform's store."""
        with self._store(platform) as store:
            return store.execute(question).fetchall()

    def keys(self, platform: str, object: str) -> Counter[str]:
        """Business key -> records that carry it."""
        return Counter(str(key) for (key,) in self.ask(platform, _KEYS[platform, object]))

    def all_keys(self) -> dict[tuple[str, str], Counter[str]]:
        """`keys` of every object that Tieout makes."""
        return {(platform, name): self.keys(platform, name) for platform, name in _KEYS}

    def totals(self) -> dict[tuple[str, str], int]:
        """Records there are of every object that Tieout makes, whoever made them."""
        return {place: int(self.ask(place[0], question)[0][0]) for place, question in _TOTALS.items()}

    def lines(self) -> Counter[str]:
        """What an invoice line bills (`kantata:time_entry:123`) -> lines that bill it."""
        question = (
            'SELECT l.custcol_tieout_source FROM transactionline l JOIN "transaction" t ON t.id = l."transaction"'
            " WHERE t.type = 'CustInvc' AND l.custcol_tieout_source IS NOT NULL AND l.custcol_tieout_source <> ''"
        )
        return Counter(str(source) for (source,) in self.ask("netsuite", question))

    # -- the same content under other ids ----------------------------------------------------------------------------

    @cached_property
    def _names(self) -> dict[str, dict[str, str]]:
        """Kind of record -> id -> its business key."""
        names: dict[str, dict[str, str]] = {subject: {} for _, subject in KANTATA.values()}
        for subject, id, key in self.ask(
            "kantata",
            "SELECT subject_type, subject_id, service_model_ref FROM external_references WHERE service_name = 'tieout'",
        ):
            names.setdefault(str(subject), {})[str(id)] = str(key)
        names["entity"] = {
            str(id): str(key)
            for table in ("customer", "job")
            for id, key in self.ask("netsuite", f"SELECT id, externalid FROM {table} WHERE externalid IS NOT NULL")
        }
        names["transaction"] = {
            str(id): str(key)
            for id, key in self.ask("netsuite", 'SELECT id, externalid FROM "transaction" WHERE externalid IS NOT NULL')
        }
        return names

    def _called(self, kind: str, value: Any) -> Any:
        if value is None:
            return None
        known = self._names.get(kind, {})
        return re.sub(r"\d+", lambda found: known.get(found[0], found[0]), str(value))

    def content(self) -> dict[str, Counter[str]]:
        """Table -> its records as text -> how often; equal for two runs that left the same behind."""
        found: dict[str, Counter[str]] = {}
        for (platform, table), shape in _SHAPES.items():
            with self._store(platform) as store:
                cursor = store.execute(f'SELECT * FROM "{table}" WHERE {shape.where}')
                names = [column[0] for column in cursor.description]
                found[f"{platform}.{table}"] = Counter(
                    self._text(shape, dict(zip(names, row, strict=True))) for row in cursor
                )
        return found

    def _text(self, shape: Shape, row: dict[str, Any]) -> str:
        parts = []
        for name, value in row.items():
            if name in _NOISE or value is None:
                continue
            kind = shape.refers.get(name)
            if kind:
                value = self._called(str(row[kind[7:]]) if kind.startswith("column:") else kind, value)
            parts.append(f"{name}={value}")
        return " ".join(parts)


def difference(one: Mapping[str, Counter[str]], other: Mapping[str, Counter[str]], most: int = 12) -> list[str]:
    """Records that only one of two contents has, as lines for a person; empty when they are equal."""
    lines = []
    for table in sorted({*one, *other}):
        only_one = one.get(table, Counter()) - other.get(table, Counter())
        only_other = other.get(table, Counter()) - one.get(table, Counter())
        lines += [f"- {table}: {text} (x{n})" for text, n in list(only_one.items())[:most]]
        lines += [f"+ {table}: {text} (x{n})" for text, n in list(only_other.items())[:most]]
    return lines


def without_numbers(content: Mapping[str, Counter[str]]) -> dict[str, Counter[str]]:
    """The content without the numbers that the PSA gave to milestones of our making, and the order of lines that follows
    them: whole runs that met trouble made them in another order."""
    found: dict[str, Counter[str]] = {}
    for table, records in content.items():
        told = found.setdefault(table, Counter())
        for text, n in records.items():
            told[re.sub(r"(billing_milestone:)\d+|(linesequencenumber=)\d+", r"\1\2n", text)] += n
    return found
