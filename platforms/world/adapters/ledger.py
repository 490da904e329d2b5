"""The firm's finance people in NetSuite: customers, projects, invoices, approvals, payments, credits, period close.

They answer the ledger's own rules like everybody else; `Refusal` is what they see on the screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from platforms.kit.sandbox.service import Service
from platforms.world.business import Client, Firm, Person

FINANCE = "finance"
"""The actor of everything finance does; integrations act as 'integration'."""


@dataclass(frozen=True, kw_only=True)
class InvoiceLine:
    """A line of an invoice; `source` is the entry it bills, as `kantata:time_entry:123`."""

    item: str
    quantity: Decimal
    rate: Decimal
    amount: Decimal
    text: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Bill:
    """An invoice as finance sees it in a list. `open` is what is left to pay, in its currency."""

    id: str
    number: str
    key: str
    customer: str
    currency: str
    day: date
    due: date
    created: date
    total: Decimal
    open: Decimal
    status: str


def _dec(value: Any) -> Decimal:
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value or 0)


class Books:
    """NetSuite in the role of the ledger. Ids are internal ids (text)."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._subsidiaries: dict[str, str] = {}
        self._currencies: dict[str, str] = {}
        self._symbols: dict[str, str] = {}
        self._terms: dict[str, str] = {}
        self._items: dict[str, str] = {}

    def _load(self) -> None:
        if not self._currencies:
            self._subsidiaries = {
                row["externalid"]: str(row["id"]) for row in self.service.rows("subsidiary") if row["externalid"]
            }
            self._currencies = {row["symbol"]: str(row["id"]) for row in self.service.rows("currency")}
            self._symbols = {id: symbol for symbol, id in self._currencies.items()}
            self._terms = {row["name"]: str(row["id"]) for row in self.service.rows("term")}
            self._items = {row["externalid"]: str(row["id"]) for row in self.service.rows("item") if row["externalid"]}

    # ---- set-up -----------------------------------------------------------------------------------------------

    def set_up(self, firm: Firm) -> None:
        """Payment terms that the firm uses and that a fresh ledger may lack."""
        self._load()
        for name, days in (("Net 15", 15), ("Net 30", 30), ("Net 45", 45), ("Net 60", 60)):
            if name not in self._terms:
                self._terms[name] = self.service.insert("term", {"name": name, "daysUntilNetDue": days}, actor=FINANCE)

    def add_person(self, person: Person) -> None:
        """An employee record."""
        self._load()
        first, last = person.name.split(" ", 1)
        self.service.insert(
            "employee",
            {
                "firstName": first,
                "lastName": last,
                "email": person.email,
                "title": person.role,
                "subsidiary": self._subsidiaries[person.entity],
            },
            actor=FINANCE,
        )

    # ---- customers and projects -------------------------------------------------------------------------------

    def customer(self, client: Client, account: str, entity: str, currency: str, **changes: Any) -> str:
        """The customer of a CRM account in an entity and currency, made when there is none. Its id.

        `changes` replace fields (a wrong VAT number, another name) and are used for planted mistakes only.
        """
        self._load()
        key = changes.pop("externalId", f"ACC_{account}_{entity}_{currency}")
        if key:
            found = next(iter(self.service.rows("customer", "externalid = ?", (key,))), None)
            if found is not None:
                return str(found["id"])
        city, state, postal = client.city
        address = {
            "addr1": client.street,
            "city": city,
            "zip": postal,
            "country": client.country,
            "addressee": client.legal_name,
        }
        if state:
            address["state"] = state
        values: dict[str, Any] = {
            "companyName": client.legal_name,
            "isPerson": False,
            "subsidiary": self._subsidiaries[entity],
            "currency": self._currencies[currency],
            "terms": self._terms[client.terms],
            "vatRegNumber": client.vat,
            "email": client.invoices_to,
            "url": f"https://www.{client.domain}",
            "addressBook": {
                "items": [{"defaultBilling": True, "defaultShipping": True, "addressBookAddress": address}]
            },
        }
        if key:
            values |= {"externalId": key, "custentity_tieout_account": account}
        return self.service.insert("customer", values | changes, actor=FINANCE)

    def customer_of(self, account: str, entity: str, currency: str) -> str | None:
        """The linked customer of a CRM account in an entity and currency; None when there is none."""
        found = next(
            iter(self.service.rows("customer", "externalid = ?", (f"ACC_{account}_{entity}_{currency}",))), None
        )
        return str(found["id"]) if found else None

    def change_customer(self, customer: str, values: Mapping[str, Any]) -> None:
        """Change fields of a customer."""
        self.service.update("customer", customer, values, actor=FINANCE)

    def job(self, deal: str, title: str, customer: str, start: date, end: date) -> str:
        """The ledger's project of a deal, made when there is none. Its id."""
        found = next(iter(self.service.rows("job", "externalid = ?", (f"PRJ_{deal}",))), None)
        if found is not None:
            return str(found["id"])
        return self.service.insert(
            "job",
            {
                "companyName": title[:83],
                "parent": customer,
                "startDate": start,
                "projectedEndDate": end,
                "externalId": f"PRJ_{deal}",
            },
            actor=FINANCE,
        )

    def job_of(self, deal: str) -> tuple[str, str] | None:
        """(job id, customer id) of a deal's ledger project."""
        found = next(iter(self.service.rows("job", "externalid = ?", (f"PRJ_{deal}",))), None)
        return (str(found["id"]), str(found["parent"])) if found else None

    # ---- invoices ---------------------------------------------------------------------------------------------

    def invoice(
        self,
        key: str,
        *,
        customer: str,
        job: str,
        entity: str,
        currency: str,
        day: date,
        period: str,
        project: str,
        po_number: str,
        lines: Iterable[InvoiceLine],
        memo: str,
    ) -> str:
        """A draft invoice (pending approval). Its id."""
        self._load()
        values: dict[str, Any] = {
            "entity": customer,
            "job": job,
            "subsidiary": self._subsidiaries[entity],
            "currency": self._currencies[currency],
            "tranDate": day,
            "externalId": key,
            "memo": memo,
            "custbody_tieout_project": project,
            "custbody_tieout_period": period,
            "approvalStatus": "1",
            "item": {
                "items": [
                    {
                        "item": self._items[line.item],
                        "quantity": line.quantity,
                        "rate": line.rate,
                        "amount": line.amount,
                        "description": line.text,
                        "custcol_tieout_source": line.source,
                    }
                    for line in lines
                ]
            },
        }
        if po_number:
            values["otherRefNum"] = po_number
        return self.service.insert("invoice", values, actor=FINANCE)

    def approve(self, invoice: str) -> None:
        """Finance approves a draft; it posts."""
        self.service.act("invoice.approve", invoice, actor=FINANCE)

    def reject(self, invoice: str) -> None:
        """Finance rejects a draft; it stays, rejected."""
        self.service.act("invoice.reject", invoice, actor=FINANCE)

    def delete(self, invoice: str) -> None:
        """Finance deletes a draft."""
        self.service.delete("invoice", invoice, actor=FINANCE)

    def bills(self, where: str, params: Sequence[Any] = ()) -> list[Bill]:
        """Invoices by a condition over the transaction table's columns, oldest first."""
        self._load()
        rows = sorted(self.service.rows("invoice", where, params), key=lambda row: row["id"])
        return [self._bill(row) for row in rows]

    def _bill(self, row: Mapping[str, Any]) -> Bill:
        total = _dec(row["foreigntotal"])
        return Bill(
            id=str(row["id"]),
            number=str(row["tranid"] or ""),
            key=str(row["externalid"] or row["tranid"] or row["id"]),
            customer=str(row["entity"]),
            currency=self._symbols[str(row["currency"])],
            day=date.fromisoformat(row["trandate"][:10]),
            due=date.fromisoformat((row["duedate"] or row["trandate"])[:10]),
            created=date.fromisoformat(row["createddate"][:10]),
            total=total,
            open=_dec(row["amountremaining"]),
            status=str(row["status"]),
        )

    def bill(self, id: str) -> Bill:
        """One invoice as it is now."""
        return self.bills("id = ?", (int(id),))[0]

    def drafts(self) -> list[Bill]:
        """Invoices that wait for finance."""
        return self.bills("status = 'D'")

    def open_bills(self) -> list[Bill]:
        """Approved invoices that are not paid in full."""
        return self.bills("status = 'A'")

    # ---- money ------------------------------------------------------------------------------------------------

    def pay(
        self,
        customer: str,
        currency: str,
        day: date,
        amount: Decimal,
        applied: Sequence[tuple[str, Decimal]],
        check: str,
    ) -> str:
        """A payment applied to invoices; what is not applied stays as the customer's credit. The payment's id."""
        self._load()
        return self.service.insert(
            "customerPayment",
            {
                "customer": customer,
                "currency": self._currencies[currency],
                "tranDate": day,
                "payment": amount,
                "checkNumber": check,
                "apply": {
                    "items": [{"doc": {"id": invoice}, "apply": True, "amount": part} for invoice, part in applied]
                },
            },
            actor=FINANCE,
        )

    def credit(self, bill: Bill, entity: str, day: date, amount: Decimal, memo: str) -> str:
        """A credit memo over a net amount, applied to the invoice it corrects as far as it goes. Its id."""
        self._load()
        return self.service.insert(
            "creditMemo",
            {
                "entity": bill.customer,
                "currency": self._currencies[bill.currency],
                "subsidiary": self._subsidiaries[entity],
                "tranDate": day,
                "memo": memo,
                "item": {
                    "items": [
                        {
                            "item": self._items["SVC-TIME"],
                            "quantity": 1,
                            "rate": amount,
                            "amount": amount,
                            "description": memo,
                        }
                    ]
                },
                "apply": {"items": [{"doc": {"id": bill.id}, "apply": True}]},
            },
            actor=FINANCE,
        )

    def unapply(self, payment: str, invoice: str) -> None:
        """Take a payment off an invoice; the invoice is open again."""
        self.service.act("payment.unapply", payment, actor=FINANCE, invoice=invoice)

    def single_payments(self, first: date, last: date) -> list[tuple[str, Bill]]:
        """(payment id, invoice) of payments between two days that pay exactly one invoice whole, oldest first."""
        out = []
        for row in sorted(
            self.service.rows("customerPayment", "trandate BETWEEN ? AND ?", (first.isoformat(), last.isoformat())),
            key=lambda row: row["id"],
        ):
            links = list(self.service.rows("nexttransactionlinelink", "nextdoc = ?", (row["id"],)))
            if len(links) == 1:
                bill = self.bill(str(links[0]["previousdoc"]))
                if bill.open == 0 and bill.total == _dec(links[0]["foreignamount"]):
                    out.append((str(row["id"]), bill))
        return out

    def subsidiary_of(self, customer: str) -> str:
        """The entity code of a customer."""
        self._load()
        row = next(iter(self.service.rows("customer", "id = ?", (int(customer),))))
        return next(code for code, id in self._subsidiaries.items() if id == str(row["subsidiary"]))

    # ---- periods ----------------------------------------------------------------------------------------------

    def close_month(self, month: date) -> bool:
        """Close the accounting period that begins on the first of a month; False when it is closed already."""
        row = next(
            iter(
                self.service.rows(
                    "accountingperiod", "startdate = ? AND isquarter = 'F' AND isyear = 'F'", (month.isoformat(),)
                )
            ),
            None,
        )
        if row is None or row["closed"] == "T":
            return False
        self.service.act("period.close", str(row["periodname"]), actor=FINANCE)
        return True

    def keys(self, series: str) -> int:
        """How many invoices have a key that begins with this."""
        return sum(
            1 for _ in self.service.rows("invoice", "externalid >= ? AND externalid < ?", (series, series + "~"))
        )
