"""Tryton: parties and opportunities, projects and their hours, invoices and the receivables side of the ledger.

One server can be CRM, PSA and accounting at once, or any of them alone: tables of modules that are not installed stay
empty. Every id and link is text; a link to a record of several kinds (`origin`) is `model,id`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingestion.changes import snapshot
from ingestion.errors import TruncatedRead
from ingestion.reading import Row, Run, Window
from ingestion.tables import COUNT, DATE, FLAG, FX, ID, JSON, LEDGER, RATIO, TEXT, TIME, Deletes, Table, fields
from platforms.kit.errors import Refused

if TYPE_CHECKING:
    from platforms.tryton.client import TrytonClient

PAGE = 1_000
# Which ledger lines pay an invoice: no model of its own that could be asked, but a list on the invoice.
PAYMENT_LINE, PAYMENT_LINES = "account_invoice_payment_line", "payment_lines"
CURSOR = "last_modified_at"
STAMPS = {"id": ID, "create_date": TIME, "write_date": TIME, CURSOR: TIME}


def _small(model: str, description: str, columns: Mapping[str, pa.DataType], *, optional: bool = True) -> Table:
    """A table short enough to be read whole each time, so that what is deleted shows at once."""
    return Table(
        name=model.replace(".", "_"),
        vendor_object=model,
        description=description,
        deletes=Deletes.UNLISTED,
        optional=optional,
        columns=fields(STAMPS, columns),
    )


def _large(
    model: str,
    description: str,
    columns: Mapping[str, pa.DataType],
    *,
    seconds: Sequence[str] = (),
    optional: bool = True,
) -> Table:
    """A table read by its changes; `seconds` are spans of time, kept as a number of seconds."""
    declared = fields(STAMPS, columns)
    return Table(
        name=model.replace(".", "_"),
        vendor_object=model,
        description=description,
        cursor=CURSOR,
        deletes=Deletes.SWEPT,
        optional=optional,
        columns={**declared, **{name: (f"{name}_seconds", RATIO) for name in seconds}},
    )


def _rows_of(parent: str, link: str, model: str, name: str, description: str, columns: Mapping[str, Any]) -> Table:
    """Rows that belong to a record and are replaced with it: Tryton keeps no trace of those that were removed."""
    return Table(
        name=name,
        vendor_object=model,
        description=description,
        rides_with=parent,
        replaces=link,
        deletes=Deletes.WITH_PARENT,
        optional=True,
        columns=fields(STAMPS, {link: ID}, columns),
    )


TABLES: tuple[Table, ...] = (
    _small(
        "company.company",
        "One row per company of the database: a legal entity, whose name and code are its party's.",
        {"party": ID, "currency": ID, "timezone": TEXT},
        optional=False,
    ),
    _small(
        "currency.currency",
        "One row per currency; `code` is its ISO code.",
        {"code": TEXT, "name": TEXT, "symbol": TEXT, "digits": COUNT, "rounding": FX, "active": FLAG},
        optional=False,
    ),
    _large(
        "currency.currency.rate",
        "One row per currency and day: units of it for one unit of the currency whose rate is 1.",
        {"currency": ID, "date": DATE, "rate": FX},
    ),
    _small("country.country", "One row per country, with its ISO code.", {"code": TEXT, "name": TEXT, "active": FLAG}),
    _large(
        "country.subdivision",
        "One row per part of a country that an address can name.",
        {"country": ID, "code": TEXT, "name": TEXT, "type": TEXT, "active": FLAG},
    ),
    _large(
        "party.party",
        "One row per party: customer, person at a customer, supplier, employee, or the company itself.",
        {
            "name": TEXT,
            "code": TEXT,
            "lang": ID,
            "replaced_by": ID,
            "customer_payment_term": ID,
            "customer_currency": ID,
            "active": FLAG,
        },
        optional=False,
    ),
    _rows_of(
        "party_party",
        "party",
        "party.identifier",
        "party_identifier",
        "One row per number a party is known by; `type` says which, for example eu_vat.",
        {"type": TEXT, "code": TEXT, "code_compact": TEXT, "sequence": COUNT, "active": FLAG},
    ),
    _rows_of(
        "party_party",
        "party",
        "party.address",
        "party_address",
        "One row per address of a party; the lowest sequence comes first.",
        {
            "party_name": TEXT,
            "attn": TEXT,
            "street": TEXT,
            "postal_code": TEXT,
            "city": TEXT,
            "country": ID,
            "subdivision": ID,
            "invoice": FLAG,
            "delivery": FLAG,
            "sequence": COUNT,
            "active": FLAG,
        },
    ),
    _rows_of(
        "party_party",
        "party",
        "party.contact_mechanism",
        "party_contact_mechanism",
        "One row per way to reach a party: `type` email, phone, mobile, website and others.",
        {
            "type": TEXT,
            "value": TEXT,
            "name": TEXT,
            "address": ID,
            "invoice": FLAG,
            "delivery": FLAG,
            "sequence": COUNT,
            "active": FLAG,
        },
    ),
    _large(
        "company.employee",
        "One row per employee: a party that works for a company. Name and e-mail are its party's.",
        {
            "party": ID,
            "company": ID,
            "supervisor": ID,
            "cost_price": LEDGER,
            "start_date": DATE,
            "end_date": DATE,
            "active": FLAG,
        },
    ),
    _small(
        "company.employee_cost_price",
        "One row per employee and day from which an hour of theirs costs this much.",
        {"employee": ID, "date": DATE, "cost_price": LEDGER},
    ),
    _small(
        "product.uom",
        "One row per unit of measure.",
        {"name": TEXT, "symbol": TEXT, "category": ID, "factor": FX, "rate": FX, "digits": COUNT, "active": FLAG},
    ),
    _large(
        "product.template",
        "One row per product, whose variants are `product_product`.",
        {
            "name": TEXT,
            "code": TEXT,
            "type": TEXT,
            "default_uom": ID,
            "account_category": ID,
            "list_price": LEDGER,
            "cost_price": LEDGER,
            "salable": FLAG,
            "active": FLAG,
        },
    ),
    _large(
        "product.product",
        "One row per variant of a product: what an invoice line or a task names.",
        {
            "template": ID,
            "code": TEXT,
            "name": TEXT,
            "description": TEXT,
            "type": TEXT,
            "default_uom": ID,
            "list_price": LEDGER,
            "cost_price": LEDGER,
            "active": FLAG,
        },
    ),
    _large(
        "sale.opportunity",
        "One row per opportunity; states are lead, opportunity, converted, won, lost, cancelled.",
        {
            "number": TEXT,
            "reference": TEXT,
            "description": TEXT,
            "comment": TEXT,
            "state": TEXT,
            "party": ID,
            "contact": ID,
            "address": ID,
            "company": ID,
            "employee": ID,
            "converted_by": ID,
            "payment_term": ID,
            "currency": ID,
            "amount": LEDGER,
            "conversion_probability": RATIO,
            "lost_reason": TEXT,
            "start_date": DATE,
            "end_date": DATE,
        },
    ),
    _rows_of(
        "sale_opportunity",
        "opportunity",
        "sale.opportunity.line",
        "sale_opportunity_line",
        "One row per product of an opportunity and its quantity; it has no price of its own.",
        {"product": ID, "unit": ID, "quantity": RATIO, "description": TEXT, "note": TEXT, "sequence": COUNT},
    ),
    _small(
        "project.work.status",
        "One row per status of projects and tasks; `types` says for which, `progress` how far it stands for.",
        {"name": TEXT, "types": JSON, "progress": RATIO, "sequence": COUNT, "default": FLAG, "active": FLAG},
    ),
    _large(
        "project.work",
        "One row per project or task (`type`), tasks below their project by `parent`.",
        {
            "number": TEXT,
            "name": TEXT,
            "type": TEXT,
            "parent": ID,
            "path": TEXT,
            "party": ID,
            "party_address": ID,
            "company": ID,
            "status": ID,
            "origin": TEXT,
            "comment": TEXT,
            "product": ID,
            "list_price": LEDGER,
            "project_invoice_method": TEXT,
            "project_invoice_timesheet_up_to": DATE,
            "invoice_line": ID,
            "progress": RATIO,
            "sequence": COUNT,
        },
        seconds=("effort_duration",),
    ),
    _large(
        "timesheet.work",
        "One row per thing hours are booked on; `origin` is `project.work,<id>` for a project or task.",
        {"name": TEXT, "company": ID, "origin": TEXT, "timesheet_start_date": DATE, "timesheet_end_date": DATE},
    ),
    _large(
        "timesheet.line",
        "One row per entry of time; `invoice_line` is set once it was billed.",
        {
            "company": ID,
            "employee": ID,
            "work": ID,
            "date": DATE,
            "description": TEXT,
            "cost_price": LEDGER,
            "invoice_line": ID,
            "uuid": TEXT,
        },
        seconds=("duration",),
    ),
    _small(
        "account.account.type",
        "One row per kind of ledger account; the flags say what its accounts are for.",
        {
            "name": TEXT,
            "parent": ID,
            "company": ID,
            "statement": TEXT,
            "receivable": FLAG,
            "payable": FLAG,
            "revenue": FLAG,
            "expense": FLAG,
            "debt": FLAG,
        },
    ),
    _small(
        "account.account",
        "One row per ledger account.",
        {
            "code": TEXT,
            "name": TEXT,
            "type": ID,
            "parent": ID,
            "company": ID,
            "second_currency": ID,
            "reconcile": FLAG,
            "party_required": FLAG,
            "closed": FLAG,
            "start_date": DATE,
            "end_date": DATE,
        },
    ),
    _small(
        "account.fiscalyear",
        "One row per fiscal year of a company.",
        {"name": TEXT, "company": ID, "state": TEXT, "start_date": DATE, "end_date": DATE},
    ),
    _small(
        "account.period",
        "One row per period of a fiscal year; state open, closed or locked, type standard or adjustment.",
        {
            "name": TEXT,
            "company": ID,
            "fiscalyear": ID,
            "type": TEXT,
            "state": TEXT,
            "start_date": DATE,
            "end_date": DATE,
        },
    ),
    _small(
        "account.journal",
        "One row per journal; `type` tells receipts (cash), revenue and write-offs apart.",
        {"name": TEXT, "code": TEXT, "type": TEXT, "active": FLAG},
    ),
    _small(
        "account.tax",
        "One row per tax; `rate` is a fraction of the net amount, negative for none.",
        {
            "name": TEXT,
            "description": TEXT,
            "company": ID,
            "parent": ID,
            "type": TEXT,
            "rate": FX,
            "amount": LEDGER,
            "start_date": DATE,
            "end_date": DATE,
            "active": FLAG,
        },
    ),
    _small(
        "account.invoice.payment_term",
        "One row per payment term; its lines say when which part is due.",
        {"name": TEXT, "description": TEXT, "active": FLAG},
    ),
    _small(
        "account.invoice.payment_term.line",
        "One row per part of a payment term: the remainder, a share, or a fixed amount.",
        {"payment": ID, "type": TEXT, "ratio": FX, "divisor": FX, "amount": LEDGER, "currency": ID, "sequence": COUNT},
    ),
    _small(
        "account.invoice.payment_term.line.delta",
        "One row per step from the invoice's date to the due date of a part: days, weeks, months.",
        {"line": ID, "sequence": COUNT, "day": COUNT, "days": COUNT, "weeks": COUNT, "months": COUNT},
    ),
    _large(
        "account.invoice",
        "One row per customer invoice or credit note (negative quantities); states draft, validated, posted, paid, "
        "cancelled. `amount_to_pay` is what Tryton says is open.",
        {
            "number": TEXT,
            "reference": TEXT,
            "description": TEXT,
            "comment": TEXT,
            "type": TEXT,
            "sequence_type_cache": TEXT,
            "state": TEXT,
            "company": ID,
            "party": ID,
            "invoice_address": ID,
            "account": ID,
            "journal": ID,
            "currency": ID,
            "payment_term": ID,
            "move": ID,
            "cancel_move": ID,
            "invoice_date": DATE,
            "accounting_date": DATE,
            "payment_term_date": DATE,
            "untaxed_amount": LEDGER,
            "tax_amount": LEDGER,
            "total_amount": LEDGER,
            "amount_to_pay": LEDGER,
            "reconciled": DATE,
            "origins": TEXT,
        },
    ),
    _rows_of(
        "account_invoice",
        "invoice",
        "account.invoice.line",
        "account_invoice_line",
        "One row per line of a customer invoice; `note` carries where it came from. Credit notes have negative "
        "quantities.",
        {
            "type": TEXT,
            "product": ID,
            "account": ID,
            "unit": ID,
            "quantity": RATIO,
            "unit_price": LEDGER,
            "amount": LEDGER,
            "currency": ID,
            "company": ID,
            "description": TEXT,
            "note": TEXT,
            "taxes": JSON,
            "taxes_date": DATE,
            "sequence": COUNT,
        },
    ),
    _rows_of(
        "account_invoice",
        "invoice",
        "account.invoice.tax",
        "account_invoice_tax",
        "One row per tax of a customer invoice.",
        {
            "tax": ID,
            "account": ID,
            "description": TEXT,
            "base": LEDGER,
            "amount": LEDGER,
            "manual": FLAG,
            "sequence": COUNT,
        },
    ),
    Table(
        name=PAYMENT_LINE,
        vendor_object="account.invoice",
        description="One row per ledger line booked as a payment of a customer invoice: `line` is the payment's line "
        "on the receivable account. A credit note settles an invoice through a reconciliation only.",
        rides_with="account_invoice",
        replaces="invoice",
        deletes=Deletes.WITH_PARENT,
        optional=True,
        columns=fields({"id": ID, "invoice": ID, "line": ID}),
    ),
    _large(
        "account.move",
        "One row per entry of the ledger that touches a receivable account.",
        {
            "number": TEXT,
            "company": ID,
            "period": ID,
            "journal": ID,
            "date": DATE,
            "post_date": DATE,
            "description": TEXT,
            "origin": TEXT,
            "state": TEXT,
        },
    ),
    _large(
        "account.move.line",
        "One row per ledger line on a receivable account: what an invoice claims, what a payment or credit note "
        "settles. Lines with the same `reconciliation` settle each other.",
        {
            "move": ID,
            "account": ID,
            "party": ID,
            "debit": LEDGER,
            "credit": LEDGER,
            "second_currency": ID,
            "amount_second_currency": LEDGER,
            "reconciliation": ID,
            "maturity_date": DATE,
            "description": TEXT,
            "origin": TEXT,
            "state": TEXT,
        },
    ),
    _large(
        "account.move.reconciliation",
        "One row per set of ledger lines that add up to nothing: an invoice and what settled it.",
        {"number": TEXT, "company": ID, "date": DATE},
    ),
)

# Of the ledger only the receivables side is read: customers' documents, and entries on receivable accounts. Of the
# work, all but the task that Tieout itself keeps as a guard when it makes projects.
_ONLY: Mapping[str, list[Any]] = {
    "project_work": [["comment", "not like", "tieout:guard%"]],
    "account_invoice": [["type", "=", "out"]],
    "account_invoice_line": [["invoice.type", "=", "out"]],
    "account_invoice_tax": [["invoice.type", "=", "out"]],
    PAYMENT_LINE: [["type", "=", "out"]],
    "account_move": [["lines.account.type.receivable", "=", True]],
    "account_move_line": [["account.type.receivable", "=", True]],
    "account_move_reconciliation": [["lines.account.type.receivable", "=", True]],
}


def _follow(table: str, parent: str, link: str) -> str:
    return (
        f'UPDATE raw_tryton."{table}" AS t SET _deleted_at = p._deleted_at FROM raw_tryton."{parent}" AS p'
        f' WHERE t._connection = $1 AND p._connection = t._connection AND p.id = t."{link}"'
        " AND p._deleted_at IS NOT NULL AND t._deleted_at IS NULL"
    )


# Run after each load: rows follow the record they belong to.
AFTER_LOAD: tuple[tuple[str, tuple[str, ...], str], ...] = tuple(
    (table.name, (table.rides_with,), _follow(table.name, table.rides_with, str(table.replaces)))
    for table in TABLES
    if table.rides_with
)

# Tables that a firm may well keep from its integration user: without the right to read them they stay empty.
_PRIVATE = ("company_employee_cost_price",)
_FOUR_PLACES = Decimal("0.0001")
_SIX_PLACES = Decimal("0.000001")
_TEN_PLACES = Decimal("0.0000000001")
# The types of fields, as Tryton describes them, that may fill a column of each kind.
_EXPECTED: tuple[tuple[pa.DataType, frozenset[str]], ...] = (
    (
        pa.string(),
        frozenset(("char", "text", "fulltext", "selection", "many2one", "one2one", "reference", "integer")),
    ),
    (JSON, frozenset(("multiselection", "many2many", "one2many", "dict"))),
    (FLAG, frozenset(("boolean",))),
    (DATE, frozenset(("date",))),
    (TIME, frozenset(("timestamp", "datetime"))),
    (COUNT, frozenset(("integer", "biginteger"))),
)
_NUMBERS = frozenset(("numeric", "float", "integer", "biginteger", "timedelta"))


class TrytonReader:
    """Reads by `last_modified_at` and id, archived records included.

    A parent's stamp stands still while rows below it change, and what is open on an invoice changes with entries of
    the ledger. So an incremental read of parties, opportunities and invoices takes those that moved, those below which
    a row moved, and every invoice that is posted and not paid; rows that turn out unchanged are dropped by their
    fingerprint. The rows below are read along with them, so that a row removed from its parent goes at once. Other
    deletions leave no trace and are found by sweeps.
    """

    omits_nulls = True

    def __init__(self, client: TrytonClient, run: Run) -> None:
        self.client = client
        self.run = run
        self._touched: dict[str, tuple[Window, list[str]]] = {}
        self._hidden: frozenset[tuple[str, str]] | None = None

    def now(self) -> datetime:
        self.client.ping()
        return self.client.now()

    def describe(self, table: Table) -> Mapping[str, str]:
        """The fields that the user may read. Raises Refused for a model that is not there, or that is private."""
        if table.name in _PRIVATE:
            self._count(table, [])
        known = self.client.types(table.vendor_object)
        if table.name == PAYMENT_LINE:
            return {"id": "integer", "invoice": "many2one", "line": "many2one"} if PAYMENT_LINES in known else {}
        return {name: str(how["type"]) for name, how in known.items() if (table.vendor_object, name) not in self.hidden}

    @property
    def hidden(self) -> frozenset[tuple[str, str]]:
        """(model, field) that none of the user's groups may read, such as what an hour of an employee costs."""
        if self._hidden is None:
            groups = {str(group) for group in self.client.context.get("groups") or ()}
            rules = self.client.search_read("ir.model.field.access", [], ["model", "field", "group", "perm_read"])
            may: dict[tuple[str, str], bool] = {}
            for rule in rules:
                if rule["group"] is None or rule["group"] in groups:
                    key = (str(rule["model"]), str(rule["field"]))
                    may[key] = may.get(key, False) or bool(rule["perm_read"])
            self._hidden = frozenset(key for key, may_read in may.items() if not may_read)
        return self._hidden

    def expected(self, kind: pa.DataType) -> frozenset[str]:
        return _NUMBERS if pa.types.is_decimal(kind) else next(types for one, types in _EXPECTED if one == kind)

    def read(self, table: Table, window: Window, fields: Sequence[str]) -> Iterator[Sequence[Row] | bytes]:
        parent = table.rides_with or table.name
        if window.since is None or not (table.rides_with or any(t.rides_with == table.name for t in TABLES)):
            yield from self._changed(table, window.since if table.cursor else None, fields)
            return
        touched = self.touched(parent, window)
        link = str(table.replaces) if table.rides_with and table.name != PAYMENT_LINE else "id"
        if table.rides_with:
            self.run.parents[table.name] = touched
        for start in range(0, len(touched), PAGE):
            yield from self._counted(table, fields, [[link, "in", touched[start : start + PAGE]]], None)

    def _changed(self, table: Table, since: datetime | None, fields: Sequence[str]) -> Iterator[list[Row]]:
        yield from self._counted(table, fields, [], since)

    def _counted(
        self, table: Table, fields: Sequence[str], domain: list[Any], since: datetime | None
    ) -> Iterator[list[Row]]:
        """All rows of a domain. Tryton's own count must be reached; rows deleted meanwhile are not missed."""
        whole = [*_ONLY.get(table.name, ()), *domain]
        counting = [*whole, *([] if since is None else [[CURSOR, ">=", since]])]
        expected = self._count(table, counting)
        if table.name == PAYMENT_LINE:
            fields = [PAYMENT_LINES]
        kinds = self.client.types(table.vendor_object)
        columns = {name: table.columns[name][1] for name in fields if name in table.columns}
        read = 0
        for page in self.client.pages(table.vendor_object, fields, since=since, domain=whole, size=PAGE):
            read += len(page)
            if table.name == PAYMENT_LINE:
                yield [{"id": id, "invoice": row["id"], "line": id} for row in page for id in row[PAYMENT_LINES]]
            else:
                yield [_plain(row, fields, kinds, columns) for row in page]
        if read < expected and read < (expected := self._count(table, counting)):
            raise TruncatedRead(
                f"Tryton counts {expected} records of {table.vendor_object}, but {read} arrived.",
                connection=self.run.connection,
                table=table.name,
                next_step="Run again; if it stays so, check the access rules of the integration user's groups.",
            )

    def _count(self, table: Table, domain: list[Any]) -> int:
        return self.client.search_count(table.vendor_object, domain, context={"active_test": False})

    def touched(self, parent: str, window: Window) -> list[str]:
        """Ids of records whose content may have changed in the window, in numeric order; asked for once a run."""
        known = self._touched.get(parent)
        if known is not None and known[0].since == window.since:
            return known[1]
        table = next(table for table in TABLES if table.name == parent)
        moved = [CURSOR, ">=", window.since]
        only = _ONLY.get(parent, [])
        found = {id for page in self.client.ids(table.vendor_object, [*only, moved]) for id in page}
        if parent == "account_invoice":
            open_ones = [*only, ["state", "=", "posted"]]
            found.update(id for page in self.client.ids(table.vendor_object, open_ones) for id in page)
        for child in TABLES:
            if child.rides_with == parent and child.name != PAYMENT_LINE:
                found.update(self._parents(child, moved))
        ids = sorted(found, key=int)
        self._touched[parent] = (window, ids)
        return ids

    def _parents(self, child: Table, moved: list[Any]) -> Iterator[str]:
        link = str(child.replaces)
        domain = [*_ONLY.get(child.name, ()), moved]
        for start in range(0, self._count(child, domain), PAGE):
            rows = self.client.search_read(
                child.vendor_object, domain, [link], offset=start, limit=PAGE, order=[["id", "ASC"]],
                context={"active_test": False},
            )  # fmt: skip
            yield from (str(row[link]) for row in rows if row[link] is not None)

    def ids(self, table: Table) -> Iterator[Sequence[str]]:
        yield from self.client.ids(table.vendor_object, _ONLY.get(table.name, ()))

    def count(self, table: Table) -> int | None:
        return self._count(table, list(_ONLY.get(table.name, ())))

    def gone(self, table: Table, window: Window) -> Iterable[str]:
        return ()

    def deletion(self, table: Table) -> tuple[str | None, str] | None:
        return None


