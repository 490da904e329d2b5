"""What the standard objects do by themselves: stages, roll-ups, names, countries. Custom objects have no code here.

Each class answers to one object; `before_*` may change the row or raise Refusal, `after_write` keeps other records
in step.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from platforms.kit.sandbox.service import Refusal
from platforms.salesforce.sandbox.standard import COUNTRIES, FORECAST_CODES

if TYPE_CHECKING:
    from platforms.salesforce.sandbox.service import SalesforceService

Row = dict[str, Any]
_COUNTRY_CODES = {name.lower(): code for code, name in COUNTRIES.items()}


class ObjectRules:
    """No rules: the base that standard objects build on."""

    def before_insert(self, service: SalesforceService, row: Row, given: Mapping[str, Any]) -> None:
        """Complete or refuse a new row; `given` holds only what the caller gave."""

    def before_update(
        self, service: SalesforceService, old: Row, new: Row, given: Mapping[str, Any], stamp: str
    ) -> None:
        """Complete or refuse a changed row."""

    def before_delete(self, service: SalesforceService, row: Row) -> None:
        """Refuse a deletion."""

    def after_write(self, service: SalesforceService, rows: list[Row], stamp: str, user: str) -> None:
        """Keep other records in step."""


def _person_name(row: Row) -> None:
    row["Name"] = " ".join(part for part in (row.get("FirstName"), row.get("LastName")) if part) or None


def _countries(row: Row, given: Mapping[str, Any], *prefixes: str) -> None:
    """State and Country picklists are on: code and name follow each other, unknown ones are refused."""
    for prefix in prefixes:
        code_name, country_name = f"{prefix}CountryCode", f"{prefix}Country"
        if code_name in given:
            code = given[code_name]
            if code is None:
                row[country_name] = given.get(country_name)
                continue
            if code.upper() not in COUNTRIES:
                raise _bad_country(prefix, code_name)
            row[code_name], row[country_name] = code.upper(), COUNTRIES[code.upper()]
        elif country_name in given:
            country = given[country_name]
            if country is None:
                row[code_name] = None
                continue
            code = _COUNTRY_CODES.get(country.lower())
            if code is None:
                raise _bad_country(prefix, country_name)
            row[code_name], row[country_name] = code, COUNTRIES[code]


def _bad_country(prefix: str, name: str) -> Refusal:
    return Refusal(
        "FIELD_INTEGRITY_EXCEPTION",
        "There's a problem with this country, even though it may appear correct. Please select a country/territory "
        f"from the list of valid countries.: {prefix} Country",
        [name],
    )


class UserRules(ObjectRules):
    """A user's name is made of its parts; usernames look like e-mail addresses."""

    def before_insert(self, service: SalesforceService, row: Row, given: Mapping[str, Any]) -> None:
        if "@" not in (row.get("Username") or "@"):
            raise Refusal("INVALID_EMAIL_ADDRESS", "The Username must be in the form of an email address", ["Username"])
        row.setdefault("DefaultCurrencyIsoCode", row.get("CurrencyIsoCode"))
        _person_name(row)

    def before_update(
        self, service: SalesforceService, old: Row, new: Row, given: Mapping[str, Any], stamp: str
    ) -> None:
        _person_name(new)


