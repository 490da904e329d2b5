"""NetSuite: legal entities, customers, projects, people, periods, and the ledger's documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingestion.changes import snapshot
from ingestion.errors import TruncatedRead
from ingestion.reading import Row, Run, Window
from ingestion.tables import COUNT, DATE, FX, ID, LEDGER, LETTER, TEXT, TIME, Deletes, Table, fields
from platforms.kit.errors import BadAnswer, Refused

if TYPE_CHECKING:
    from platforms.netsuite.client import NetSuiteClient

# Documents of the receivables side; the rest of the ledger (purchases, payroll) is none of our business.
DOCUMENTS = ("CustInvc", "CustCred", "CustPymt", "CustRfnd", "CustDep")
# Documents whose lines are asked for at once. An invoice can have hundreds of lines and a query gives 100,000 rows at
# most; a group that is too big is halved.
GROUP = 200
PAGE = 1_000

TABLES: tuple[Table, ...] = (
    Table(
        name="subsidiary",
        vendor_object="subsidiary",
        description="One row per legal entity; `externalid` is its short code.",
        deletes=Deletes.UNLISTED,
        columns=fields(
            {
                "id": ID,
                "externalid": TEXT,
                "name": TEXT,
                "fullname": TEXT,
                "legalname": TEXT,
                "parent": ID,
                "currency": ID,
                "country": TEXT,
                "iselimination": LETTER,
                "isinactive": LETTER,
                "lastmodifieddate": TIME,
            }
        ),
    ),
    Table(
        name="currency",
        vendor_object="currency",
        description="One row per currency; `symbol` is its ISO code.",
        deletes=Deletes.UNLISTED,
        columns=fields(
            {
                "id": ID,
                "name": TEXT,
                "symbol": TEXT,
                "exchangerate": FX,
                "currencyprecision": COUNT,
                "isbasecurrency": LETTER,
                "isinactive": LETTER,
            }
        ),
    ),
    Table(
        name="currencyrate",
        vendor_object="currencyrate",
        description="One row per pair of currencies and day: the ledger's own exchange rate.",
        optional=True,
        deletes=Deletes.NEVER,
        columns=fields(
            {"id": ID, "basecurrency": ID, "transactioncurrency": ID, "exchangerate": FX, "effectivedate": DATE}
        ),
    ),
    Table(
        name="customer",
        vendor_object="customer",
        description="One row per customer of the ledger: one per account, legal entity and currency.",
        cursor="lastmodifieddate",
        deletes=Deletes.LISTED,
        columns=fields(
            {
                "id": ID,
                "externalid": TEXT,
                "entityid": TEXT,
                "companyname": TEXT,
                "altname": TEXT,
                "isperson": LETTER,
                "firstname": TEXT,
                "lastname": TEXT,
                "email": TEXT,
                "phone": TEXT,
                "parent": ID,
                "subsidiary": ID,
                "currency": ID,
                "terms": ID,
                "vatregnumber": TEXT,
                "custentity_tieout_account": TEXT,
                "isinactive": LETTER,
                "datecreated": TIME,
                "lastmodifieddate": TIME,
            }
        ),
    ),
    Table(
        name="job",
        vendor_object="job",
        description="One row per project of the ledger.",
        cursor="lastmodifieddate",
        deletes=Deletes.LISTED,
        columns=fields(
            {
                "id": ID,
                "externalid": TEXT,
                "entityid": TEXT,
                "companyname": TEXT,
                "altname": TEXT,
                "customer": ID,
                "parent": ID,
                "subsidiary": ID,
                "currency": ID,
                "entitystatus": ID,
                "jobbillingtype": TEXT,
                "jobprice": LEDGER,
                "isinactive": LETTER,
                "startdate": DATE,
                "projectedenddate": DATE,
                "datecreated": TIME,
                "lastmodifieddate": TIME,
            }
        ),
    ),
    Table(
        name="item",
        vendor_object="item",
        description="One row per service item that an invoice line can name.",
        deletes=Deletes.UNLISTED,
        columns=fields(
            {
                "id": ID,
                "externalid": TEXT,
                "itemid": TEXT,
                "displayname": TEXT,
                "itemtype": TEXT,
                "isinactive": LETTER,
                "lastmodifieddate": TIME,
            }
        ),
    ),
    Table(
        name="employee",
        vendor_object="employee",
        description="One row per employee the ledger knows.",
        cursor="lastmodifieddate",
        deletes=Deletes.LISTED,
        columns=fields(
            {
                "id": ID,
                "externalid": TEXT,
                "entityid": TEXT,
                "firstname": TEXT,
                "lastname": TEXT,
                "email": TEXT,
                "supervisor": ID,
                "subsidiary": ID,
                "department": ID,
                "currency": ID,
                "isinactive": LETTER,
                "lastmodifieddate": TIME,
            }
        ),
    ),
    Table(
        name="term",
        vendor_object="term",
        description="One row per payment term: after how many days an invoice is due.",
        deletes=Deletes.UNLISTED,
        columns=fields({"id": ID, "name": TEXT, "daysuntilnetdue": COUNT, "isinactive": LETTER}),
    ),
    Table(
        name="accountingperiod",
        vendor_object="accountingperiod",
        description="One row per accounting period, with its locks.",
        deletes=Deletes.UNLISTED,
        columns=fields(
            {
                "id": ID,
                "periodname": TEXT,
                "startdate": DATE,
                "enddate": DATE,
                "closed": LETTER,
                "arlocked": LETTER,
                "aplocked": LETTER,
                "alllocked": LETTER,
                "isposting": LETTER,
                "isquarter": LETTER,
                "isyear": LETTER,
            }
        ),
    ),
    Table(
        name="transaction",
        vendor_object="transaction",
        description="One row per document (CustInvc, CustCred, CustPymt); `foreign*` is its own currency.",
        cursor="lastmodifieddate",
        deletes=Deletes.LISTED,
        columns=fields(
            {
                "id": ID,
                "type": TEXT,
                "tranid": TEXT,
                "transactionnumber": TEXT,
                "externalid": TEXT,
                "otherrefnum": TEXT,
                "entity": ID,
                "currency": ID,
                "postingperiod": ID,
                "terms": ID,
                "status": TEXT,
                "approvalstatus": TEXT,
                "memo": TEXT,
                "custbody_tieout_project": TEXT,
                "custbody_tieout_period": TEXT,
                "exchangerate": FX,
                "foreigntotal": LEDGER,
                "posting": LETTER,
                "voided": LETTER,
                "trandate": DATE,
                "duedate": DATE,
                "closedate": DATE,
                "createddate": TIME,
                "lastmodifieddate": TIME,
            }
        ),
    ),
    Table(
        name="transactionline",
        vendor_object="transactionline",
        description="One row per line of a document; `mainline` T is its total, `taxline` T tax; revenue is negative.",
        key=("transaction", "id"),
        rides_with="transaction",
        replaces="transaction",
        deletes=Deletes.WITH_PARENT,
        columns=fields(
            {
                "transaction": ID,
                "id": ID,
                "uniquekey": ID,
                "linesequencenumber": COUNT,
                "item": ID,
                "entity": ID,
                "subsidiary": ID,
                "department": ID,
                "class": ID,
                "location": ID,
                "createdfrom": ID,
                "memo": TEXT,
                "custcol_tieout_source": TEXT,
                "quantity": LEDGER,
                "rate": LEDGER,
                "foreignamount": LEDGER,
                "netamount": LEDGER,
                "foreignamountpaid": LEDGER,
                "foreignamountunpaid": LEDGER,
                "mainline": LETTER,
                "taxline": LETTER,
                "isbillable": LETTER,
                "isclosed": LETTER,
                "linelastmodifieddate": TIME,
            }
        ),
    ),
    Table(
        name="transactionaccountingline",
        vendor_object="transactionaccountingline",
        description="One row per line and accounting book: what was posted, in the entity's base currency.",
        key=("transaction", "transactionline", "accountingbook"),
        rides_with="transaction",
        replaces="transaction",
        deletes=Deletes.WITH_PARENT,
        columns=fields(
            {
                "transaction": ID,
                "transactionline": ID,
                "accountingbook": ID,
                "account": ID,
                "amount": LEDGER,
                "debit": LEDGER,
                "credit": LEDGER,
                "netamount": LEDGER,
                "amountpaid": LEDGER,
                "amountunpaid": LEDGER,
                "exchangerate": FX,
                "posting": LETTER,
            }
        ),
    ),
    Table(
        name="nexttransactionlinelink",
        vendor_object="nexttransactionlinelink",
        description="One row per application of a payment or credit (`nextdoc`) to an invoice (`previousdoc`).",
        key=("previousdoc", "previousline", "nextdoc", "nextline", "linktype"),
        rides_with="transaction",
        replaces="nextdoc",
        deletes=Deletes.WITH_PARENT,
        columns=fields(
            {
                "previousdoc": ID,
                "previousline": ID,
                "previoustype": TEXT,
                "nextdoc": ID,
                "nextline": ID,
                "nexttype": TEXT,
                "linktype": TEXT,
                "foreignamount": LEDGER,
            }
        ),
    ),
    Table(
        name="deletedrecord",
        vendor_object="deletedrecord",
        description="One row per deleted record, as the ledger itself lists them.",
        key=("type", "recordid"),
        cursor="deleteddate",
        deletes=Deletes.NEVER,
        columns=fields(
            {"recordid": ID, "recordtypeid": TEXT, "type": TEXT, "name": TEXT, "deletedby": TEXT, "deleteddate": TIME}
        ),
    ),
)

# What a deleted record is called in `deletedrecord.type`, by raw table.
_DELETED_TYPES: Mapping[str, tuple[str, ...]] = {
    "customer": ("customer", "custjob"),
    "job": ("job", "project"),
    "employee": ("employee",),
    "transaction": tuple(
        sorted(
            {name.lower() for name in DOCUMENTS}
            | {
                "invoice",
                "creditmemo",
                "credit memo",
                "customerpayment",
                "payment",
                "customerrefund",
                "customerdeposit",
            }
        )
    ),
}


def _tombstones(table: str, types: Sequence[str]) -> str:
    names = ", ".join(f"'{name}'" for name in types)
    return (
        f'UPDATE raw_netsuite."{table}" AS t SET _deleted_at = d.deleteddate FROM raw_netsuite.deletedrecord AS d'
        " WHERE t._connection = $1 AND d._connection = t._connection AND d.recordid = t.id"
        f" AND lower(d.type) IN ({names}) AND t._deleted_at IS NULL"
    )


def _follow(table: str, column: str) -> str:
    return (
        f'UPDATE raw_netsuite."{table}" AS t SET _deleted_at = d._deleted_at FROM raw_netsuite."transaction" AS d'
        f' WHERE t._connection = $1 AND d._connection = t._connection AND d.id = t."{column}"'
        " AND d._deleted_at IS NOT NULL AND t._deleted_at IS NULL"
    )


# Run after each load, in this order: (table, tables it looks at, statement). Ids are only unique within their kind.
AFTER_LOAD: tuple[tuple[str, tuple[str, ...], str], ...] = (
    *((table, ("deletedrecord",), _tombstones(table, types)) for table, types in _DELETED_TYPES.items()),
    ("transactionline", ("transaction",), _follow("transactionline", "transaction")),
    ("transactionaccountingline", ("transaction",), _follow("transactionaccountingline", "transaction")),
    ("nexttransactionlinelink", ("transaction",), _follow("nexttransactionlinelink", "nextdoc")),
)


class NetSuiteReader:
    """Reads by SuiteQL: whole tables by key, changes by modification date, documents by id.

    A payment or credit changes what is open on an invoice without moving the invoice's own date. So an incremental read
    takes the documents that moved, the invoices that moved payments and credits are applied to, and every document that
    is still open; rows that turn out unchanged are dropped by their fingerprint.
    """

    omits_nulls = True

    def __init__(self, client: NetSuiteClient, run: Run) -> None:
        self.client = client
        self.run = run
        self._touched: tuple[Window, list[str]] | None = None

    def now(self) -> datetime:
        self.client.ping()
        return self.client.server_time or datetime.now(UTC)

    def describe(self, table: Table) -> Mapping[str, str]:
        """SuiteQL does not describe itself: one query for one row tells whether all columns are there."""
        prefix = f"{table.name}."
        wanted = [
            *table.columns,
            *(n.removeprefix(prefix) for n in self.run.options.extra_columns if n.startswith(prefix)),
        ]
        try:
            self._probe(table, wanted)
        except Refused as refusal:
            there = [column for column in wanted if self._has(table, column)]
            if not there:
                raise refusal
            wanted = there
        return dict.fromkeys(wanted, "")

    def _probe(self, table: Table, columns: Sequence[str]) -> None:
        self.client.suiteql_page(f"SELECT {', '.join(columns)} FROM {table.vendor_object}", limit=1)

    def _has(self, table: Table, column: str) -> bool:
        try:
            self._probe(table, [column])
        except Refused:
            return False
        return True

    def expected(self, kind: pa.DataType) -> frozenset[str]:
        return frozenset()

    def read(self, table: Table, window: Window, fields: Sequence[str]) -> Iterator[Sequence[Row] | bytes]:
        select = _select(table, fields)
        if table.name == "transaction" or table.rides_with:
            yield from self._documents(table, window, select)
        elif table.cursor is None:
            yield from self._counted(table, select, "", [])
        else:
            conditions = [f"t.{table.cursor} <= {_moment(window.until)}"]
            if window.since is not None:
                conditions.append(f"t.{table.cursor} >= {_moment(window.since)}")
            yield from self._counted(table, select, " AND ".join(conditions), [])

    def _counted(self, table: Table, select: str, where: str, params: list[Any]) -> Iterator[list[dict[str, Any]]]:
        """All rows of a query; more than one query holds are read by key. The ledger's own count must be reached."""
        clause = f" WHERE {where}" if where else ""
        counted = self.client.suiteql_page(f"SELECT COUNT(*) AS n FROM {table.vendor_object} t{clause}", params)
        expected = int(counted.rows[0]["n"])
        read = 0
        if "id" in table.columns:
            pages: Iterable[list[dict[str, Any]]] = self.client.suiteql_keyset(select, "t.id", params, where=where)
        else:
            pages = self.client.suiteql(f"{select}{clause}", params)
        for rows in pages:
            read += len(rows)
            yield rows
        if read < expected:
            raise self._truncated(table, expected, read)

    def _truncated(self, table: Table, expected: int, read: int) -> TruncatedRead:
        return TruncatedRead(
            f"the ledger counts {expected} rows of {table.vendor_object}, but {read} arrived.",
            connection=self.run.connection,
            table=table.name,
            next_step="Run again; if it stays so, check the integration role's restrictions.",
        )

    def _documents(self, table: Table, window: Window, select: str) -> Iterator[list[dict[str, Any]]]:
        if table.name == "transaction" and window.since is None:
            yield from self._counted(
                table, select, f"{_is_document('t')} AND t.lastmodifieddate <= {_moment(window.until)}", []
            )
            return
        touched = self.touched(window)
        column = {"transaction": "id"}.get(table.name) or str(table.replaces)
        if table.replaces:
            self.run.parents[table.name] = touched
        for at in range(0, len(touched), GROUP):
            yield from self._group(table, select, column, touched[at : at + GROUP])

    def _group(self, table: Table, select: str, column: str, ids: list[str]) -> Iterator[list[dict[str, Any]]]:
        query = f"{select} WHERE t.{column} IN ({', '.join(ids)})"
        order = ", ".join(f"t.{name}" for name in table.key)
        pages = self.client.suiteql(f"{query} ORDER BY {order}")
        try:
            rows = next(pages)
        except BadAnswer:  # more than one query gives
            if len(ids) == 1:
                raise
            yield from self._group(table, select, column, ids[: len(ids) // 2])
            yield from self._group(table, select, column, ids[len(ids) // 2 :])
            return
        yield rows
        for following in pages:
            if len(rows) < PAGE:
                raise self._truncated(table, PAGE, len(rows))
            rows = following
            yield rows

    def touched(self, window: Window) -> list[str]:
        """Ids of documents whose content may have changed in the window, in numeric order; asked for once a run."""
        if self._touched is not None and self._touched[0].since == window.since:
            return self._touched[1]
        until = _moment(window.until)
        found: set[str] = set()
        if window.since is None:
            queries = [("transaction t", "t.id", f"{_is_document('t')} AND t.lastmodifieddate <= {until}")]
        else:
            since = _moment(window.since)
            moved = f"lastmodifieddate >= {since}"
            queries = [
                ("transaction t", "t.id", f"{_is_document('t')} AND t.{moved} AND t.lastmodifieddate <= {until}"),
                ("transaction t", "t.id", "t.type IN ('CustInvc', 'CustCred') AND t.status = 'A'"),
                (
                    "nexttransactionlinelink l JOIN transaction p ON p.id = l.nextdoc JOIN transaction t ON"
                    " t.id = l.previousdoc",
                    "t.id",
                    f"p.{moved} AND {_is_document('t')}",
                ),
            ]
        for tables, key, where in queries:
            for rows in self._ids_of(tables, key, where):
                found.update(rows)
        ids = sorted(found, key=int)
        self._touched = (window, ids)
        return ids

    def _ids_of(self, tables: str, key: str, where: str) -> Iterator[list[str]]:
        distinct = "DISTINCT " if "JOIN" in tables else ""
        for rows in self.client.suiteql_keyset(f"SELECT {distinct}{key} AS id FROM {tables}", key, where=where):
            yield [str(row["id"]) for row in rows]

    def ids(self, table: Table) -> Iterator[Sequence[str]]:
        yield from self._ids_of(f"{table.vendor_object} t", "t.id", "")

    def count(self, table: Table) -> int | None:
        page = self.client.suiteql_page(f"SELECT COUNT(*) AS n FROM {table.vendor_object}")
        return int(page.rows[0]["n"])

    def gone(self, table: Table, window: Window) -> Iterable[str]:
        return ()

    def deletion(self, table: Table) -> tuple[str | None, str] | None:
        return None


def _select(table: Table, fields: Sequence[str]) -> str:
    """Dates are asked for in a form that does not depend on the user's preferences."""
    shown = []
    for name in fields:
        kind = table.columns[name][1] if name in table.columns else TEXT
        if pa.types.is_date(kind):
            shown.append(f"TO_CHAR(t.{name}, 'YYYY-MM-DD') AS {name}")
        elif pa.types.is_timestamp(kind):
            shown.append(f"TO_CHAR(t.{name}, 'YYYY-MM-DD HH24:MI:SS') AS {name}")
        else:
            shown.append(f"t.{name}")
    return f"SELECT {', '.join(shown)} FROM {table.vendor_object} t"


def _moment(moment: datetime) -> str:
    return f"TO_DATE('{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}', 'YYYY-MM-DD HH24:MI:SS')"


def _is_document(alias: str) -> str:
    types = ", ".join(f"'{name}'" for name in DOCUMENTS)
    return f"{alias}.type IN ({types})"


# Probed by `ingestion.changes`: one query for all of them.
WATCHED = ("customer", "job", "employee", "transaction", "deletedrecord")


def newest(client: NetSuiteClient, tables: Sequence[Table]) -> dict[str, str]:
    """Newest change and number of rows by table, in one query."""
    parts = [
        f"SELECT '{table.name}' AS name, TO_CHAR(MAX({table.cursor}), 'YYYY-MM-DD HH24:MI:SS') AS newest,"
        f" COUNT(*) AS n FROM {table.vendor_object}"
        for table in tables
    ]
    rows = client.suiteql_page(" UNION ALL ".join(parts)).rows
    return {
        str(row["name"]): snapshot(
            datetime.fromisoformat(row["newest"]).replace(tzinfo=UTC) if row.get("newest") else None, int(row["n"])
        )
        for row in rows
    }


def open_reader(client: Any, run: Run) -> NetSuiteReader:
    """The reader of one run."""
    return NetSuiteReader(client, run)
