"""A fresh org: what an administrator has done before Tieout connects.

Everything follows from the seed, the credentials too, so that a test can search every log and table for them. They
open nothing but this sandbox.
"""

from __future__ import annotations

import hashlib
import random
import string
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from platforms.salesforce.sandbox.schema import create_table_sql
from platforms.salesforce.sandbox.standard import FORECAST_CODES, STAGES, org_objects

if TYPE_CHECKING:
    from platforms.salesforce.sandbox.service import SalesforceService

DAILY_API_REQUESTS = 150_000  # Enterprise Edition with 50 licences: 100,000 + 1,000 each


def set_up_org(service: SalesforceService, seed: int) -> None:
    """Create objects, users, currencies, stages, the standard price book and the connected app."""
    for definition in org_objects():
        for statement in create_table_sql(definition):
            service.store.connection.execute(statement)
        service._save_object(definition)
    meta = service.store.meta
    meta["admin_id"] = "005000000000000AAA"
    meta["credentials"] = credentials(seed)
    meta["sandbox.seed"] = seed
    meta["limits"] = {"DailyApiRequests": DAILY_API_REQUESTS}

    def add(name: str, **values: Any) -> str:
        return service.insert_many(name, [values], actor="", trusted=True)[0]

    meta["org_id"] = add(
        "Organization", Name="Northwind Services Group", OrganizationType="Enterprise Edition", IsSandbox=True,
        InstanceName="TQ1", LanguageLocaleKey="en_US", DefaultLocaleSidKey="en_GB", TimeZoneSidKey="GMT",
        FiscalYearStartMonth=1, CountryCode="GB",
    )  # fmt: skip
    admin = add(
        "User", Username="admin@northwind.example", LastName="Administrator", FirstName="Org", Alias="admin",
        Email="admin@northwind.example", CurrencyIsoCode="USD",
    )  # fmt: skip
    meta["admin_id"] = admin
    for name in ("Organization", "User"):
        service.store.write(f'UPDATE "{name}" SET "CreatedById" = ?, "LastModifiedById" = ?', (admin, admin))
    meta["integration_user_id"] = add(
        "User", Username=credentials(seed)["username"], LastName="Integration", FirstName="Tieout", Alias="tieout",
        Email="tieout.integration@northwind.example", CurrencyIsoCode="USD",
    )  # fmt: skip
    for code, rate in (("USD", "1"), ("GBP", "0.78"), ("EUR", "0.92")):
        add("CurrencyType", IsoCode=code, ConversionRate=rate, DecimalPlaces=2, IsCorporate=code == "USD")
    for position, (label, closed, won, category, probability) in enumerate(STAGES, 1):
        add(
            "OpportunityStage", MasterLabel=label, ApiName=label, SortOrder=position, IsClosed=closed, IsWon=won,
            ForecastCategoryName=category, ForecastCategory=FORECAST_CODES[category], DefaultProbability=probability,
        )  # fmt: skip
    meta["standard_pricebook_id"] = add("Pricebook2", Name="Standard Price Book", IsActive=True, IsStandard=True)


def credentials(seed: int) -> dict[str, str]:
    """The connected app and the integration user's log-in of the org with this seed."""
    made = random.Random(f"salesforce-credentials-{seed}")

    def word(length: int) -> str:
        return "".join(made.choices(string.ascii_letters + string.digits, k=length))

    return {
        "client_id": "3MVG9" + word(80),
        "client_secret": word(64).upper(),
        "username": "tieout.integration@northwind.example.sandbox",
        "password": "Pw" + word(14),
        "security_token": word(24),
        "refresh_token": "5Aep861" + word(80),
    }


def token_for(seed_text: str, org_id: str, number: int) -> str:
    """The number-th access token: `00D...!AQ...`."""
    digest = hashlib.sha512(f"{seed_text}:{number}".encode()).hexdigest()
    return f"{org_id[:15]}!AQ{digest[:90]}"


@lru_cache(maxsize=64)
def private_key_pem(seed: int) -> str:
    """The RSA key whose public half is registered with the connected app for the JWT flow, as PKCS#8 PEM."""
    made = random.Random(f"salesforce-key-{seed}")
    p, q = _prime(made), _prime(made)
    n, e = p * q, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(e, n)
    )
    encoded = numbers.private_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded.decode()


_SMALL_PRIMES = [p for p in range(3, 2000, 2) if all(p % q for q in range(3, int(p**0.5) + 1, 2))]


def _prime(made: random.Random) -> int:
    """A 1024-bit prime from the seed: good enough for a key that opens a toy."""
    while True:
        candidate = made.getrandbits(1024) | (3 << 1022) | 1
        if any(candidate % p == 0 for p in _SMALL_PRIMES) or candidate % 65537 == 1:
            continue
        if all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5)):
            return candidate
