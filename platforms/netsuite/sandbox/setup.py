"""What a fresh account holds: a OneWorld firm with three legal entities, and the identities that may call it.

Everything is derived from the seed, so the same seed gives the same account, ids and credentials. Ids to rely on are
external ids: subsidiaries `US` `UK` `DE`, items `SVC-TIME` `SVC-EXPENSE` `SVC-FIXED` `SVC-RETAINER`, terms `NET15` ...
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from platforms.netsuite.sandbox.service import NetSuiteService

ACCOUNT = "TSTDRV7734501"
FIRST_YEAR, LAST_YEAR = 2022, 2031
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

PREFERENCES: Mapping[str, Any] = {
    # Invoices wait for approval before they post.
    "approval_routing": True,
    # Whether applying a payment moves the invoice's lastmodifieddate. The vendor does not say; worse is default.
    "move_invoice_on_payment": False,
    # Customers and projects without an entityId get a number for one; without this they get their name, which must then
    # be unique.
    "auto_numbers": True,
    # How often an asynchronous job still says "processing" before it says that it is done.
    "async_polls": 1,
    # TBA: refuse a token for 30 minutes after this many failed logins in a row; 0 never does.
    "lock_after_failures": 0,
    # How raw date columns look in SuiteQL and how dates are written in `q`.
    "date_format": "M/D/YYYY",
    # Rows a SuiteQL query may give in all.
    "suiteql_cap": 100_000,
}


def credential(seed: int, name: str, length: int = 64) -> str:
    """A credential of this account: the same for the same seed, different for every name."""
    text = ""
    n = 0
    while len(text) < length:
        text += hashlib.sha256(f"netsuite:{seed}:{name}:{n}".encode()).hexdigest()
        n += 1
    return text[:length]


def private_key(seed: int, name: str) -> ec.EllipticCurvePrivateKey:
    """The EC key of an OAuth 2.0 client, from the seed (an RSA key could not be made from one)."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return ec.derive_private_key(int(credential(seed, f"key:{name}"), 16) % (order - 1) + 1, ec.SECP256R1())


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def certificate(key: ec.EllipticCurvePrivateKey) -> str:
    """A self-signed certificate for the key, as it would be uploaded on the M2M mapping page."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tieout-sandbox")])
    # Fixed dates and a deterministic signature: the same seed gives the same certificate.
    start = datetime(2026, 1, 1, tzinfo=UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=730))
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()


def set_up(service: NetSuiteService, seed: int) -> None:
    """Fill an empty store. Runs in one transaction."""
    with service.writing():
        _credentials(service, seed)
        currencies = _currencies(service)
        accounts = _accounts(service)
        service.store.meta["netsuite.accounts"] = accounts
        subsidiaries = _subsidiaries(service, currencies)
        _rates(service, currencies, seed)
        _periods(service)
        _terms(service)
        service.store.meta["netsuite.tax"] = _tax_codes(service, subsidiaries)
        _items(service, accounts)


def _credentials(service: NetSuiteService, seed: int) -> None:
    meta = service.store.meta
    meta["netsuite.account"] = ACCOUNT
    tokens, clients = {}, {}
    for actor in ("integration", "administrator", "auditor"):
        tokens[credential(seed, f"token:{actor}")] = {
            "actor": actor,
            "consumer_key": credential(seed, f"consumer:{actor}"),
            "consumer_secret": credential(seed, f"consumer-secret:{actor}"),
            "token_secret": credential(seed, f"token-secret:{actor}"),
        }
        key = private_key(seed, actor)
        clients[credential(seed, f"consumer:{actor}")] = {
            "actor": actor,
            "certificate_id": credential(seed, f"certificate:{actor}", 43),
            "certificate": certificate(key),
            "private_key": pem(key),
        }
    meta["netsuite.tokens"] = tokens
    meta["netsuite.clients"] = clients
    meta["netsuite.signing_key"] = credential(seed, "access-token-signing")


def _new(service: NetSuiteService, record: str, **values: Any) -> int:
    return service.create(service.record(record), values, "setup")


def _currencies(service: NetSuiteService) -> dict[str, int]:
    out = {}
    for symbol, name, rate in (("USD", "US Dollar", "1"), ("GBP", "British Pound", "1.27"), ("EUR", "Euro", "1.08")):
        out[symbol] = _new(service, "currency", name=name, symbol=symbol, exchangeRate=Decimal(rate), externalId=symbol)
    service.set_row("currency", out["USD"], {"isbasecurrency": "T"})
    return out


def _accounts(service: NetSuiteService) -> dict[str, int]:
    listed = (
        ("bank", "1000", "Operating Bank Account", "Bank"),
        ("receivables", "1200", "Accounts Receivable", "AcctRec"),
        ("undeposited", "1050", "Undeposited Funds", "OthCurrAsset"),
        ("payables", "2000", "Accounts Payable", "AcctPay"),
        ("tax", "2200", "Sales Tax and VAT Payable", "OthCurrLiab"),
        ("revenue", "4000", "Service Revenue", "Income"),
        ("rebilled", "4100", "Rebilled Expenses", "Income"),
        ("expense", "6000", "Project Expenses", "Expense"),
        ("fx", "7900", "Realized Gain or Loss", "OthIncome"),
    )
    service.store.meta["netsuite.accounts"] = {"revenue": 0}
    return {
        role: _new(service, "account", acctNumber=number, acctName=name, acctType=kind, externalId=f"ACCT-{number}")
        for role, number, name, kind in listed
    }


def _subsidiaries(service: NetSuiteService, currencies: Mapping[str, int]) -> dict[str, int]:
    out: dict[str, int] = {}
    for code, name, legal, country, currency in (
        ("US", "Northwind Advisory", "Northwind Advisory, Inc.", "US", "USD"),
        ("UK", "Northwind Advisory UK", "Northwind Advisory Ltd", "GB", "GBP"),
        ("DE", "Northwind Advisory Deutschland", "Northwind Advisory GmbH", "DE", "EUR"),
    ):
        parent = out.get("US")
        out[code] = _new(
            service, "subsidiary", name=name, legalName=legal, country=country, currency=currencies[currency],
            tranPrefix=code, externalId=code, fiscalCalendar=1, parent=parent,
            fullName=name if parent is None else f"Northwind Advisory : {name}",
        )  # fmt: skip
    return out


def _rates(service: NetSuiteService, currencies: Mapping[str, int], seed: int) -> None:
    """A rate per pair and month start, drifting a little around its middle."""
    draw = random.Random(seed)
    for symbol, middle in (("GBP", 1.27), ("EUR", 1.08)):
        rate = middle
        for year in range(FIRST_YEAR, LAST_YEAR + 1):
            for month in range(1, 13):
                rate = min(max(rate * (1 + draw.uniform(-0.012, 0.012)), middle * 0.9), middle * 1.1)
                day = date(year, month, 1).isoformat()
                _new(service, "currencyRate", baseCurrency=currencies["USD"], transactionCurrency=currencies[symbol],
                     exchangeRate=Decimal(f"{rate:.6f}"), effectiveDate=day)  # fmt: skip
    cross = service.store.read(
        "SELECT g.effectivedate AS day, g.exchangerate AS gbp, e.exchangerate AS eur FROM currencyrate g "
        "JOIN currencyrate e ON e.effectivedate = g.effectivedate AND e.transactioncurrency = ? "
        "WHERE g.transactioncurrency = ?",
        (currencies["EUR"], currencies["GBP"]),
    )
    for row in cross:
        usd, gbp, eur = Decimal(1), Decimal(str(row["gbp"])), Decimal(str(row["eur"]))
        for base, source, value in (
            ("GBP", "USD", usd / gbp), ("GBP", "EUR", eur / gbp), ("EUR", "USD", usd / eur), ("EUR", "GBP", gbp / eur),
        ):  # fmt: skip
            _new(service, "currencyRate", baseCurrency=currencies[base], transactionCurrency=currencies[source],
                 exchangeRate=value.quantize(Decimal("1e-6")), effectiveDate=row["day"])  # fmt: skip


def _periods(service: NetSuiteService) -> None:
    def add(
        name: str, start: date, end: date, *, quarter: bool = False, year: bool = False, parent: int | None = None
    ) -> int:
        id = service.number("accountingperiod")
        service.write_row(
            "accountingperiod",
            {
                "id": id, "periodname": name, "startdate": start.isoformat(), "enddate": end.isoformat(), "closed": "F",
                "arlocked": "F", "aplocked": "F", "alllocked": "F", "isposting": "F" if quarter or year else "T",
                "isadjust": "F", "isquarter": "T" if quarter else "F", "isyear": "T" if year else "F", "parent": parent,
                "lastmodifieddate": service.now(),
            },
        )  # fmt: skip
        return id

    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        whole = add(f"FY {year}", date(year, 1, 1), date(year, 12, 31), year=True)
        for quarter in range(4):
            first = quarter * 3 + 1
            part = add(
                f"Q{quarter + 1} {year}", date(year, first, 1), _end(year, first + 2), quarter=True, parent=whole
            )
            for month in range(first, first + 3):
                add(f"{MONTHS[month - 1]} {year}", date(year, month, 1), _end(year, month), parent=part)


def _end(year: int, month: int) -> date:
    return (date(year + month // 12, month % 12 + 1, 1)) - timedelta(days=1)


def _terms(service: NetSuiteService) -> None:
    for days in (15, 30, 45, 60):
        _new(service, "term", name=f"Net {days}", daysUntilNetDue=days, externalId=f"NET{days}")


def _tax_codes(service: NetSuiteService, subsidiaries: Mapping[str, int]) -> dict[str, int]:
    return {
        treatment: _new(service, "salesTaxItem", itemId=name, rate=Decimal(rate), country=treatment[:2],
                        description=text, externalId=external)
        for treatment, name, rate, text, external in (
            ("US:none", "-Not Taxable-", "0", "Services are not taxed", "TAX-US-NONE"),
            ("US:standard", "CA_SALES", "8.25", "California sales tax", "TAX-US-CA"),
            ("GB:standard", "VAT:S-GB", "20", "UK standard rate", "TAX-GB-S"),
            ("GB:export", "VAT:Z-GB", "0", "UK outside the scope", "TAX-GB-Z"),
            ("DE:standard", "VAT:S-DE", "19", "German standard rate", "TAX-DE-S"),
            ("DE:reverse", "VAT:RC-DE", "0", "Reverse charge within the EU", "TAX-DE-RC"),
            ("DE:export", "VAT:X-DE", "0", "Not taxable in Germany", "TAX-DE-X"),
        )
    }  # fmt: skip


def _items(service: NetSuiteService, accounts: Mapping[str, int]) -> None:
    for external, name, account in (
        ("SVC-TIME", "Consulting Time", "revenue"),
        ("SVC-EXPENSE", "Billable Expense", "rebilled"),
        ("SVC-FIXED", "Fixed Fee", "revenue"),
        ("SVC-RETAINER", "Retainer", "revenue"),
    ):
        _new(service, "serviceSaleItem", itemId=external, displayName=name, description=name,
             incomeAccount=accounts[account], externalId=external)  # fmt: skip
