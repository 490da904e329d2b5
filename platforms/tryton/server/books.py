"""The books of a small firm in an empty Tryton, set up over JSON-RPC as a consultant would with the mouse.

    set_up(client, company)      client: the administrator's, on a database whose modules are active and empty

Makes: a company whose party's code is the legal entity's code, currencies with rates, the universal chart of accounts,
the fiscal years 2025 to 2029 with monthly periods and invoice numbers, payment terms, a tax, service products, people
with what an hour of theirs costs, a bank to be paid into, and the integration user `tieout` in the groups it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from platforms.tryton.client import TrytonClient

ADMIN, ADMIN_PASSWORD = "admin", "keys-to-the-whole-house"
USER, USER_PASSWORD = "tieout", "books-must-agree-daily"
YEARS = tuple(range(2025, 2030))
TERMS: Mapping[str, int] = {"Net 15": 15, "Net 30": 30, "Net 45": 45, "Net 60": 60}
# One unit of each currency in euros: only the relations matter, and that they stay the same.
_IN_EUROS: Mapping[str, str] = {"EUR": "1", "USD": "0.92", "GBP": "1.17", "SEK": "0.088"}
_CURRENCY_NAMES: Mapping[str, str] = {
    "EUR": "Euro",
    "USD": "US Dollar",
    "GBP": "Pound Sterling",
    "SEK": "Swedish Krona",
}
_NUMERIC: Mapping[str, str] = {"EUR": "978", "USD": "840", "GBP": "826", "SEK": "752"}
# What is sold: code -> (name, price of a unit in the company's currency). The first four are what Tieout bills.
SERVICES: Mapping[str, tuple[str, str]] = {
    "SVC-TIME": ("Professional services", "120"),
    "SVC-EXPENSE": ("Expenses", "1"),
    "SVC-FIXED": ("Fixed price", "1"),
    "SVC-RETAINER": ("Retainer", "1"),
}
ROLES: Mapping[str, tuple[str, str]] = {
    "ROLE-PARTNER": ("Partner", "210"),
    "ROLE-ARCHITECT": ("Architect", "165"),
    "ROLE-CONSULTANT": ("Consultant", "135"),
    "ROLE-ANALYST": ("Analyst", "105"),
}
# Who works here: name, role, what an hour costs the firm.
PEOPLE: tuple[tuple[str, str, str], ...] = (
    ("Ines Verhoeven", "ROLE-PARTNER", "95"),
    ("Milan de Graaf", "ROLE-ARCHITECT", "72"),
    ("Saar Janssens", "ROLE-CONSULTANT", "58"),
    ("Tomas Lindqvist", "ROLE-CONSULTANT", "56"),
    ("Noor el Amrani", "ROLE-ANALYST", "44"),
    ("Jip Bakker", "ROLE-ANALYST", "42"),
)


@dataclass(frozen=True, kw_only=True)
class Firm:
    """The company of the books. `code` is the legal entity's code, `country` ISO 3166, `tax` the rate of its VAT."""

    code: str = "NL"
    name: str = "Kade & Partners"
    currency: str = "EUR"
    country: str = "NL"
    city: str = "Rotterdam"
    tax: str = "0.21"


def set_up(admin: TrytonClient, firm: Firm) -> None:
    """All of the books. `admin` is a client made with `needs_company=False`; afterwards it works in the company."""
    groups = admin.search("res.group", [])
    me = admin.search("res.user", [["login", "=", ADMIN]])
    admin.write("res.user", [(me, {"groups": [["add", groups]]})])
    admin.forget()
    company = _company(admin, firm)
    admin.write("res.user", [(me, {"companies": [["add", [company]]], "company": company})])
    admin.forget()
    accounts = _chart(admin, company, firm)
    for year in YEARS:
        _fiscal_year(admin, company, year)
    terms = _terms(admin)
    admin.write("account.configuration", [(["1"], {"default_customer_payment_term": terms["Net 30"]})])
    _products(admin, accounts, _tax(admin, company, firm, accounts))
    employees = _people(admin, company)
    _bank(admin, company, accounts)
    _user(admin, company, groups, employees[0])