class AccountRules(ObjectRules):
    """Countries, hierarchy, and deals that keep an account from deletion."""

    def before_insert(self, service: SalesforceService, row: Row, given: Mapping[str, Any]) -> None:
        _countries(row, given, "Billing", "Shipping")

    def before_update(
        self, service: SalesforceService, old: Row, new: Row, given: Mapping[str, Any], stamp: str
    ) -> None:
        _countries(new, given, "Billing", "Shipping")
        parent = given.get("ParentId")
        for _ in range(500):
            if parent is None:
                break
            if parent == old["Id"]:
                raise Refusal("CIRCULAR_DEPENDENCY", "attempt to make a circular account hierarchy", ["ParentId"])
            above = service.store.one('SELECT "ParentId" FROM "Account" WHERE "Id" = ?', (parent,))
            parent = above["ParentId"] if above else None

    def before_delete(self, service: SalesforceService, row: Row) -> None:
        won = service.store.one(
            'SELECT COUNT(*) AS n FROM "Opportunity" WHERE "AccountId" = ? AND "IsWon" = 1 AND "IsDeleted" = 0',
            (row["Id"],),
        )
        if won and won["n"]:
            raise Refusal(
                "DELETE_FAILED",
                f"Your attempt to delete {row['Name']} could not be completed because it is associated with closed won "
                f"opportunities: {won['n']}",
            )


class ContactRules(ObjectRules):
    """A contact's name is made of its parts."""

    def before_insert(self, service: SalesforceService, row: Row, given: Mapping[str, Any]) -> None:
        _person_name(row)
        _countries(row, given, "Mailing")

    def before_update(
        self, service: SalesforceService, old: Row, new: Row, given: Mapping[str, Any], stamp: str
    ) -> None:
        _person_name(new)
        _countries(new, given, "Mailing")


class PricebookEntryRules(ObjectRules):
    """Names follow the product; a price book of one's own needs the standard price first; no twins."""

    def before_insert(self, service: SalesforceService, row: Row, given: Mapping[str, Any]) -> None:
        product = service.store.one(
            'SELECT "Name", "ProductCode" FROM "Product2" WHERE "Id" = ?', (row.get("Product2Id"),)
        )
        book = service.store.one('SELECT "IsStandard" FROM "Pricebook2" WHERE "Id" = ?', (row.get("Pricebook2Id"),))
        if product is None or book is None:
            return
        row["Name"], row["ProductCode"] = product["Name"], product["ProductCode"]
        twins = service.store.read(
            'SELECT e."Pricebook2Id", b."IsStandard" FROM "PricebookEntry" e JOIN "Pricebook2" b '
            'ON b."Id" = e."Pricebook2Id" WHERE e."Product2Id" = ? AND e."CurrencyIsoCode" = ? AND e."IsDeleted" = 0',
            (row["Product2Id"], row["CurrencyIsoCode"]),
        )
        if any(twin["Pricebook2Id"] == row["Pricebook2Id"] for twin in twins):
            raise Refusal("DUPLICATE_VALUE", "This price definition already exists in this price book")
        if not book["IsStandard"] and not any(twin["IsStandard"] for twin in twins):
            raise Refusal("STANDARD_PRICE_NOT_DEFINED", "No standard price defined for this product", [])


