"""The firm's sales people in Salesforce: accounts, contacts, deals with lines, stages that move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from platforms.kit.sandbox.service import Service
from platforms.world.business import CURRENCIES, Client, Deal, Line, Person

PRODUCTS = {
    "SVC-TM": "Consulting by the hour",
    "SVC-FIXED": "Fixed-fee delivery",
    "SVC-MILESTONE": "Delivery by milestones",
    "SVC-RETAINER": "Monthly retainer",
}


@dataclass(frozen=True, kw_only=True)
class OpenDeal:
    """An opportunity that is neither won nor lost."""

    id: str
    name: str
    stage: str


@dataclass(frozen=True, kw_only=True)
class Sold:
    """What delivery needs to know of an opportunity."""

    id: str
    name: str
    account: str
    billing: str
    currency: str
    start: date | None
    end: date | None
    amount: Decimal
    lead_email: str
    hours: tuple[tuple[str, int], ...]


def _day(value: Any) -> date | None:
    return date.fromisoformat(str(value)[:10]) if value else None


class Crm:
    """Salesforce in the role of the CRM. Ids are Salesforce ids."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._accounts: dict[int, str] = {}
        self._entries: dict[tuple[str, str], str] = {}
        self._users: dict[str, str] = {}

    # ---- set-up -----------------------------------------------------------------------------------------------

    def set_up(self, people: Iterable[Person]) -> None:
        """Sales people as users, the four products with a price in each currency."""
        for person in people:
            if person.kind != "sales":
                continue
            first, last = person.name.split(" ", 1)
            self.service.insert(
                "User",
                {
                    "Username": person.email,
                    "Email": person.email,
                    "FirstName": first,
                    "LastName": last,
                    "Alias": f"{first[:1]}{last[:6]}".lower(),
                    "Title": person.role,
                    "CurrencyIsoCode": "USD",
                },
                actor="",
            )
        have = {row["ProductCode"]: row["Id"] for row in self.service.rows("Product2")}
        book = next((row["Id"] for row in self.service.rows("Pricebook2") if row["IsStandard"]), None)
        if book is None:
            raise LookupError("the org has no standard price book; was it set up?")
        priced = {(row["Product2Id"], row["CurrencyIsoCode"]) for row in self.service.rows("PricebookEntry")}
        for code, name in PRODUCTS.items():
            product = have.get(code) or self.service.insert(
                "Product2", {"Name": name, "ProductCode": code, "Family": "Services", "IsActive": True}, actor=""
            )
            for currency in CURRENCIES:
                if (product, currency) not in priced:
                    self.service.insert(
                        "PricebookEntry",
                        {
                            "Pricebook2Id": book,
                            "Product2Id": product,
                            "UnitPrice": 1,
                            "CurrencyIsoCode": currency,
                            "IsActive": True,
                        },
                        actor="",
                    )

    # ---- clients ----------------------------------------------------------------------------------------------

    def account(self, client: Client) -> str | None:
        """The id of a client's account, None while it has none."""
        if client.number not in self._accounts:
            rows = self.service.rows("Account", '"Name" = ? AND "IsDeleted" = 0', (client.name,))
            found = next((str(row["Id"]) for row in rows), None)
            if found is None:
                return None
            self._accounts[client.number] = found
        return self._accounts[client.number]

    def add_client(self, client: Client, owner: str, parent: Client | None) -> str:
        """An account with its contacts; the parent account must exist already. Its id."""
        city, state, postal = client.city
        values = {
            "Name": client.name,
            "Legal_Name__c": client.legal_name,
            "Industry": client.industry,
            "Type": "Customer - Direct",
            "VAT_Number__c": client.vat,
            "Payment_Terms__c": client.terms,
            "PO_Required__c": client.po_required,
            "Billing_Email__c": client.invoices_to,
            "Website": f"https://www.{client.domain}",
            "BillingStreet": client.street,
            "BillingCity": city,
            "BillingPostalCode": postal,
            "BillingCountryCode": client.country,
            "CurrencyIsoCode": client.currency,
        }
        if parent is not None:
            values["ParentId"] = self.account(parent)
        if state:
            values["BillingState"] = state
        account = self.service.insert("Account", values, actor=owner)
        self._accounts[client.number] = account
        self.service.insert_many(
            "Contact",
            [
                {
                    "AccountId": account,
                    "FirstName": first,
                    "LastName": last,
                    "Title": title,
                    "Email": f"{first}.{last}@{client.domain}".lower(),
                    "CurrencyIsoCode": client.currency,
                }
                for first, last, title in client.contacts
            ],
            actor=owner,
        )
        return account

    def add_twin(self, client: Client, name: str, vat: str, owner: str) -> str:
        """A second account of the same company under another spelling. Its id."""
        city, _, postal = client.city
        return self.service.insert(
            "Account",
            {
                "Name": name,
                "Legal_Name__c": name,
                "VAT_Number__c": vat,
                "Type": "Prospect",
                "BillingCity": city,
                "BillingPostalCode": postal,
                "BillingCountryCode": client.country,
                "CurrencyIsoCode": client.currency,
                "Payment_Terms__c": client.terms,
            },
            actor=owner,
        )

    # ---- deals ------------------------------------------------------------------------------------------------

    def _entry(self, product: str, currency: str) -> str:
        if not self._entries:
            codes = {row["Id"]: row["ProductCode"] for row in self.service.rows("Product2")}
            for row in self.service.rows("PricebookEntry"):
                self._entries.setdefault((codes[row["Product2Id"]], row["CurrencyIsoCode"]), row["Id"])
        return self._entries[product, currency]

    def open_deal(self, deal: Deal, account: str, owner: str, lead_email: str) -> str:
        """An opportunity in its first stage, with its lines. Its id."""
        opportunity = self.service.insert(
            "Opportunity",
            {
                "AccountId": account,
                "Name": deal.name,
                "StageName": deal.moves[0][1],
                "CloseDate": deal.closed,
                "CurrencyIsoCode": deal.currency,
                "Type": "New Customer",
                "Billing_Type__c": deal.billing,
                "Contract_Start__c": deal.start,
                "Contract_End__c": deal.end,
                "Legal_Entity__c": deal.entity,
                "Delivery_Lead_Email__c": lead_email,
                **({"PO_Number__c": deal.po_number} if deal.po_number else {}),
            },
            actor=owner,
        )
        self.add_lines(opportunity, deal.lines, deal.currency, owner)
        return opportunity

    def add_lines(self, opportunity: str, lines: Iterable[Line], currency: str, owner: str) -> None:
        """Product lines on an opportunity; its amount becomes their sum."""
        rows = []
        for number, line in enumerate(lines, 1):
            row: dict[str, Any] = {
                "OpportunityId": opportunity,
                "PricebookEntryId": self._entry(line.product, currency),
                "Quantity": line.quantity,
                "UnitPrice": line.unit_price,
                "Description": line.description,
                "SortOrder": number,
            }
            if line.role:
                row |= {"Role__c": line.role, "Hours__c": line.hours}
            if line.service_date:
                row["ServiceDate"] = line.service_date
            rows.append(row)
        if rows:
            self.service.insert_many("OpportunityLineItem", rows, actor=owner)

    def move(self, opportunity: str, stage: str, day: date, owner: str) -> None:
        """Put a deal into a stage; closing it sets the close date."""
        values: dict[str, Any] = {"StageName": stage}
        if stage.startswith("Closed"):
            values["CloseDate"] = day
        self.service.update("Opportunity", opportunity, values, actor=owner)

    def change(self, object: str, id: str, values: Mapping[str, Any], owner: str = "") -> None:
        """Change fields of a record."""
        self.service.update(object, id, values, actor=owner)

    def open_deals(self) -> list[OpenDeal]:
        """Every deal that is still open."""
        return [
            OpenDeal(id=row["Id"], name=row["Name"], stage=row["StageName"])
            for row in self.service.rows("Opportunity", '"IsClosed" = 0 AND "IsDeleted" = 0')
        ]

    def deal_named(self, name: str) -> str | None:
        """The id of the opportunity of that name."""
        rows = self.service.rows("Opportunity", '"Name" = ? AND "IsDeleted" = 0', (name,))
        return next((str(row["Id"]) for row in rows), None)

    def sold(self, opportunity: str) -> Sold | None:
        """What delivery needs to know of an opportunity; None when it is gone."""
        row = next(iter(self.service.rows("Opportunity", '"Id" = ? AND "IsDeleted" = 0', (opportunity,))), None)
        if row is None:
            return None
        hours = [
            (line["Role__c"], int(line["Hours__c"]))
            for line in self.service.rows(
                "OpportunityLineItem", '"OpportunityId" = ? AND "IsDeleted" = 0', (opportunity,)
            )
            if line["Role__c"] and line["Hours__c"]
        ]
        return Sold(
            id=opportunity,
            name=row["Name"],
            account=row["AccountId"],
            billing=row["Billing_Type__c"] or "",
            currency=row["CurrencyIsoCode"],
            start=_day(row["Contract_Start__c"]),
            end=_day(row["Contract_End__c"]),
            amount=row["Amount"] or Decimal(0),
            lead_email=row["Delivery_Lead_Email__c"] or "",
            hours=tuple(hours),
        )
