"""What records the sandbox ledger holds: one table per SuiteQL table, one field list per REST record type.

A field list is a text table, one field a line: `restName kind [option ...]`. Kinds: `str int dec bool date datetime
duration`, `ref:<record>` and `enum:<set>`. Options: `col=` the SuiteQL column where it is not the lower-cased REST
name; `req` mandatory on create; `ro` set by the ledger; `hide` not in SuiteQL; `sql` only in SuiteQL; `nofilter` not
usable in `q`.

SQLite has no decimal type. Every amount is rounded to its currency's precision *before* it is stored, and a double
keeps 15 significant digits, so `Decimal(repr(value))` gives back exactly what was stored; sums are printed with
15 digits.
Dates are `YYYY-MM-DD`; moments are `YYYY-MM-DD HH:MM:SS` in UTC, without the time part at midnight, so that text order
is time order and a date equals the midnight it begins with (which is how SuiteQL compares them).
"""

from __future__ import annotations

from dataclasses import dataclass, field

ENUMS: dict[str, dict[str, str]] = {
    "approval": {"1": "Pending Approval", "2": "Approved", "3": "Rejected", "11": "Open"},
    "invoicestatus": {"A": "Open", "B": "Paid In Full", "D": "Pending Approval", "E": "Rejected", "V": "Voided"},
    "creditstatus": {"A": "Open", "B": "Fully Applied", "V": "Voided"},
    "paymentstatus": {"A": "Unapproved Payment", "B": "Not Deposited", "C": "Deposited", "V": "Voided"},
    "expensestatus": {
        "A": "In Progress",
        "B": "Pending Supervisor Approval",
        "C": "Pending Accounting Approval",
        "D": "Rejected by Supervisor",
        "E": "Rejected by Accounting",
        "F": "Approved by Accounting",
        "I": "Paid In Full",
        "V": "Voided",
    },
    "jobstatus": {"1": "Closed", "2": "In Progress", "3": "Cancelled", "4": "Pending", "5": "Awarded"},
    "jobbilling": {
        "1": "Charge-Based",
        "2": "Fixed Bid, Interval",
        "3": "Fixed Bid, Milestone",
        "4": "Time and Materials",
        "5": "Non-Billable",
    },
    "timeapproval": {"1": "No Approval", "2": "Supervisor", "3": "Project Manager", "4": "Both"},
    "timestatus": {"1": "Open", "2": "Pending Approval", "3": "Approved", "4": "Rejected"},
    "timetype": {"A": "Actual", "B": "Budgeted", "P": "Planned"},
    "taskstatus": {"NOTSTART": "Not Started", "PROGRESS": "In Progress", "COMPLETE": "Completed"},
    "country": {
        code: name
        for code, name in (
            row.split("=")
            for row in [
                "US=United States",
                "GB=United Kingdom",
                "DE=Germany",
                "FR=France",
                "NL=Netherlands",
                "AT=Austria",
                "BE=Belgium",
                "CH=Switzerland",
                "IE=Ireland",
                "ES=Spain",
                "IT=Italy",
                "SE=Sweden",
                "DK=Denmark",
                "NO=Norway",
                "FI=Finland",
                "PL=Poland",
                "PT=Portugal",
                "CZ=Czech Republic",
                "LU=Luxembourg",
                "CA=Canada",
                "MX=Mexico",
                "BR=Brazil",
                "AU=Australia",
                "NZ=New Zealand",
                "JP=Japan",
                "SG=Singapore",
                "IN=India",
                "AE=United Arab Emirates",
                "ZA=South Africa",
                "GR=Greece",
                "HU=Hungary",
                "RO=Romania",
                "BG=Bulgaria",
                "HR=Croatia",
                "SK=Slovakia",
                "SI=Slovenia",
                "EE=Estonia",
                "LV=Latvia",
                "LT=Lithuania",
                "CY=Cyprus",
                "MT=Malta",
                "IL=Israel",
                "KR=Korea",
                "CN=China",
                "HK=Hong Kong",
            ]
        )
    },
    "chargestage": {
        "HOLD": "Hold",
        "NON_BILLABLE": "Non-Billable",
        "READY_FOR_BILLING": "Ready",
        "PROCESSED": "Processed",
    },
    "accttype": {
        "Bank": "Bank",
        "AcctRec": "Accounts Receivable",
        "OthCurrAsset": "Other Current Asset",
        "OthCurrLiab": "Other Current Liability",
        "AcctPay": "Accounts Payable",
        "Income": "Income",
        "OthIncome": "Other Income",
        "Expense": "Expense",
    },
    "itemtype": {"Service": "Service", "NonInvtPart": "Non-inventory Item", "OthCharge": "Other Charge"},
    "itemsubtype": {"Sale": "Sale", "Resale": "Resale", "Purchase": "Purchase"},
    "trantype": {
        "CustInvc": "Invoice",
        "CustCred": "Credit Memo",
        "CustPymt": "Payment",
        "ExpRept": "Expense Report",
        "FxReval": "Currency Revaluation",
    },
}