def _plain(
    row: Mapping[str, Any],
    fields: Sequence[str],
    kinds: Mapping[str, Mapping[str, Any]],
    columns: Mapping[str, pa.DataType],
) -> Row:
    """A record with values that `columns.to_arrow` takes in one go."""
    return {name: _value(row.get(name), str(kinds.get(name, {}).get("type", "")), columns.get(name)) for name in fields}


def _value(value: Any, kind: str, column: pa.DataType | None) -> Any:
    if value is None or value == "":
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return Decimal(value // timedelta(microseconds=1)).scaleb(-6)
    if kind == "float":
        # A quantity such as 0.1 + 0.2 has seventeen places; the digits beyond the column's are noise.
        places = {4: _FOUR_PLACES, 10: _TEN_PLACES}.get(getattr(column, "scale", 6), _SIX_PLACES)
        return Decimal(value).quantize(places)
    return value if not isinstance(value, tuple) else list(value)


# Probed by `ingestion.changes`: one call each.
WATCHED = (
    "party_party",
    "sale_opportunity",
    "project_work",
    "timesheet_line",
    "account_invoice",
    "account_move_line",
    "account_move_reconciliation",
)


def newest(client: TrytonClient, tables: Sequence[Table]) -> dict[str, str]:
    """Newest change by table, by one small call each; tables of modules that are not installed are left out."""
    found: dict[str, str] = {}
    for table in tables:
        try:
            # Not `search_read`, which would ask for the fields of the model first.
            rows = client.call(
                table.vendor_object, "search_read", _ONLY.get(table.name, []), 0, 1, [[CURSOR, "DESC"]], [CURSOR],
                idempotent=True, context={"active_test": False},
            )  # fmt: skip
        except Refused:
            if not table.optional:
                raise
            continue
        found[table.name] = snapshot(rows[0][CURSOR] if rows else None)
    return found


def open_reader(client: Any, run: Run) -> TrytonReader:
    """The reader of one run."""
    return TrytonReader(client, run)