def _company(admin: TrytonClient, firm: Firm) -> str:
    base = Decimal(_IN_EUROS[firm.currency])
    made = admin.create(
        "currency.currency",
        [
            {
                "name": _CURRENCY_NAMES[code], "code": code, "symbol": code, "numeric_code": _NUMERIC[code],
                "rounding": Decimal("0.01"), "digits": 2,
                "rates": [["create", [{
                    "date": date(YEARS[0], 1, 1), "rate": (base / Decimal(rate)).quantize(Decimal("0.000001")),
                }]]],
            }
            for code, rate in _IN_EUROS.items()
        ],
    )  # fmt: skip
    currency = dict(zip(_IN_EUROS, made, strict=True))[firm.currency]
    country = _country(admin, firm.country)
    address = {"city": firm.city, "street": "40 Quayside", "country": country}
    [party] = admin.create(
        "party.party", [{"name": firm.name, "code": firm.code, "addresses": [["create", [address]]]}]
    )
    [company] = admin.create("company.company", [{"party": party, "currency": currency}])
    return company


def _country(admin: TrytonClient, code: str) -> str:
    """The country with this code; Tryton comes without countries, they are imported or made."""
    found = admin.search("country.country", [["code", "=", code]])
    name = _COUNTRIES.get(code, code)
    return found[0] if found else admin.create("country.country", [{"name": name, "code": code}])[0]


_COUNTRIES: Mapping[str, str] = {
    "NL": "Netherlands", "BE": "Belgium", "DE": "Germany", "FR": "France", "SE": "Sweden", "GB": "United Kingdom",
    "DK": "Denmark", "LU": "Luxembourg", "US": "United States", "NO": "Norway", "FI": "Finland",
}  # fmt: skip


def _chart(admin: TrytonClient, company: str, firm: Firm) -> dict[str, str]:
    """The accounts that the rest needs, by what they are for."""
    [template] = admin.search("account.account.template", [["parent", "=", None]], limit=1)
    with admin.wizard("account.create_chart", "ir.ui.menu", []) as chart:
        chart.choose("account")
        chart.fill(company=company, account_template=template)
        chart.choose("create_account")
        accounts = _accounts(admin, company)
        chart.fill(company=company, account_receivable=accounts["receivable"], account_payable=accounts["payable"])
        chart.choose("create_properties")
    admin.write(
        "account.configuration",
        [
            (
                ["1"],
                {
                    "default_account_receivable": accounts["receivable"],
                    "default_account_payable": accounts["payable"],
                    "default_category_account_revenue": accounts["revenue"],
                    "default_category_account_expense": accounts["expense"],
                    # Invoices in another currency: what the rates make of them until they are paid.
                    "currency_exchange_credit_account": accounts["exchange"],
                    "currency_exchange_debit_account": accounts["exchange"],
                },
            )
        ],
    )
    return accounts


# For each use: what the account is called in the universal chart, and the type it must have (two are called Services).
_NAMES: Mapping[str, tuple[str, str]] = {
    "receivable": ("Accounts, Notes And Loans Receivable", "type.receivable"),
    "payable": ("Trade Payables", "type.payable"),
    "revenue": ("Services", "type.revenue"),
    "expense": ("Cost Of Sales", "type.expense"),
    "bank": ("Cash and Cash Equivalents", ""),
    "tax": ("Accrued Taxes (Other Than Payroll)", ""),
    "exchange": ("Foreign Currency Transaction Gain (Loss)", ""),
}


def _accounts(admin: TrytonClient, company: str) -> dict[str, str]:
    found = {}
    for use, (name, flag) in _NAMES.items():
        domain = [["company", "=", company], ["name", "=", name], ["closed", "!=", True], ["type", "!=", None]]
        domain += [[flag, "=", True]] if flag else []
        found[use] = admin.search("account.account", domain, limit=1, order=[["id", "ASC"]])[0]
    return found


def _fiscal_year(admin: TrytonClient, company: str, year: int) -> None:
    """A year of twelve periods, open, with numbers for moves, invoices and credit notes of their own."""

    def sequence(kind: str, name: str, prefix: str) -> str:
        [type] = admin.search("ir.sequence.type", [["name", "=", kind]])
        values = {"name": f"{name} {year}", "sequence_type": type, "prefix": prefix, "padding": 4, "company": company}
        return admin.create("ir.sequence.strict", [values])[0]

    invoices, credits = (
        sequence("Invoice", name, f"{year}-{letter}") for name, letter in (("Invoices", ""), ("Credit notes", "C"))
    )
    numbers = {
        "company": company, "out_invoice_sequence": invoices, "out_credit_note_sequence": credits,
        "in_invoice_sequence": sequence("Invoice", "Supplier invoices", f"{year}-S"),
        "in_credit_note_sequence": sequence("Invoice", "Supplier credit notes", f"{year}-SC"),
    }  # fmt: skip
    [made] = admin.create(
        "account.fiscalyear",
        [
            {
                "name": str(year), "company": company,
                "start_date": date(year, 1, 1), "end_date": date(year, 12, 31),
                "move_sequence": sequence("Account Move", "Journal entries", f"{year}-"),
                "invoice_sequences": [["create", [numbers]]],
            }
        ],
    )  # fmt: skip
    admin.call("account.fiscalyear", "create_period", [int(made)], 1, 31, idempotent=False)


