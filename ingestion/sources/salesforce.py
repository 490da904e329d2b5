"""Salesforce: accounts, contacts, deals and their lines, products, people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingestion.changes import snapshot
from ingestion.errors import TruncatedRead
from ingestion.reading import Row, Run, Window
from ingestion.tables import COUNT, DATE, FLAG, FX, ID, MONEY, RATIO, TEXT, TIME, Deletes, Table, fields

if TYPE_CHECKING:
    from platforms.salesforce.client import SalesforceClient

# A Bulk job costs four calls and seconds of waiting; below this many rows (five REST pages) REST is quicker.
BULK_ROWS = 10_000

SYSTEM = {
    "Id": ID,
    "IsDeleted": FLAG,
    "CreatedDate": TIME,
    "CreatedById": ID,
    "LastModifiedDate": TIME,
    "LastModifiedById": ID,
    "SystemModstamp": TIME,
}

TABLES: tuple[Table, ...] = (
    Table(
        name="account",
        vendor_object="Account",
        description="One row per Account: customers and prospects, with what invoicing needs to know about them.",
        cursor="SystemModstamp",
        deletes=Deletes.FLAGGED,
        columns=fields(
            SYSTEM,
            {
                "MasterRecordId": ID,
                "Name": TEXT,
                "Type": TEXT,
                "ParentId": ID,
                "OwnerId": ID,
                "AccountNumber": TEXT,
                "Industry": TEXT,
                "Phone": TEXT,
                "Website": TEXT,
                "AnnualRevenue": MONEY,
                "NumberOfEmployees": COUNT,
                "BillingStreet": TEXT,
                "BillingCity": TEXT,
                "BillingState": TEXT,
                "BillingPostalCode": TEXT,
                "BillingCountry": TEXT,
                "BillingCountryCode": TEXT,
                "CurrencyIsoCode": TEXT,
                "VAT_Number__c": TEXT,
                "Legal_Name__c": TEXT,
                "Payment_Terms__c": TEXT,
                "PO_Required__c": FLAG,
                "Billing_Email__c": TEXT,
                "Tieout_Invoiced__c": MONEY,
                "Tieout_Paid__c": MONEY,
                "Tieout_Open__c": MONEY,
                "Tieout_Overdue__c": MONEY,
                "Tieout_Other_Currencies__c": TEXT,
            },
        ),
    ),
    Table(
        name="contact",
        vendor_object="Contact",
        description="One row per Contact: a person at an account.",
        cursor="SystemModstamp",
        deletes=Deletes.FLAGGED,
        columns=fields(
            SYSTEM,
            {
                "MasterRecordId": ID,
                "AccountId": ID,
                "OwnerId": ID,
                "ReportsToId": ID,
                "LastName": TEXT,
                "FirstName": TEXT,
                "Name": TEXT,
                "Email": TEXT,
                "Title": TEXT,
                "Department": TEXT,
                "Phone": TEXT,
                "MobilePhone": TEXT,
            },
        ),
    ),
    Table(
        name="opportunity",
        vendor_object="Opportunity",
        description="One row per Opportunity: a deal, its contract terms, and what Tieout wrote back on it.",
        cursor="SystemModstamp",
        deletes=Deletes.FLAGGED,
        columns=fields(
            SYSTEM,
            {
                "AccountId": ID,
                "OwnerId": ID,
                "Pricebook2Id": ID,
                "Name": TEXT,
                "StageName": TEXT,
                "Type": TEXT,
                "LeadSource": TEXT,
                "NextStep": TEXT,
                "ForecastCategory": TEXT,
                "ForecastCategoryName": TEXT,
                "CurrencyIsoCode": TEXT,
                "Amount": MONEY,
                "Probability": RATIO,
                "FiscalYear": COUNT,
                "FiscalQuarter": COUNT,
                "IsClosed": FLAG,
                "IsWon": FLAG,
                "HasOpportunityLineItem": FLAG,
                "CloseDate": DATE,
                "LastStageChangeDate": TIME,
                "Billing_Type__c": TEXT,
                "Contract_Start__c": DATE,
                "Contract_End__c": DATE,
                "Legal_Entity__c": TEXT,
                "PO_Number__c": TEXT,
                "Delivery_Lead_Email__c": TEXT,
                "Tieout_Project_Id__c": TEXT,
                "Tieout_Project_Link__c": TEXT,
                "Tieout_Project_Status__c": TEXT,
                "Tieout_Sync_Status__c": TEXT,
                "Tieout_Sync_Reason__c": TEXT,
                "Tieout_Invoiced__c": MONEY,
                "Tieout_Paid__c": MONEY,
                "Tieout_Open__c": MONEY,
                "Tieout_Overdue__c": MONEY,
                "Tieout_Last_Payment_Date__c": DATE,
                "Tieout_Percent_Complete__c": RATIO,
            },
        ),
    ),
    Table(
        name="opportunity_line_item",
        vendor_object="OpportunityLineItem",
        description="One row per OpportunityLineItem: a product on a deal; role, hours, milestone date.",
        cursor="SystemModstamp",
        deletes=Deletes.FLAGGED,
        columns=fields(
            SYSTEM,
            {
                "OpportunityId": ID,
                "PricebookEntryId": ID,
                "Product2Id": ID,
                "ProductCode": TEXT,
                "Name": TEXT,
                "Description": TEXT,
                "CurrencyIsoCode": TEXT,
                "Quantity": RATIO,
                "UnitPrice": MONEY,
                "TotalPrice": MONEY,
                "ListPrice": MONEY,
                "Discount": RATIO,
                "SortOrder": COUNT,
                "ServiceDate": DATE,
                "Role__c": TEXT,
                "Hours__c": RATIO,
            },
        ),
    ),
    Table(
        name="opportunity_stage",
        vendor_object="OpportunityStage",
        description="One row per stage a deal can stand in, and what the stage means (won, closed, forecast).",
        cursor=None,
        deletes=Deletes.UNLISTED,
        columns=fields(
            {
                "Id": ID,
                "MasterLabel": TEXT,
                "ApiName": TEXT,
                "IsActive": FLAG,
                "SortOrder": COUNT,
                "IsClosed": FLAG,
                "IsWon": FLAG,
                "ForecastCategory": TEXT,
                "ForecastCategoryName": TEXT,
                "DefaultProbability": RATIO,
                "SystemModstamp": TIME,
            }
        ),
    ),
    Table(
        name="product2",
        vendor_object="Product2",
        description="One row per product that can stand on a deal.",
        cursor="SystemModstamp",
        deletes=Deletes.FLAGGED,
        columns=fields(
            SYSTEM,
            {
                "Name": TEXT,
                "ProductCode": TEXT,
                "Description": TEXT,
                "Family": TEXT,
                "IsActive": FLAG,
                "ExternalId": TEXT,
                "QuantityUnitOfMeasure": TEXT,
                "StockKeepingUnit": TEXT,
                "CurrencyIsoCode": TEXT,
            },
        ),
    ),
    Table(
        name="user",
        vendor_object="User",
        description="One row per user of the org: owners of accounts and deals; made inactive, never deleted.",
        cursor="SystemModstamp",
        deletes=Deletes.NEVER,
        columns=fields(
            {
                "Id": ID,
                "Username": TEXT,
                "Name": TEXT,
                "FirstName": TEXT,
                "LastName": TEXT,
                "Email": TEXT,
                "Title": TEXT,
                "Department": TEXT,
                "ManagerId": ID,
                "IsActive": FLAG,
                "CreatedDate": TIME,
                "LastModifiedDate": TIME,
                "SystemModstamp": TIME,
            }
        ),
    ),
    Table(
        name="currency_type",
        vendor_object="CurrencyType",
        description="One row per currency of a multi-currency org, with its rate to the corporate currency.",
        deletes=Deletes.UNLISTED,
        optional=True,
        columns=fields(
            {
                "Id": ID,
                "IsoCode": TEXT,
                "ConversionRate": FX,
                "DecimalPlaces": COUNT,
                "IsActive": FLAG,
                "IsCorporate": FLAG,
                "SystemModstamp": TIME,
            }
        ),
    ),
)

_TEXTS = (
    "id string textarea picklist multipicklist combobox reference phone url email encryptedstring anyType time address"
    " location complexvalue json base64"
)
_EXPECTED = {
    TEXT: _TEXTS,
    FLAG: "boolean",
    DATE: "date",
    TIME: "datetime",
    COUNT: "int long double",
}
_NUMBERS = "currency double percent int long"


class SalesforceReader:
    """Reads by SOQL: small windows through REST pages, big ones through a Bulk API 2.0 job as CSV, chosen by COUNT."""

    omits_nulls = True

    def __init__(self, client: SalesforceClient, run: Run, *, bulk_rows: int = BULK_ROWS) -> None:
        self.client = client
        self.run = run
        self.bulk_rows = bulk_rows
        self._fields: dict[str, dict[str, str]] = {}

    def now(self) -> datetime:
        self.client.limits()
        return self.client.server_time or datetime.now(UTC)

    def describe(self, table: Table) -> Mapping[str, str]:
        described = self.client.describe(table.vendor_object)
        found = {str(field["name"]): str(field["type"]) for field in described["fields"]}
        self._fields[table.name] = found
        return found

    def expected(self, kind: pa.DataType) -> frozenset[str]:
        return frozenset((_NUMBERS if pa.types.is_decimal(kind) else _EXPECTED.get(kind, _TEXTS)).split())

    def read(self, table: Table, window: Window, fields: Sequence[str]) -> Iterator[Sequence[Row] | bytes]:
        where = self._where(table, window)
        deleted_too = "IsDeleted" in self._fields.get(table.name, {})
        count = self.client.count(f"SELECT COUNT() FROM {table.vendor_object}{where}")
        query = f"SELECT {', '.join(fields)} FROM {table.vendor_object}{where}"
        if count >= self.bulk_rows:
            # The client checks the pages against the job's own count.
            yield from self.client.bulk_query_csv(query, all_rows=deleted_too)
            return
        read = 0
        for page in self.client.query_pages(query, all_rows=deleted_too):
            read += len(page)
            yield page
        if read < count:
            raise TruncatedRead(
                f"the org counts {count} rows of {table.vendor_object}{where}, but {read} arrived.",
                connection=self.run.connection,
                table=table.name,
                next_step="Run again; if it stays so, check what is shared with the integration user.",
            )

    def _where(self, table: Table, window: Window) -> str:
        from platforms.salesforce.client import soql_instant

        if table.cursor is None:
            return ""
        upper = f"{table.cursor} <= {soql_instant(window.until)}"
        if window.since is None:
            return f" WHERE {upper}"
        return f" WHERE {table.cursor} >= {soql_instant(window.since)} AND {upper}"

    def ids(self, table: Table) -> Iterator[Sequence[str]]:
        for page in self.client.query_pages(f"SELECT Id FROM {table.vendor_object}"):
            yield [str(row["Id"]) for row in page]

    def count(self, table: Table) -> int | None:
        return self.client.count(f"SELECT COUNT() FROM {table.vendor_object}")

    def gone(self, table: Table, window: Window) -> Iterable[str]:
        return ()

    def deletion(self, table: Table) -> tuple[str | None, str] | None:
        return ("IsDeleted", "SystemModstamp") if "IsDeleted" in table.columns else None


# Probed by `ingestion.changes`: one call for all of them.
WATCHED = ("account", "contact", "opportunity", "opportunity_line_item", "product2", "user")


def newest(client: SalesforceClient, tables: Sequence[Table]) -> dict[str, str]:
    """Newest change and number of rows by table, in one call."""
    found = client.newest_change([table.vendor_object for table in tables])
    return {t.name: snapshot(found[t.vendor_object].newest, found[t.vendor_object].count) for t in tables}


def open_reader(client: Any, run: Run) -> SalesforceReader:
    """The reader of one run."""
    return SalesforceReader(client, run)