class OpportunityRules(ObjectRules):
    """The stage decides what is closed, won and forecast; lines decide the amount."""

    def before_insert(self, service: SalesforceService, row: Row, given: Mapping[str, Any]) -> None:
        self._stage(service, row, given)
        self._figures(row)

    def before_update(
        self, service: SalesforceService, old: Row, new: Row, given: Mapping[str, Any], stamp: str
    ) -> None:
        if old["HasOpportunityLineItem"]:
            # The vendor does not refuse an amount for an opportunity with products: it leaves the amount alone.
            new["Amount"] = old["Amount"]
            if new["CurrencyIsoCode"] != old["CurrencyIsoCode"] or (
                old["Pricebook2Id"] and new["Pricebook2Id"] != old["Pricebook2Id"]
            ):
                raise Refusal(
                    "FIELD_INTEGRITY_EXCEPTION",
                    "Opportunity has products: its currency and price book cannot be changed",
                    [name for name in ("CurrencyIsoCode", "Pricebook2Id") if new[name] != old[name]],
                )
        if new["StageName"] != old["StageName"]:
            self._stage(service, new, given)
            new["LastStageChangeDate"] = stamp
        elif given.get("ForecastCategoryName"):
            new["ForecastCategory"] = FORECAST_CODES[given["ForecastCategoryName"]]
        self._figures(new)

    def _stage(self, service: SalesforceService, row: Row, given: Mapping[str, Any]) -> None:
        name = row.get("StageName")
        if name is None:
            return
        stage = service.store.one(
            'SELECT * FROM "OpportunityStage" WHERE "MasterLabel" = ? AND "IsActive" = 1', (name,)
        )
        if stage is None:
            raise Refusal(
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                f"Stage: bad value for restricted picklist field: {name}",
                ["StageName"],
            )
        row["StageName"] = stage["MasterLabel"]
        row["IsClosed"], row["IsWon"] = stage["IsClosed"], stage["IsWon"]
        category = given.get("ForecastCategoryName") or stage["ForecastCategoryName"]
        row["ForecastCategoryName"], row["ForecastCategory"] = category, FORECAST_CODES[category]
        if given.get("Probability") is None:
            row["Probability"] = stage["DefaultProbability"]

    def _figures(self, row: Row) -> None:
        amount, probability = row.get("Amount"), row.get("Probability")
        row["ExpectedRevenue"] = None
        if amount is not None and probability is not None:
            row["ExpectedRevenue"] = _cents(Decimal(repr(amount)) * Decimal(repr(probability)) / 100)
        if row.get("CloseDate"):
            year, month = int(row["CloseDate"][:4]), int(row["CloseDate"][5:7])
            row["FiscalYear"], row["FiscalQuarter"] = year, (month + 2) // 3
            row["Fiscal"] = f"{year} {(month + 2) // 3}"