EU = frozenset(
    [
        "DE",
        "FR",
        "NL",
        "AT",
        "BE",
        "IE",
        "ES",
        "IT",
        "SE",
        "DK",
        "FI",
        "PL",
        "PT",
        "CZ",
        "LU",
        "GR",
        "HU",
        "RO",
        "BG",
        "HR",
        "SK",
        "SI",
        "EE",
        "LV",
        "LT",
        "CY",
        "MT",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a record: its REST name, its column, and what may be done with it."""

    name: str
    column: str
    kind: str
    target: str = ""
    required: bool = False
    read_only: bool = False
    in_suiteql: bool = True
    in_rest: bool = True
    filterable: bool = True

    @property
    def sql_type(self) -> str:
        if self.kind in ("int", "ref"):
            return "INTEGER"
        return "REAL" if self.kind == "dec" else "TEXT"


@dataclass(frozen=True, kw_only=True)
class Sublist:
    """Lines under a record. `key` names the line field by which PATCH finds the line it merges with (REST name)."""

    name: str
    table: str
    parent: str
    key: str
    fields: tuple[Field, ...]
    where: str = "1"
    order: str = "rowid"

    def field(self, name: str) -> Field | None:
        return next((f for f in self.fields if f.name.lower() == name.lower()), None)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One REST record type. Several may share a table (`item`, `transaction`), told apart by `where`."""

    name: str
    table: str
    label: str
    fields: tuple[Field, ...]
    where: dict[str, str] = field(default_factory=dict)
    sublists: tuple[Sublist, ...] = ()
    custom: tuple[str, ...] = ()
    writable: bool = True

    def field(self, name: str) -> Field | None:
        """The field with this REST name or column, in any case; None when the record has no such field."""
        return self._by_name().get(name.lower())

    def sublist(self, name: str) -> Sublist | None:
        return next((s for s in self.sublists if s.name.lower() == name.lower()), None)

    def _by_name(self) -> dict[str, Field]:
        cached: dict[str, Field] | None = self.__dict__.get("_names")
        if cached is None:
            cached = {f.column: f for f in self.fields} | {f.name.lower(): f for f in self.fields}
            object.__setattr__(self, "_names", cached)
        return cached


def fields(text: str) -> tuple[Field, ...]:
    """Parse a field list (see the module's docstring)."""
    out = []
    for line in text.strip().splitlines():
        words = line.split()
        if not words:
            continue
        name, kind, options = words[0], words[1], words[2:]
        kind, _, target = kind.partition(":")
        column = next((o[4:] for o in options if o.startswith("col=")), name.lower())
        out.append(
            Field(
                name=name,
                column=column,
                kind=kind,
                target=target,
                required="req" in options,
                read_only="ro" in options or "sql" in options,
                in_suiteql="hide" not in options,
                in_rest="sql" not in options,
                filterable="nofilter" not in options and "sql" not in options,
            )
        )
    return tuple(out)


_AUDIT = """
externalId str
dateCreated datetime ro
lastModifiedDate datetime ro
"""

_ADDRESS = Sublist(
    name="addressBook",
    table="customeraddressbook",
    parent="entity",
    key="id",
    fields=fields("""
id int col=internalid
defaultBilling bool
defaultShipping bool
label str
"""),
)
ADDRESS = fields("""
addressee str
attention str
addr1 str
addr2 str
city str
state str
zip str
country enum:country
""")

_LINE = fields("""
line int col=id
item ref:item
quantity dec
rate dec
amount dec hide
description str col=memo
price ref:pricelevel hide
taxCode ref:salesTaxItem
taxRate1 dec ro hide
tax1Amt dec ro hide
grossAmt dec ro hide
isTaxable bool ro hide
job ref:job
department ref:department
class ref:classification
location ref:location
lineUniqueKey int ro col=uniquekey
custcol_tieout_source str
""")
_APPLY = fields("""
line int
doc ref:transaction
apply bool
amount dec
applyDate date ro
due dec ro
total dec ro
refNum str ro
type str ro
currency str ro
""")

_BODY = """
id int ro
type str sql
abbrevType str sql
tranId str
transactionNumber str ro
externalId str
entity ref:customer req
tranDate date
dueDate date
closeDate date sql
status enum:invoicestatus ro
approvalStatus enum:approval
subsidiary ref:subsidiary hide
currency ref:currency
exchangeRate dec
foreignTotal dec sql
posting bool sql
postingPeriod ref:accountingPeriod
voided bool sql
memo str
otherRefNum str
terms ref:term
account ref:account hide
job ref:job hide
startDate date
endDate date
email str
subtotal dec ro hide
discountTotal dec ro hide
taxTotal dec ro hide
total dec ro hide
amountPaid dec ro hide
amountRemaining dec ro hide
createdFrom ref:transaction hide
nexus str sql
createdDate datetime ro
lastModifiedDate datetime ro
createdBy int sql
lastModifiedBy int sql
voidReason str hide
custbody_tieout_project str
custbody_tieout_period str
"""


def _body(*, entity: str = "entity", status: str, drop: str = "", add: str = "") -> tuple[Field, ...]:
    gone = set(drop.split())
    lines = []
    for line in (_BODY + add).strip().splitlines():
        words = line.split()
        if words[0] in gone:
            continue
        if words[0] == "entity" and entity != "entity":
            line = line.replace("entity ref", f"{entity} ref", 1) + " col=entity"
        lines.append(line.replace("enum:invoicestatus", f"enum:{status}"))
    return fields("\n".join(lines))


_ITEMS = Sublist(
    name="item", table="transactionline", parent="transaction", key="line", fields=_LINE,
    where="mainline = 'F' AND taxline = 'F' AND item IS NOT NULL", order="linesequencenumber",
)  # fmt: skip
_APPLIES = Sublist(name="apply", table="", parent="", key="doc", fields=_APPLY)
_EXPENSES = Sublist(
    name="expense", table="transactionline", parent="transaction", key="line",
    where="mainline = 'F'", order="linesequencenumber",
    fields=fields("""
line int col=id
expenseDate date
category ref:expenseCategory
customer ref:customer col=entity
amount dec hide
memo str
isBillable bool
currency ref:currency hide
"""),
)  # fmt: skip

_ITEM = """
id int ro
itemId str req
itemType enum:itemtype sql
subtype enum:itemsubtype sql
displayName str
description str
fullName str ro
incomeAccount ref:account
taxSchedule ref:taxSchedule
salesTaxCode ref:salesTaxItem hide
subsidiary str sql
rate dec hide
isInactive bool
externalId str
createdDate datetime ro
lastModifiedDate datetime ro
"""


def _item(name: str, itemtype: str, subtype: str) -> Record:
    return Record(
        name=name, table="item", label="Item", fields=fields(_ITEM), where={"itemtype": itemtype, "subtype": subtype}
    )


RECORDS: tuple[Record, ...] = (
    Record(
        name="subsidiary", table="subsidiary", label="Subsidiary",
        fields=fields("""
id int ro
name str req
fullName str
legalName str
parent ref:subsidiary
currency ref:currency
country enum:country
fiscalCalendar int
isElimination bool
isInactive bool
tranPrefix str
federalIdNumber str
externalId str
lastModifiedDate datetime ro
"""),
    ),
    Record(
        name="currency", table="currency", label="Currency",
        fields=fields("""
id int ro
name str req
symbol str req
exchangeRate dec
currencyPrecision int
isBaseCurrency bool ro
isInactive bool
externalId str
lastModifiedDate datetime ro
"""),
    ),
    Record(
        name="currencyRate", table="currencyrate", label="Currency Exchange Rate",
        fields=fields("""
id int ro
baseCurrency ref:currency req
transactionCurrency ref:currency req
exchangeRate dec req
effectiveDate date req
externalId str
lastModifiedDate datetime ro
"""),
    ),
    Record(
        name="term", table="term", label="Term",
        fields=fields("""
id int ro
name str req
daysUntilNetDue int
isInactive bool
externalId str
lastModifiedDate datetime ro
"""),
    ),
    Record(
        name="account", table="account", label="Account",
        fields=fields("""
id int ro
acctNumber str
acctName str col=displayname req
acctType enum:accttype req
fullName str ro
currency ref:currency
isInactive bool
externalId str
lastModifiedDate datetime ro
"""),
    ),
    Record(
        name="accountingPeriod", table="accountingperiod", label="Accounting Period", writable=False,
        fields=fields("""
id int ro
periodName str
startDate date
endDate date
closed bool
closedOnDate date
arLocked bool
apLocked bool
allLocked bool
isPosting bool
isAdjust bool
isQuarter bool
isYear bool
parent ref:accountingPeriod
lastModifiedDate datetime ro
"""),
    ),
    Record(
        name="salesTaxItem", table="salestaxitem", label="Tax Code",
        fields=fields("""
id int ro
itemId str req
description str
rate dec req
country enum:country
subsidiary ref:subsidiary
isInactive bool
externalId str
lastModifiedDate datetime ro
"""),
    ),
    _item("serviceSaleItem", "Service", "Sale"),
    _item("serviceResaleItem", "Service", "Resale"),
    _item("nonInventorySaleItem", "NonInvtPart", "Sale"),
    _item("otherChargeSaleItem", "OthCharge", "Sale"),
    Record(
        name="customer", table="customer", label="Customer", sublists=(_ADDRESS,),
        custom=("custentity_tieout_account",),
        fields=fields("""
id int ro
entityId str
companyName str
altName str ro
isPerson bool
firstName str
lastName str
email str
phone str
url str
comments str
subsidiary ref:subsidiary
currency ref:currency
terms ref:term
taxItem ref:salesTaxItem
vatRegNumber str
parent ref:customer
entityStatus str
balance dec ro hide
unbilledOrders dec ro hide
receivablesAccount ref:account
defaultBillingAddress int sql
isInactive bool
""" + _AUDIT + "custentity_tieout_account str"),
    ),
    Record(
        name="customerSubsidiaryRelationship", table="customersubsidiaryrelationship",
        label="Customer-Subsidiary Relationship",
        fields=fields("""
id int ro
entity ref:customer req
subsidiary ref:subsidiary req
isPrimarySub bool ro
primaryCurrency ref:currency ro
name str ro
externalId str
lastModifiedDate datetime ro
"""),
    ),
    Record(
        name="contact", table="contact", label="Contact",
        fields=fields("""
id int ro
entityId str
firstName str
lastName str
email str
phone str
title str
company ref:customer
subsidiary ref:subsidiary
isInactive bool
""" + _AUDIT),
    ),
    Record(
        name="employee", table="employee", label="Employee",
        fields=fields("""
id int ro
entityId str
firstName str
lastName str
email str
title str
supervisor ref:employee
subsidiary ref:subsidiary req
department ref:department
currency ref:currency
isInactive bool
""" + _AUDIT),
    ),
    Record(
        name="job", table="job", label="Project", custom=("custentity_tieout_account",),
        fields=fields("""
id int ro
entityId str
companyName str
altName str
parent ref:customer req
customer ref:customer sql
subsidiary ref:subsidiary
currency ref:currency
fxRate dec
startDate date
projectedEndDate date
scheduledEndDate date
calculatedEndDate date ro
endDate date
entityStatus enum:jobstatus
jobType ref:jobType
jobBillingType enum:jobbilling
jobItem ref:item
jobPrice dec
estimatedRevenue dec
estimatedCost dec
estimatedTime duration
actualTime duration ro
percentTimeComplete dec ro
projectManager ref:employee
allowTime bool
allowExpenses bool
timeApproval enum:timeapproval
chargeAmountReadyForBilling dec ro hide
comments str
isInactive bool
""" + _AUDIT + "custentity_tieout_account str"),
    ),
    Record(
        name="projectTask", table="projecttask", label="Project Task",
        fields=fields("""
id int ro
title str req
company ref:job req col=project
status enum:taskstatus
estimatedWork dec
startDate date
endDate date
nonBillableTask bool
externalId str
lastModifiedDate datetime ro
"""),
    ),
    Record(
        name="timeBill", table="timebill", label="Track Time",
        fields=fields("""
id int ro
employee ref:employee req
customer ref:entity
item ref:item
caseTaskEvent ref:projectTask col=casetaskevent
hours duration req
durationDecimal dec sql
rate dec
price ref:pricelevel hide
overrideRate bool
isBillable bool
isProductive bool
isUtilized bool
isExempt bool
posted bool ro
paidExternally bool
supervisorApproval bool
approvalStatus enum:timestatus
rejectionNote str
timeType enum:timetype
tranDate date
memo str
subsidiary ref:subsidiary
billingSubsidiary ref:subsidiary
department ref:department
externalId str
createdDate datetime ro
lastModifiedDate datetime ro
"""),
    ),
    Record(
        name="charge", table="charge", label="Charge",
        fields=fields("""
id int ro
billTo ref:customer req
projectTask ref:projectTask
transaction ref:transaction
timeRecord ref:timeBill
chargeDate date
amount dec
rate dec
quantity dec
currency ref:currency
stage enum:chargestage
billingItem ref:item
memo str
externalId str
createdDate datetime ro
lastModifiedDate datetime ro
"""),
    ),
    Record(
        name="invoice", table="transaction", label="Invoice", where={"type": "CustInvc"},
        fields=_body(status="invoicestatus"), sublists=(_ITEMS,),
        custom=("custbody_tieout_project", "custbody_tieout_period"),
    ),
    Record(
        name="creditMemo", table="transaction", label="Credit Memo", where={"type": "CustCred"},
        fields=_body(
            status="creditstatus", drop="dueDate terms amountPaid amountRemaining approvalStatus voidReason",
            add="applied dec ro hide\nunapplied dec ro hide\nautoApply bool hide\nvoidReason str hide",
        ),
        sublists=(_ITEMS, _APPLIES), custom=("custbody_tieout_project", "custbody_tieout_period"),
    ),
    Record(
        name="customerPayment", table="transaction", label="Payment", where={"type": "CustPymt"},
        fields=_body(
            entity="customer", status="paymentstatus",
            drop="dueDate terms amountPaid amountRemaining approvalStatus otherRefNum subtotal discountTotal taxTotal "
                 "createdFrom startDate endDate job voidReason",
            add="payment dec hide\napplied dec ro hide\nunapplied dec ro hide\nundepFunds bool hide\n"
                "arAcct ref:account hide\n"
                "checkNumber str col=otherrefnum\nautoApply bool hide\nvoidReason str hide",
        ),
        sublists=(_APPLIES,),
    ),
    Record(
        name="expenseReport", table="transaction", label="Expense Report", where={"type": "ExpRept"},
        fields=_body(
            status="expensestatus",
            drop="dueDate terms amountPaid amountRemaining otherRefNum subtotal discountTotal taxTotal createdFrom "
                 "startDate endDate job",
            add="amount dec ro hide\ncomplete bool hide\nsupervisorApproval bool hide\naccountingApproval bool hide",
        ),
        sublists=(_EXPENSES,),
    ),
)  # fmt: skip

BY_NAME: dict[str, Record] = {r.name.lower(): r for r in RECORDS}
BY_TYPE: dict[str, Record] = {r.where["type"]: r for r in RECORDS if "type" in r.where}
# What a reference may point at when its target is not a record type of its own.
TARGET_TABLES = {"item": "item", "transaction": "transaction", "entity": "customer"} | {
    r.name: r.table for r in RECORDS if r.table not in ("item", "transaction")
}
TRANSACTIONS = frozenset(r.name for r in RECORDS if r.table == "transaction")


# Tables that SuiteQL shows but that no REST record writes directly.
_DERIVED: dict[str, str] = {
    "transactionline": """
id int
transaction ref:transaction
linesequencenumber int
uniquekey int
item ref:item
itemtype str
quantity dec
rate dec
foreignamount dec
netamount dec
foreignamountpaid dec
foreignamountunpaid dec
foreignpaymentamountused dec
foreignpaymentamountunused dec
entity ref:entity
subsidiary ref:subsidiary
department ref:department
class ref:classification
location ref:location
memo str
mainline bool
taxline bool
isbillable bool
isclosed bool
createdfrom ref:transaction
expenseaccount ref:account
taxcode ref:salesTaxItem hide
expensedate date hide
category ref:expenseCategory hide
linelastmodifieddate datetime
custcol_tieout_source str
""",
    "transactionaccountingline": """
transaction ref:transaction
transactionline int
accountingbook int
account ref:account
amount dec
debit dec
credit dec
netamount dec
amountpaid dec
amountunpaid dec
paymentamountused dec
paymentamountunused dec
amountlinked dec
exchangerate dec
posting bool
lastmodifieddate datetime
""",
    "transactionlinelink": """
previousdoc ref:transaction
previousline int
previoustype str
previousdate date
nextdoc ref:transaction
nextline int
nexttype str
nextdate date
linktype str
foreignamount dec
""",
    "deletedrecord": """
recordid int
recordtypeid int
type str
name str
deleteddate datetime
deletedby int
context str
iscustomlist bool
iscustomrecord bool
""",
    "customeraddressbook": """
internalid int
entity ref:customer
addressbookaddress int
defaultbilling bool
defaultshipping bool
label str
""",
    "customeraddressbookentityaddress": """
nkey int
recordowner int
addressee str
attention str
addr1 str
addr2 str
city str
state str
zip str
country enum:country
""",
}

# Columns the service needs and nobody outside sees.
_PRIVATE: dict[str, dict[str, str]] = {
    "transaction": {
        "basetotal": "REAL",
        "basepaid": "REAL",
        "applied": "REAL",
        "unapplied": "REAL",
        "precision": "INTEGER",
    },
    "transactionline": {
        "amount": "REAL",
        "tax1amt": "REAL",
        "taxrate1": "REAL",
        "grossamt": "REAL",
        "istaxable": "TEXT",
        "price": "INTEGER",
        "job": "INTEGER",
        "currency": "INTEGER",
    },
    "transactionlinelink": {"baseamount": "REAL"},
    "customer": {"country": "TEXT"},
}

_KEYS = {
    "transactionline": "uniquekey INTEGER PRIMARY KEY",
    "transactionlinelink": "PRIMARY KEY (previousdoc, nextdoc)",
    "customeraddressbook": "internalid INTEGER PRIMARY KEY",
    "customeraddressbookentityaddress": "nkey INTEGER PRIMARY KEY",
}

_INDEXES = (
    ('"transaction"', "entity"),
    ('"transaction"', "type, lastmodifieddate"),
    ('"transaction"', "lastmodifieddate"),
    ('"transaction"', "tranid"),
    ('"transaction"', "custbody_tieout_project"),
    ("transactionline", "\"transaction\""),
    ("transactionline", "linelastmodifieddate"),
    ("transactionaccountingline", "\"transaction\""),
    ("transactionlinelink", "nextdoc"),
    ("customer", "lastmodifieddate"),
    ("customer", "entityid COLLATE NOCASE"),
    ("job", "parent"),
    ("job", "entityid COLLATE NOCASE"),
    ("timebill", "lastmodifieddate"),
    ("timebill", "customer"),
    ("deletedrecord", "deleteddate"),
    ("customersubsidiaryrelationship", "entity"),
    ("customeraddressbook", "entity"),
    ("accountingperiod", "startdate"),
    ("currencyrate", "transactioncurrency, basecurrency, effectivedate"),
)  # fmt: skip


def _tables() -> dict[str, dict[str, Field]]:
    tables: dict[str, dict[str, Field]] = {}
    for record in RECORDS:
        columns = tables.setdefault(record.table, {})
        for f in record.fields:
            known = columns.get(f.column)
            if known is None or (not known.in_suiteql and f.in_suiteql):
                columns[f.column] = f
    for table, text in _DERIVED.items():
        columns = tables.setdefault(table, {})
        for f in fields(text):
            columns.setdefault(f.column, f)
    return tables


TABLES: dict[str, dict[str, Field]] = _tables()
# What SuiteQL shows, by table: column -> field. Views share their columns with the table behind them.
SUITEQL: dict[str, dict[str, Field]] = {
    table: {name: f for name, f in columns.items() if f.in_suiteql} for table, columns in TABLES.items()
}
SUITEQL["nexttransactionlinelink"] = SUITEQL.pop("transactionlinelink")
SUITEQL["previoustransactionlinelink"] = SUITEQL["nexttransactionlinelink"]
SUITEQL["entity"] = {
    f.column: f
    for f in fields("id int\nentityid str\naltname str\ntype str\nexternalid str\nisinactive bool\nemail str")
}
SUITEQL["project"] = SUITEQL["job"]


def ddl() -> list[str]:
    """Statements that create every table, view and index; safe to run again."""
    out = []
    for table, columns in TABLES.items():
        lines = []
        for name, f in columns.items():
            if name == "id" and table not in _DERIVED:
                lines.append("id INTEGER PRIMARY KEY")
            elif not (table in _KEYS and _KEYS[table].startswith(f"{name} ")):
                lines.append(f'"{name}" {f.sql_type}')
        lines += [f'"{name}" {kind}' for name, kind in _PRIVATE.get(table, {}).items() if name not in columns]
        if table in _KEYS:
            lines.append(_KEYS[table])
        # A constraint must follow the columns, a key column may stand anywhere.
        lines.sort(key=lambda line: line.startswith("PRIMARY KEY ("))
        out.append(f'CREATE TABLE IF NOT EXISTS "{table}" ({", ".join(lines)})')
        if "externalid" in columns and table not in ("transaction", "item"):
            out.append(f'CREATE UNIQUE INDEX IF NOT EXISTS "{table}_externalid" ON "{table}" (externalid)')
    # External ids are unique per record type; transactions of all types share one table, and so do items.
    out.append('CREATE UNIQUE INDEX IF NOT EXISTS transaction_externalid ON "transaction" (type, externalid)')
    out.append("CREATE UNIQUE INDEX IF NOT EXISTS item_externalid ON item (itemtype, externalid)")
    for n, (table, columns_text) in enumerate(_INDEXES):
        out.append(f"CREATE INDEX IF NOT EXISTS ix_{n} ON {table} ({columns_text})")
    for view in ("nexttransactionlinelink", "previoustransactionlinelink"):
        out.append(f"CREATE VIEW IF NOT EXISTS {view} AS SELECT * FROM transactionlinelink")
    out.append(
        "CREATE VIEW IF NOT EXISTS entity AS "
        "SELECT id, entityid, companyname AS altname, 'CustJob' AS type, externalid, isinactive, "
        "email FROM customer UNION ALL "
        "SELECT id, entityid, companyname, 'Job', externalid, isinactive, NULL FROM job UNION ALL "
        "SELECT id, entityid, firstname || ' ' || lastname, 'Employee', externalid, isinactive, email FROM employee"
    )
    out.append("CREATE VIEW IF NOT EXISTS project AS SELECT * FROM job")
    out.append(
        "CREATE TABLE IF NOT EXISTS async_job (id INTEGER PRIMARY KEY, idempotency_key TEXT UNIQUE, "
        "actor TEXT, method TEXT, "
        "record TEXT, submitted TEXT, polls INTEGER DEFAULT 0, completed INTEGER DEFAULT 0)"
    )
    out.append(
        "CREATE TABLE IF NOT EXISTS async_task (job INTEGER, task INTEGER, request TEXT, status "
        "INTEGER, location TEXT, "
        "body TEXT, started TEXT, ended TEXT, PRIMARY KEY (job, task))"
    )
    out.append("CREATE TABLE IF NOT EXISTS nonce (value TEXT PRIMARY KEY, stamp INTEGER)")
    return out