def _terms(admin: TrytonClient) -> dict[str, str]:
    values = [
        {
            "name": name,
            "lines": [["create", [{"type": "remainder", "relativedeltas": [["create", [{"days": days}]]]}]]],
        }
        for name, days in TERMS.items()
    ]
    return dict(zip(TERMS, admin.create("account.invoice.payment_term", values), strict=True))


def _tax(admin: TrytonClient, company: str, firm: Firm, accounts: Mapping[str, str]) -> str:
    percent = Decimal(firm.tax) * 100
    values = {
        "name": f"VAT {percent.normalize():f} %", "description": f"VAT {percent.normalize():f} %", "company": company,
        "type": "percentage", "rate": Decimal(firm.tax),
        "invoice_account": accounts["tax"], "credit_note_account": accounts["tax"],
    }  # fmt: skip
    return admin.create("account.tax", [values])[0]


def _products(admin: TrytonClient, accounts: Mapping[str, str], tax: str) -> None:
    """Services with codes: the four that Tieout bills, taxed, and one per role for the tasks of projects."""
    [category] = admin.create(
        "product.category",
        [
            {
                "name": "Services", "accounting": True, "account_revenue": accounts["revenue"],
                "account_expense": accounts["expense"], "customer_taxes": [["add", [tax]]],
            }
        ],
    )  # fmt: skip
    units = {row["name"]: row["id"] for row in admin.search_read("product.uom", [], ["name"])}
    templates = []
    for code, (name, price) in {**SERVICES, **ROLES}.items():
        unit = units["Hour"] if code == "SVC-TIME" or code in ROLES else units["Unit"]
        templates.append(
            {
                "name": name, "code": code, "type": "service", "default_uom": unit, "list_price": Decimal(price),
                "account_category": category, "salable": True, "sale_uom": unit,
                "products": [["create", [{}]]],
            }
        )  # fmt: skip
    admin.create("product.template", templates)


def _people(admin: TrytonClient, company: str) -> list[str]:
    parties = admin.create("party.party", [{"name": name} for name, _, _ in PEOPLE])
    start = date(YEARS[0], 1, 1)
    return admin.create(
        "company.employee",
        [
            {
                "party": party, "company": company, "start_date": start,
                "cost_prices": [["create", [{"date": start, "cost_price": Decimal(cost)}]]],
            }
            for party, (_, _, cost) in zip(parties, PEOPLE, strict=True)
        ],
    )  # fmt: skip


def _bank(admin: TrytonClient, company: str, accounts: Mapping[str, str]) -> None:
    [cash] = admin.search("account.journal", [["type", "=", "cash"]], limit=1)
    admin.create(
        "account.invoice.payment.method",
        [
            {
                "name": "Bank", "company": company, "journal": cash,
                "credit_account": accounts["bank"], "debit_account": accounts["bank"],
            }
        ],
    )  # fmt: skip


def _user(admin: TrytonClient, company: str, groups: list[str], employee: str) -> None:
    """The administrator may do everything and works as the first employee; the integration user as docs/ say."""
    needed = admin.search("res.group", [["name", "in", list(GROUPS)]])
    shared = {"companies": [["add", [company]]], "company": company, "employees": [["add", [employee]]]}
    admin.create(
        "res.user",
        [{
            "name": "Tieout", "login": USER, "password": USER_PASSWORD, "employee": employee,
            "groups": [["add", needed]], **shared,
        }],
    )  # fmt: skip
    me = admin.search("res.user", [["login", "=", ADMIN]])
    admin.write("res.user", [(me, {"employees": [["add", [employee]]], "employee": employee})])


# The groups that the integration user needs when Tryton plays every role, and no more (docs/connect-tryton.md). What
# people cost is shown to the administrators of employees, and on hours, of all things, to those of parties.
GROUPS: tuple[str, ...] = (
    "Accounting",
    "Employee Administration",
    "Party Administration",
    "Project Administration",
    "Sale Opportunity",
)