class OpportunityLineItemRules(ObjectRules):
    """A line takes product and list price from its price-book entry, and its total from quantity, price, discount."""

    def before_insert(self, service: SalesforceService, row: Row, given: Mapping[str, Any]) -> None:
        deal = service.store.one(
            'SELECT "Name", "CurrencyIsoCode", "Pricebook2Id" FROM "Opportunity" WHERE "Id" = ? AND "IsDeleted" = 0',
            (row.get("OpportunityId"),),
        )
        if deal is None:
            return
        entry = self._entry(service, row, deal)
        if entry is None:
            raise Refusal(
                "REQUIRED_FIELD_MISSING", "Required fields are missing: [PricebookEntryId]", ["PricebookEntryId"]
            )
        if given.get("CurrencyIsoCode") not in (None, deal["CurrencyIsoCode"]) or (
            entry["CurrencyIsoCode"] != deal["CurrencyIsoCode"]
        ):
            raise Refusal(
                "FIELD_INTEGRITY_EXCEPTION",
                "field integrity exception: CurrencyIsoCode (The currency of the opportunity product, its price book "
                "entry and its opportunity must be the same)",
                ["CurrencyIsoCode"],
            )
        if deal["Pricebook2Id"] and deal["Pricebook2Id"] != entry["Pricebook2Id"]:
            raise Refusal(
                "FIELD_INTEGRITY_EXCEPTION",
                "field integrity exception: PricebookEntryId (pricebook entry is not in the opportunity's price book)",
                ["PricebookEntryId"],
            )
        if not deal["Pricebook2Id"]:
            service.store.write(
                'UPDATE "Opportunity" SET "Pricebook2Id" = ? WHERE "Id" = ?',
                (entry["Pricebook2Id"], row["OpportunityId"]),
            )
        row["PricebookEntryId"], row["Product2Id"] = entry["Id"], entry["Product2Id"]
        row["ProductCode"], row["ListPrice"] = entry["ProductCode"], entry["UnitPrice"]
        row["CurrencyIsoCode"] = deal["CurrencyIsoCode"]
        row["Name"] = f"{deal['Name']} {entry['Name']}"[:376]
        if row.get("UnitPrice") is None and row.get("TotalPrice") is None:
            row["UnitPrice"] = entry["UnitPrice"]
        self._total(row, given)

    def _entry(self, service: SalesforceService, row: Row, deal: Mapping[str, Any]) -> dict[str, Any] | None:
        if row.get("PricebookEntryId"):
            return service.store.one('SELECT * FROM "PricebookEntry" WHERE "Id" = ?', (row["PricebookEntryId"],))
        if not row.get("Product2Id"):
            return None
        return service.store.one(
            'SELECT e.* FROM "PricebookEntry" e JOIN "Pricebook2" b ON b."Id" = e."Pricebook2Id" '
            'WHERE e."Product2Id" = ? AND e."CurrencyIsoCode" = ? AND e."IsDeleted" = 0 '
            'AND (? IS NULL OR e."Pricebook2Id" = ?) '
            'ORDER BY b."IsStandard" DESC LIMIT 1',
            (row["Product2Id"], deal["CurrencyIsoCode"], deal["Pricebook2Id"], deal["Pricebook2Id"]),
        )

    def before_update(
        self, service: SalesforceService, old: Row, new: Row, given: Mapping[str, Any], stamp: str
    ) -> None:
        if "TotalPrice" in given and "UnitPrice" in given:
            raise Refusal(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                "cannot specify both Unit Price and Total Price for opportunity product",
                ["UnitPrice", "TotalPrice"],
            )  # fmt: skip
        if {"Quantity", "UnitPrice", "Discount", "TotalPrice"} & set(given):
            self._total(new, given)

    def _total(self, row: Row, given: Mapping[str, Any]) -> None:
        quantity = Decimal(repr(row.get("Quantity") or 0.0))
        if quantity == 0:
            raise Refusal("INVALID_QUANTITY", "Quantity must be non-zero", ["Quantity"])
        share = 1 - Decimal(repr(row.get("Discount") or 0.0)) / 100
        if given.get("TotalPrice") is not None and given.get("UnitPrice") is None and share:
            row["UnitPrice"] = _cents(Decimal(repr(row["TotalPrice"])) / quantity / share)
        price = Decimal(repr(row["UnitPrice"]))
        row["Subtotal"] = _cents(quantity * price)
        if given.get("TotalPrice") is None or given.get("UnitPrice") is not None:
            row["TotalPrice"] = _cents(quantity * price * share)

    def after_write(self, service: SalesforceService, rows: list[Row], stamp: str, user: str) -> None:
        for deal in dict.fromkeys(row["OpportunityId"] for row in rows):
            sums = service.store.one(
                'SELECT COUNT(*) AS n, ROUND(SUM("TotalPrice"), 2) AS amount, ROUND(SUM("Quantity"), 2) AS quantity '
                'FROM "OpportunityLineItem" WHERE "OpportunityId" = ? AND "IsDeleted" = 0',
                (deal,),
            )
            definition = service.object("Opportunity")
            old = service.stored(definition, deal, deleted=True)
            assert sums is not None
            new = {**old, "HasOpportunityLineItem": int(sums["n"] > 0), "TotalOpportunityQuantity": sums["quantity"]}
            if sums["n"]:
                new["Amount"] = sums["amount"]
            OpportunityRules()._figures(new)
            new |= {"LastModifiedDate": stamp, "LastModifiedById": user, "SystemModstamp": stamp}
            service.overwrite(definition, new, old)


def _cents(value: Decimal) -> float:
    return float(value.quantize(Decimal("0.01"), ROUND_HALF_UP))


_RULES: dict[str, ObjectRules] = {
    "User": UserRules(),
    "Account": AccountRules(),
    "Contact": ContactRules(),
    "PricebookEntry": PricebookEntryRules(),
    "Opportunity": OpportunityRules(),
    "OpportunityLineItem": OpportunityLineItemRules(),
}


def rules_for(name: str) -> ObjectRules | None:
    """The rules of a standard object; None for objects that only have fields."""
    return _RULES.get(name)
