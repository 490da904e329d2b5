"""The documents that post: invoices, credit memos, payments, expense reports; tax, periods, applications, double entry.

What always holds, whatever sequence of writes came before (tests/platforms/netsuite/test_books.py):
  * debits equal credits per document, in the subsidiary's base currency
  * invoice: total = subtotal + tax, amountRemaining = total - applications, 0 <= amountRemaining <= total
  * payment and credit memo: unapplied = total - applied, never negative
  * the receivables account equals, per customer, open invoices less unapplied payments and credits

Signs follow the general ledger: on a line, plus is debit and minus is credit, so the revenue lines of an invoice are
negative in SuiteQL (amounts and quantities) and positive in the record service, as at the vendor.

An application is one row (document, payment or credit). It carries the base amount by which it relieves the document's
receivable, at the *document's* rate; what the payment's own rate makes of it goes to realised gain or loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from platforms.kit.sandbox.service import Refusal
from platforms.netsuite.sandbox.schema import BY_TYPE, EU, Record
from platforms.netsuite.sandbox.values import bad, bind, dec, money

if TYPE_CHECKING:
    from platforms.netsuite.sandbox.service import Body, Change, NetSuiteService

_ZERO = Decimal(0)
_NUMBERS = {"CustInvc": "INV", "CustCred": "CM", "CustPymt": "PYMT", "ExpRept": "EXP"}
_CREDIT_STATUS_DONE = "B"
# Header columns that change nothing in the general ledger: they may be edited in a closed period too.
_NO_GL = frozenset(
    [
        "memo",
        "otherrefnum",
        "email",
        "externalid",
        "custbody_tieout_project",
        "custbody_tieout_period",
        "startdate",
        "enddate",
        "voidreason",
    ]
)
_NO_GL_LINE = frozenset(("id", "memo", "custcol_tieout_source"))


def _user_error(text: str, *fields: str) -> Refusal:
    return Refusal("USER_ERROR", text, fields, 400)


class Ledger:
    """The rules of the documents over one service's store."""

    def __init__(self, service: NetSuiteService) -> None:
        self._service = service

    # -- what the documents share ------------------------------------------------------------------------------------

    def account(self, role: str) -> int:
        """The id of the account of a role: receivables, revenue, tax, undeposited, bank, fx, expense, payables."""
        accounts: dict[str, int] = self._remembered("accounts")
        return accounts[role]

    def _remembered(self, key: str) -> Any:
        # Written once by set-up and never changed, so one process may keep it.
        cache: dict[str, Any] = self._service.__dict__.setdefault("_set_up", {})
        if key not in cache:
            cache[key] = self._service.store.meta[f"netsuite.{key}"]
        return cache[key]

    def subsidiary_fits(self, customer: Mapping[str, Any], subsidiary: int) -> None:
        """Refuses a subsidiary that the customer is not related to."""
        if subsidiary == customer["subsidiary"]:
            return
        if not self._service.store.one(
            "SELECT 1 AS yes FROM customersubsidiaryrelationship WHERE entity = ? AND subsidiary = ?",
            (customer["id"], subsidiary),
        ):
            raise bad("subsidiary", subsidiary)

    def places(self, currency: int) -> int:
        """Decimals of a currency."""
        row = self._service.row("currency", currency)
        if row is None:
            raise bad("currency", currency)
        return int(row["currencyprecision"] if row["currencyprecision"] is not None else 2)

    def rate(self, currency: int, base: int, day: str) -> Decimal:
        """Units of `base` for one of `currency` on `day`: the latest rate that is effective by then."""
        if currency == base:
            return Decimal(1)
        store = self._service.store
        for source, target, inverse in ((currency, base, False), (base, currency, True)):
            found = store.one(
                "SELECT exchangerate FROM currencyrate WHERE transactioncurrency = ? AND basecurrency = ? "
                "AND effectivedate <= ? ORDER BY effectivedate DESC, id DESC LIMIT 1",
                (source, target, day),
            )
            if found is not None:
                value = dec(found["exchangerate"])
                return (1 / value).quantize(Decimal("1e-8")) if inverse else value
        own, other = self._service.row("currency", currency), self._service.row("currency", base)
        assert own is not None
        assert other is not None
        return (dec(own["exchangerate"]) / dec(other["exchangerate"])).quantize(Decimal("1e-8"))

    def period_of(self, day: str) -> dict[str, Any]:
        """The posting period a date falls in. Refuses dates outside all of them."""
        found = self._service.store.one(
            "SELECT * FROM accountingperiod WHERE startdate <= ? AND enddate >= ? AND isposting = "
            "'T' AND isquarter = 'F' "
            "AND isyear = 'F' AND isadjust = 'F'",
            (day, day),
        )
        if found is None:
            raise _user_error(f"There is no posting period for {day}. Set up accounting periods first.", "tranDate")
        return found

    def open_period(self, period: Mapping[str, Any]) -> None:
        """Refuses a period whose receivables are locked or that is closed."""
        if "T" in (period["closed"], period["alllocked"], period["arlocked"]):
            text = (
                f"This transaction is dated in the posting period {period['periodname']}, which is "
                "closed or locked for "
                "accounts receivable. Choose an open period or ask an administrator."
            )
            raise _user_error(text, "postingPeriod")

    def _period(self, id: int) -> dict[str, Any]:
        found = self._service.row("accountingperiod", id)
        if found is None:
            raise bad("postingPeriod", id)
        return found

    def _customer(self, id: int) -> dict[str, Any]:
        found = self._service.row("customer", id)
        if found is None:
            job = self._service.row("job", id)
            found = self._service.row("customer", int(job["parent"])) if job else None
        if found is None:
            raise bad("entity", id)
        return found

    def _header(self, record: Record, given: Mapping[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
        """Header columns shared by all customer documents, defaults filled in and checked."""
        service = self._service
        head: dict[str, Any] = {**(old or {}), **given}
        if not head.get("entity"):
            raise _user_error("Please enter value(s) for: Customer", "entity")
        customer = self._customer(int(head["entity"]))
        if int(head["entity"]) != customer["id"]:
            head["job"], head["entity"] = head["entity"], customer["id"]
        if old is not None and head["entity"] != old["entity"]:
            raise _user_error("You cannot change the customer of a saved transaction.", "entity")
        if customer["isinactive"] == "T" and old is None:
            raise _user_error(f"Customer {customer['entityid']} is inactive. Activate it or choose another.", "entity")
        head["subsidiary"] = head.get("subsidiary") or customer["subsidiary"]
        if old is not None and head["subsidiary"] != old["subsidiary"]:
            raise _user_error("You cannot change the subsidiary of a saved transaction.", "subsidiary")
        self.subsidiary_fits(customer, head["subsidiary"])
        head["currency"] = head.get("currency") or customer["currency"]
        if head["currency"] != customer["currency"]:
            raise bad("currency", head["currency"])
        head["trandate"] = head.get("trandate") or service.today()
        base = self._base(head["subsidiary"])
        moved = old is not None and head["trandate"] != old["trandate"]
        if "exchangerate" not in given and (old is None or moved):
            head["exchangerate"] = self.rate(head["currency"], base, head["trandate"])
        if dec(head.get("exchangerate")) <= 0 or (head["currency"] == base and dec(head["exchangerate"]) != 1):
            raise bad("exchangeRate", head.get("exchangerate"))
        if "postingperiod" not in given and (old is None or moved):
            head["postingperiod"] = self.period_of(head["trandate"])["id"]
        if head.get("job"):
            self._job_fits(int(head["job"]), head, "job")
        if old is not None and "tranid" in given and given["tranid"] != old["tranid"]:
            raise _user_error("Document numbers are assigned by the ledger and cannot be changed.", "tranId")
        if old is None and given.get("tranid"):
            raise _user_error("Document numbers are assigned by the ledger; leave tranId out.", "tranId")
        return head

    def _base(self, subsidiary: int) -> int:
        row = self._service.row("subsidiary", subsidiary)
        if row is None:
            raise bad("subsidiary", subsidiary)
        return int(row["currency"])

    def _job_fits(self, job_id: int, head: Mapping[str, Any], path: str) -> None:
        job = self._service.row("job", job_id)
        if job is None or job["parent"] != head["entity"]:
            raise bad("job", job_id, path)
        if job["isinactive"] == "T":
            raise _user_error(f"Project {job['entityid']} is inactive.", path)

    def _identify(self, record: Record, head: dict[str, Any]) -> int:
        """Give a new document its id and numbers. A refused write takes them back: numbers have no gaps."""
        service = self._service
        kind = record.where["type"]
        subsidiary = service.row("subsidiary", head["subsidiary"]) or {}
        prefix = f"{subsidiary.get('tranprefix') or ''}{_NUMBERS[kind]}"
        head["tranid"] = f"{prefix}{service.number('tranid.' + prefix, exact=True, start=1001)}"
        head["transactionnumber"] = f"{_NUMBERS[kind]}{service.number('number.' + kind, exact=True)}"
        head["createddate"] = service.now()
        head["nexus"] = subsidiary.get("country")
        return service.number("transaction", exact=True, start=1001)

    # -- create, change, remove --------------------------------------------------------------------------------------

    def create(self, record: Record, body: Body, actor: str) -> int:
        """A new document; returns its id."""
        if record.name in ("invoice", "creditMemo"):
            return self._sale(record, body, actor, None)
        if record.name == "customerPayment":
            return self._payment(record, body, actor)
        return self._expense(record, body)

    def change(self, record: Record, id: int, body: Body, actor: str) -> None:
        """Edit a document; what posts needs an open period."""
        old = self._document(id)
        if old["voided"] == "T":
            raise _user_error("A voided transaction cannot be changed.")
        if record.name in ("invoice", "creditMemo"):
            self._sale(record, body, actor, old)
        elif record.name == "customerPayment":
            self._change_payment(old, body)
        else:
            self._set(id, {c: v for c, v in body.columns.items() if c in _NO_GL})
        if "apply" in body.sublists:
            self._apply_list(self._document(id), body.sublists["apply"])
        self._set(id, {"lastmodifieddate": self._service.now()})

    def remove(self, record: Record, id: int, actor: str) -> None:
        """Delete a document and its lines; refused when something is applied to it or its period is locked."""
        old = self._document(id)
        store = self._service.store
        if store.one("SELECT 1 AS yes FROM transactionlinelink WHERE previousdoc = ?", (id,)):
            raise _user_error("This transaction cannot be deleted because payments or credits are applied to it.")
        if old["posting"] == "T":
            self.open_period(self._period(old["postingperiod"]))
        self._unapply_all(old)
        for table in ("transactionline", "transactionaccountingline"):
            store.write(f'DELETE FROM {table} WHERE "transaction" = ?', (id,))
        store.write('DELETE FROM "transaction" WHERE id = ?', (id,))

    def _document(self, id: int) -> dict[str, Any]:
        found = self._service.store.one('SELECT * FROM "transaction" WHERE id = ?', (id,))
        assert found is not None
        return found

    def _set(self, id: int, values: Mapping[str, Any]) -> None:
        self._service.set_row("transaction", id, values)

    # -- invoices and credit memos -----------------------------------------------------------------------------------

    def _sale(self, record: Record, body: Body, actor: str, old: dict[str, Any] | None) -> int:
        given = dict(body.columns)
        kind = record.where["type"]
        approval = given.pop("approvalstatus", None)
        change = body.sublists.get("item")
        if old is not None and self._touches_no_gl(given, change, old):
            self._retouch(old, given, change)
            self._set_approval(old, approval, actor)
            return int(old["id"])
        head = self._header(record, given, old)
        places = self.places(head["currency"])
        lines = self._merged(old, change)
        if not lines:
            raise _user_error("You must enter at least one line item for this transaction.", "item")
        for n, line in enumerate(lines):
            self._price(line, head, places, f"item.items[{n}]")
        head["subtotal"] = sum((line["amount"] for line in lines), _ZERO)
        head["taxtotal"] = sum((line["tax1amt"] for line in lines), _ZERO)
        head["discounttotal"] = _ZERO
        head["total"] = head["subtotal"] + head["taxtotal"]
        if head["total"] < 0:
            raise _user_error("The total amount of the transaction must not be negative.", "total")
        if old is not None:
            used = dec(old["amountpaid"]) if kind == "CustInvc" else dec(old["applied"])
            if used > head["total"]:
                text = f"The total {head['total']} is less than the {used} already applied."
                raise _user_error(text, "total")
        if kind == "CustInvc":
            self._due(head, given, old)
        new = old is None
        pending = kind == "CustInvc" and bool(self._service.preference("approval_routing"))
        if new:
            head["approvalstatus"] = "1" if pending else "2"
            head["posting"] = "F" if pending else "T"
            head["voided"] = "F"
        if old is not None and old["posting"] == "T":
            self.open_period(self._period(old["postingperiod"]))
        self.open_period(self._period(head["postingperiod"]))
        id = self._identify(record, head) if new else int(head["id"])
        head |= {"id": id, "type": kind, "lastmodifieddate": self._service.now()}
        head["foreigntotal"] = head["total"] if kind == "CustInvc" else -head["total"]
        head["account"] = head.get("account") or self.account("receivables")
        head["amountpaid"] = dec(head.get("amountpaid"))
        head["amountremaining"] = head["total"] - head["amountpaid"]
        head["applied"] = dec(head.get("applied"))
        head["unapplied"] = head["total"] - head["applied"] if kind == "CustCred" else None
        head["basepaid"] = dec(head.get("basepaid"))
        head["status"] = self._sale_status(head)
        self._post_sale(head, lines, places, sign=1 if kind == "CustInvc" else -1)
        if not new:
            self._refresh_target(id, moved=False) if kind == "CustInvc" else self._refresh_source(id)
        if new and approval is not None:
            self._set_approval(self._document(id), approval, actor)
        elif not new and old is not None:
            self._set_approval(old, approval, actor)
        if new and kind == "CustCred":
            if "apply" in body.sublists:
                self._apply_list(self._document(id), body.sublists["apply"])
            elif given.get("autoapply") == "T":
                self._auto_apply(self._document(id))
        return id

    def _touches_no_gl(self, given: Mapping[str, Any], change: Change | None, old: Mapping[str, Any]) -> bool:
        if any(value != old.get(column) for column, value in given.items() if column not in _NO_GL):
            return False
        if change is None:
            return True
        known = {line["id"] for line in self._lines(int(old["id"]))}
        return not change.replace and all(
            line.get("id") in known and not set(line) - _NO_GL_LINE for line in change.items
        )

    def _retouch(self, old: Mapping[str, Any], given: Mapping[str, Any], change: Change | None) -> None:
        service = self._service
        self._set(int(old["id"]), {**given, "lastmodifieddate": service.now()})
        for line in change.items if change else ():
            values = {column: value for column, value in line.items() if column != "id"}
            sets = "".join(f', "{column}" = ?' for column in values)
            service.store.write(
                f'UPDATE transactionline SET linelastmodifieddate = ?{sets} WHERE "transaction" = ? AND id = ?',
                (service.now(), *values.values(), old["id"], line["id"]),
            )

    def _lines(self, id: int) -> list[dict[str, Any]]:
        return self._service.store.read(
            "SELECT * FROM transactionline WHERE \"transaction\" = ? AND mainline = 'F' AND taxline = 'F' "
            "AND item IS NOT NULL ORDER BY linesequencenumber",
            (id,),
        )

    def _merged(self, old: Mapping[str, Any] | None, change: Change | None) -> list[dict[str, Any]]:
        """The lines as they shall be: those there, merged by `line`, and the new ones behind them."""
        lines = [] if old is None or (change is not None and change.replace) else self._lines(int(old["id"]))
        for line in lines:
            # Stored with the ledger's sign; worked on with the document's.
            for column in ("quantity", "amount", "tax1amt", "grossamt"):
                line[column] = dec(line[column])
            sign = -1 if old is not None and old["type"] == "CustInvc" else 1
            line["quantity"] *= sign
        by_line = {line["id"]: line for line in lines}
        for sent in change.items if change else ():
            known = by_line.get(sent.get("id"))
            if known is not None:
                if sent.keys() & {"quantity", "rate"} and "amount" not in sent:
                    known["amount"] = None
                known.update(sent)
            else:
                line = dict(sent)
                line["id"] = sent.get("id") or max([0, *by_line]) + 1
                by_line[line["id"]] = line
                lines.append(line)
        return lines

    def _price(self, line: dict[str, Any], head: Mapping[str, Any], places: int, path: str) -> None:
        service = self._service
        if not line.get("item"):
            raise _user_error("Please enter value(s) for: Item", f"{path}.item")
        item = service.row("item", int(line["item"]))
        if item is None:
            raise bad("item", line["item"], f"{path}.item")
        if item["isinactive"] == "T":
            raise _user_error(f"Item {item['itemid']} is inactive.", f"{path}.item")
        if line.get("job"):
            self._job_fits(int(line["job"]), head, f"{path}.job")
        quantity, rate, amount = line.get("quantity"), line.get("rate"), line.get("amount")
        quantity = dec(quantity) if quantity is not None else Decimal(1)
        if rate is None and amount is None:
            rate = item["rate"]
            if rate is None:
                raise _user_error("Please enter value(s) for: Amount", f"{path}.amount")
        # A given amount stands; what is missing follows from the other two, rounded half up.
        if amount is None:
            amount = money(quantity * dec(rate), places)
        elif rate is None:
            rate = (dec(amount) / quantity).quantize(Decimal("1e-8")) if quantity else dec(amount)
        code = self._tax_code(line, head)
        line |= {
            "quantity": quantity,
            "rate": dec(rate),
            "amount": money(dec(amount), places),
            "itemtype": item["itemtype"],
            "incomeaccount": item["incomeaccount"] or self.account("revenue"),
            "taxcode": code["id"],
            "taxrate1": dec(code["rate"]),
        }
        line["tax1amt"] = money(line["amount"] * line["taxrate1"] / 100, places)
        line["grossamt"] = line["amount"] + line["tax1amt"]
        line["istaxable"] = "T" if line["taxrate1"] else "F"

    def _tax_code(self, line: Mapping[str, Any], head: Mapping[str, Any]) -> dict[str, Any]:
        """The line's own code, else the customer's, else what subsidiary and customer's country make of a service."""
        service = self._service
        subsidiary = service.row("subsidiary", head["subsidiary"]) or {}
        customer = service.row("customer", head["entity"]) or {}
        chosen = line.get("taxcode") or customer.get("taxitem")
        if not chosen:
            chosen = self._remembered("tax")[_treatment(subsidiary, customer)]
        code = service.row("salestaxitem", int(chosen))
        if code is None or code["isinactive"] == "T":
            raise bad("taxCode", chosen, "item.taxCode")
        if code["country"] and code["country"] != subsidiary.get("country"):
            raise bad("taxCode", code["itemid"], "item.taxCode")
        return code

    def _due(self, head: dict[str, Any], given: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
        customer = self._service.row("customer", head["entity"]) or {}
        head["terms"] = head.get("terms") or customer.get("terms")
        if given.get("duedate") or (old is not None and not given.keys() & {"terms", "trandate", "duedate"}):
            pass
        elif head["terms"]:
            term = self._service.row("term", int(head["terms"])) or {}
            day = date.fromisoformat(head["trandate"]) + timedelta(days=int(term.get("daysuntilnetdue") or 0))
            head["duedate"] = day.isoformat()
        else:
            head["duedate"] = head["trandate"]
        if head["duedate"] < head["trandate"]:
            raise _user_error("The due date is before the transaction date.", "dueDate")

    @staticmethod
    def _sale_status(head: Mapping[str, Any]) -> str:
        if head.get("voided") == "T":
            return "V"
        if head["type"] == "CustCred":
            return _CREDIT_STATUS_DONE if dec(head["applied"]) == dec(head["total"]) else "A"
        if head["approvalstatus"] == "1":
            return "D"
        if head["approvalstatus"] == "3":
            return "E"
        return "B" if dec(head["amountremaining"]) == 0 else "A"

    def _post_sale(self, head: dict[str, Any], lines: list[dict[str, Any]], places: int, sign: int) -> None:
        """Write header, lines and double entry. `sign` is 1 for an invoice, -1 for a credit memo."""
        rate = dec(head["exchangerate"])
        base_places = self.places(self._base(head["subsidiary"]))
        taxes: dict[int, Decimal] = {}
        tax_base: dict[int, Decimal] = {}
        for line in lines:
            taxes[line["taxcode"]] = taxes.get(line["taxcode"], _ZERO) + line["tax1amt"]
        rows, entries = [], []
        total_base = _ZERO
        for line in lines:
            net = money(line["amount"] * rate, base_places)
            total_base += net
            rows.append(
                self._line(
                    head, line["id"], item=line["item"], itemtype=line["itemtype"], quantity=-sign * line["quantity"],
                    rate=line["rate"], foreignamount=-sign * line["amount"], netamount=-sign * net,
                    memo=line.get("memo"),
                    entity=line.get("job") or head["entity"], department=line.get("department"), **{
                        "class": line.get("class"), "location": line.get("location"), "taxcode": line["taxcode"],
                        "taxrate1": line["taxrate1"], "tax1amt": line["tax1amt"], "grossamt": line["grossamt"],
                        "amount": line["amount"], "istaxable": line["istaxable"], "price": line.get("price"),
                        "job": line.get("job"), "uniquekey": line.get("uniquekey"),
                        "custcol_tieout_source": line.get("custcol_tieout_source"), "isbillable": "F",
                    },
                )
            )  # fmt: skip
            entries.append(self._entry(head, line["id"], line["incomeaccount"], -sign * net))
        number = max(line["id"] for line in lines)
        for code, tax in taxes.items():
            if not tax:
                continue
            number += 1
            tax_base[code] = money(tax * rate, base_places)
            total_base += tax_base[code]
            item = self._service.row("salestaxitem", code) or {}
            rows.append(
                self._line(
                    head, number, item=code, itemtype="TaxItem", taxline="T", rate=item.get("rate"), taxcode=code,
                    foreignamount=-sign * tax, netamount=-sign * tax_base[code], entity=head["entity"],
                )
            )  # fmt: skip
            entries.append(self._entry(head, number, self.account("tax"), -sign * tax_base[code]))
        head["basetotal"] = total_base
        main = {
            "foreignamount": sign * head["total"],
            "netamount": sign * total_base,
            "mainline": "T",
            "entity": head["entity"],
            "memo": head.get("memo"),
            "createdfrom": head.get("createdfrom"),
        }
        receivable = self._entry(head, 0, head["account"], sign * total_base)
        if head["type"] == "CustInvc":
            main |= {"foreignamountpaid": head["amountpaid"], "foreignamountunpaid": head["amountremaining"]}
            receivable |= {"amountpaid": head["basepaid"], "amountunpaid": total_base - head["basepaid"]}
        else:
            main |= {"foreignpaymentamountused": head["applied"], "foreignpaymentamountunused": head["unapplied"]}
            receivable |= {"paymentamountused": _ZERO, "paymentamountunused": total_base}
        rows.insert(0, self._line(head, 0, **main))
        entries.insert(0, receivable)
        self._store(head, rows, entries)

    def _line(self, head: Mapping[str, Any], id: int, **values: Any) -> dict[str, Any]:
        return {
            "id": id,
            "transaction": head["id"],
            "linesequencenumber": id,
            "mainline": "F",
            "taxline": "F",
            "subsidiary": head["subsidiary"],
            "currency": head["currency"],
            "isclosed": "F",
            "linelastmodifieddate": self._service.now(),
            **values,
        }

    def _entry(self, head: Mapping[str, Any], line: int, account: int, amount: Decimal) -> dict[str, Any]:
        return {
            "transaction": head["id"],
            "transactionline": line,
            "accountingbook": 1,
            "account": account,
            "amount": amount,
            "debit": amount if amount > 0 else None,
            "credit": -amount if amount < 0 else None,
            "netamount": amount,
            "exchangerate": head["exchangerate"],
            "posting": head["posting"],
            "lastmodifieddate": self._service.now(),
        }

    def _store(
        self, head: Mapping[str, Any], rows: Sequence[dict[str, Any]], entries: Sequence[Mapping[str, Any]]
    ) -> None:
        service, id = self._service, head["id"]
        known = {
            row["id"]: row["uniquekey"]
            for row in service.store.read('SELECT id, uniquekey FROM transactionline WHERE "transaction" = ?', (id,))
        }
        fresh = [row for row in rows if not row.get("uniquekey") and row["id"] not in known]
        key = service.number("uniquekey", len(fresh)) if fresh else 0
        for row in rows:
            row["uniquekey"] = row.get("uniquekey") or known.get(row["id"])
            if row["uniquekey"] is None:
                row["uniquekey"], key = key, key + 1
        if known:
            service.store.write('DELETE FROM transactionline WHERE "transaction" = ?', (id,))
            service.store.write('DELETE FROM transactionaccountingline WHERE "transaction" = ?', (id,))
        service.write_row("transaction", {c: v for c, v in head.items() if c not in ("autoapply", "undepfunds_")})
        _insert(service, "transactionline", rows)
        _insert(service, "transactionaccountingline", entries)

    # -- approval, voiding, periods ----------------------------------------------------------------------------------

    def act(self, record: Record, verb: str, id: int, actor: str, params: Mapping[str, Any]) -> Any:
        """Buttons of a document: approve, reject, submit, void, apply, unapply."""
        document = self._document(id)
        if verb in ("approve", "reject", "submit") and record.name == "invoice":
            self._set_approval(document, {"approve": "2", "reject": "3", "submit": "1"}[verb], actor)
        elif verb == "approve" and record.name == "expenseReport":
            self._approve_expense(document, actor)
        elif verb == "void":
            self._void(document, str(params.get("reason", "")))
        elif verb == "apply" and document["type"] in ("CustPymt", "CustCred"):
            self._apply(document, int(params["invoice"]), dec(params["amount"]) if "amount" in params else None)
            self._set(id, {"lastmodifieddate": self._service.now()})
        elif verb == "unapply" and document["type"] in ("CustPymt", "CustCred"):
            if "invoice" in params:
                self._apply(document, int(params["invoice"]), _ZERO)
            else:
                self._unapply_all(document)
            self._set(id, {"lastmodifieddate": self._service.now()})
        else:
            raise _user_error(f"There is no action '{verb}' for {record.name}.")
        return None

    def _set_approval(self, document: Mapping[str, Any], wanted: str | None, actor: str) -> None:
        if wanted is None or document["type"] != "CustInvc" or wanted == document["approvalstatus"]:
            return
        if not self._service.may_approve(actor):
            raise Refusal(
                "INSUFFICIENT_PERMISSION",
                "Permission Violation: Your role does not have permission to approve or reject transactions.",
                ("approvalStatus",), 403,
            )  # fmt: skip
        current = document["approvalstatus"]
        if wanted == "11" or (current, wanted) not in {("1", "2"), ("1", "3"), ("3", "1"), ("3", "2")}:
            text = f"The approval status cannot change from {current} to {wanted}."
            raise _user_error(text, "approvalStatus")
        if document["voided"] == "T":
            raise _user_error("A voided transaction cannot be approved.", "approvalStatus")
        self.open_period(self._period(document["postingperiod"]))
        id = int(document["id"])
        posting = "T" if wanted == "2" else "F"
        head = {**document, "approvalstatus": wanted, "posting": posting}
        now = self._service.now()
        status = self._sale_status(head)
        self._set(id, {"approvalstatus": wanted, "posting": posting, "status": status, "lastmodifieddate": now,
                       "closedate": document["trandate"] if status == "B" else None})  # fmt: skip
        self._service.store.write(
            'UPDATE transactionaccountingline SET posting = ?, lastmodifieddate = ? WHERE "transaction" = ?',
            (posting, now, id),
        )

    def _void(self, document: Mapping[str, Any], reason: str) -> None:
        id = int(document["id"])
        if document["voided"] == "T":
            raise _user_error("This transaction is voided already.")
        if self._service.store.one("SELECT 1 AS yes FROM transactionlinelink WHERE previousdoc = ?", (id,)):
            raise _user_error("This transaction cannot be voided because payments or credits are applied to it.")
        self.open_period(self._period(document["postingperiod"]))
        self._unapply_all(document)
        now = self._service.now()
        nothing = dict.fromkeys(
            ("foreigntotal", "subtotal", "taxtotal", "total", "amountpaid", "amountremaining", "basetotal", "basepaid"),
            0,
        )
        if document["type"] != "CustInvc":
            nothing |= {"applied": 0, "unapplied": 0}
        memo = f"VOID {document['memo'] or ''}".strip()
        self._set(id, {**nothing, "voided": "T", "status": "V", "memo": memo, "voidreason": reason or None,
                       "lastmodifieddate": now})  # fmt: skip
        store = self._service.store
        store.write(
            "UPDATE transactionline SET foreignamount = 0, netamount = 0, amount = 0, tax1amt = 0, grossamt = 0, "
            "foreignamountpaid = iif(foreignamountpaid IS NULL, NULL, 0), "
            "foreignamountunpaid = iif(foreignamountunpaid IS NULL, NULL, 0), "
            "foreignpaymentamountused = iif(foreignpaymentamountused IS NULL, NULL, 0), "
            "foreignpaymentamountunused = iif(foreignpaymentamountunused IS NULL, NULL, 0), "
            'linelastmodifieddate = ? WHERE "transaction" = ?',
            (now, id),
        )
        store.write(
            "UPDATE transactionaccountingline SET amount = 0, debit = NULL, credit = NULL, netamount = 0, "
            "amountpaid = iif(amountpaid IS NULL, NULL, 0), amountunpaid = iif(amountunpaid IS NULL, NULL, 0), "
            "paymentamountused = iif(paymentamountused IS NULL, NULL, 0), "
            "paymentamountunused = iif(paymentamountunused IS NULL, NULL, 0), "
            'lastmodifieddate = ? WHERE "transaction" = ?',
            (now, id),
        )

    def period(self, verb: str, id: str, actor: str, **params: Any) -> None:
        """`close`, `lock` (receivables only) or `reopen` a period by id, name ('Jan 2026') or month ('2026-01')."""
        if not self._service.may_approve(actor):
            raise Refusal("INSUFFICIENT_PERMISSION", "Permission Violation: Manage Accounting Periods.", (), 403)
        found = self._service.store.one(
            "SELECT * FROM accountingperiod WHERE isquarter = 'F' AND isyear = 'F' AND (periodname = ? OR "
            "startdate = ? || '-01' OR id = ?)",
            (id, id, int(id) if id.isdigit() else -1),
        )
        if found is None:
            raise Refusal("NONEXISTENT_ID", f"There is no accounting period {id}.", (), 404)
        now = self._service.now()
        shut = {"close": ("T", "T", "T", "T"), "lock": ("F", "T", "F", "F"), "reopen": ("F", "F", "F", "F")}
        if verb not in shut:
            raise _user_error(f"There is no action '{verb}' for accountingPeriod.")
        closed, receivables, payables, everything = shut[verb]
        self._service.set_row(
            "accountingperiod",
            int(found["id"]),
            {
                "closed": closed,
                "arlocked": receivables,
                "aplocked": payables,
                "alllocked": everything,
                "closedondate": now[:10] if closed == "T" else None,
                "lastmodifieddate": now,
            },
        )

    # -- payments and applications -----------------------------------------------------------------------------------

    def _payment(self, record: Record, body: Body, actor: str) -> int:
        given = dict(body.columns)
        applies = body.sublists.get("apply")
        wanted = [a for a in (applies.items if applies else ()) if a.get("apply", "T") == "T" and a.get("doc")]
        if wanted and not given.get("subsidiary"):
            first = self._service.row("transaction", int(wanted[0]["doc"]))
            given["subsidiary"] = first["subsidiary"] if first else None
        head = self._header(record, given, None)
        places = self.places(head["currency"])
        amount = head.pop("payment", None)
        if amount is None and all(a.get("amount") is not None for a in wanted):
            amount = sum((dec(a["amount"]) for a in wanted), _ZERO)
        elif amount is None:
            amount = sum(
                (dec(a["amount"]) if a.get("amount") is not None
                 else dec(self._document(int(a["doc"]))["amountremaining"]) for a in wanted), _ZERO,
            )  # fmt: skip
        amount = dec(amount)
        if amount <= 0:
            raise _user_error("Please enter a payment amount greater than zero.", "payment")
        if amount != money(amount, places):
            raise bad("payment", amount)
        self.open_period(self._period(head["postingperiod"]))
        funds = head.pop("undepfunds", None)
        if funds is None:
            funds = "F" if head.get("account") else "T"
        head.pop("araccount", None)
        auto = head.pop("autoapply", None)
        head["account"] = self.account("undeposited") if funds == "T" else head.get("account") or self.account("bank")
        id = self._identify(record, head)
        head |= {
            "id": id,
            "type": "CustPymt",
            "posting": "T",
            "voided": "F",
            "status": "B" if funds == "T" else "C",
            "undepfunds": funds,
            "total": amount,
            "foreigntotal": amount,
            "payment": amount,
            "applied": _ZERO,
            "unapplied": amount,
            "lastmodifieddate": self._service.now(),
        }
        self._post_payment(head)
        if applies is not None:
            self._apply_list(self._document(id), applies)
        elif auto == "T":
            self._auto_apply(self._document(id))
        return id

    def _post_payment(self, head: dict[str, Any]) -> None:
        base_places = self.places(self._base(head["subsidiary"]))
        base = money(dec(head["total"]) * dec(head["exchangerate"]), base_places)
        head["basetotal"] = base
        amount = dec(head["total"])
        used = {
            "foreignpaymentamountused": dec(head["applied"]),
            "foreignpaymentamountunused": amount - dec(head["applied"]),
        }
        rows = [
            self._line(head, 0, foreignamount=amount, netamount=base, mainline="T", entity=head["entity"],
                       memo=head.get("memo"), **used),
            self._line(head, 1, foreignamount=-amount, netamount=-base, entity=head["entity"]),
        ]  # fmt: skip
        entries = [
            self._entry(head, 0, head["account"], base),
            self._entry(head, 1, self.account("receivables"), -base)
            | {"paymentamountused": _ZERO, "paymentamountunused": base},
        ]
        self._store(head, rows, entries)

    def _change_payment(self, old: dict[str, Any], body: Body) -> None:
        given = {c: v for c, v in body.columns.items() if v != old.get(c)}
        if given.keys() <= _NO_GL:
            self._set(int(old["id"]), given)
            return
        self.open_period(self._period(old["postingperiod"]))
        head = self._header(BY_TYPE["CustPymt"], given, old)
        self.open_period(self._period(head["postingperiod"]))
        amount = dec(given.get("payment", old["total"]))
        if amount < dec(old["applied"]) or amount <= 0:
            raise _user_error(f"The payment {amount} is less than the {old['applied']} already applied.", "payment")
        head |= {"total": amount, "foreigntotal": amount, "payment": amount, "unapplied": amount - dec(old["applied"])}
        self._post_payment(head)
        self._refresh_source(int(old["id"]))

    def _apply_list(self, source: dict[str, Any], change: Change) -> None:
        if change.replace:
            self._unapply_all(source)
            source = self._document(source["id"])
        for n, item in enumerate(change.items):
            if not item.get("doc"):
                raise _user_error("Please enter value(s) for: Applied To", f"apply.items[{n}].doc")
            amount = _ZERO if item.get("apply", "T") == "F" else item.get("amount")
            self._apply(source, int(item["doc"]), None if amount is None else dec(amount), f"apply.items[{n}]")
            source = self._document(source["id"])

    def _auto_apply(self, source: dict[str, Any]) -> None:
        """To the customer's open invoices, the one due first taken first."""
        for row in self._service.store.read(
            "SELECT id FROM \"transaction\" WHERE type = 'CustInvc' AND entity = ? AND subsidiary = "
            "? AND posting = 'T' "
            "AND amountremaining > 0 ORDER BY duedate, id",
            (source["entity"], source["subsidiary"]),
        ):
            source = self._document(source["id"])
            if dec(source["unapplied"]) <= 0:
                return
            self._apply(source, row["id"], None)

    def _unapply_all(self, source: Mapping[str, Any]) -> None:
        for link in self._service.store.read(
            "SELECT previousdoc FROM transactionlinelink WHERE nextdoc = ?", (source["id"],)
        ):
            self._apply(dict(source), link["previousdoc"], _ZERO)

    def _apply(self, source: Mapping[str, Any], target_id: int, amount: Decimal | None, path: str = "apply") -> None:
        """Let a payment or credit pay exactly `amount` of a document; None = as much as fits; 0 = take it back."""
        store = self._service.store
        target = self._service.store.one('SELECT * FROM "transaction" WHERE id = ?', (target_id,))
        if target is None or target["type"] != "CustInvc" or target["entity"] != source["entity"]:
            raise bad("doc", target_id, f"{path}.doc")
        if target["currency"] != source["currency"] or target["subsidiary"] != source["subsidiary"]:
            raise bad("doc", target_id, f"{path}.doc")
        if target["posting"] != "T" or target["voided"] == "T" or source["voided"] == "T":
            raise _user_error(f"Transaction {target['tranid']} is not open and cannot be paid.", f"{path}.doc")
        link = store.one(
            "SELECT * FROM transactionlinelink WHERE previousdoc = ? AND nextdoc = ?", (target_id, source["id"])
        ) or {"foreignamount": 0, "baseamount": 0}
        remaining = dec(target["amountremaining"]) + dec(link["foreignamount"])
        available = dec(source["unapplied"]) + dec(link["foreignamount"])
        if amount is None:
            amount = min(remaining, available)
        if amount < 0 or amount != money(amount, self.places(target["currency"])):
            raise bad("amount", amount, f"{path}.amount")
        if amount > remaining:
            text = f"The amount {amount} is more than the {remaining} that remains open on {target['tranid']}."
            raise _user_error(text, f"{path}.amount")
        if amount > available:
            text = f"The amount {amount} is more than the {available} of {source['tranid']} that is not applied yet."
            raise _user_error(text, f"{path}.amount")
        open_base = dec(target["basetotal"]) - dec(target["basepaid"]) + dec(link["baseamount"])
        rate = dec(target["exchangerate"])
        # The last application takes what is left in base currency, so that a paid invoice leaves no residue there.
        places = self.places(self._base(target["subsidiary"]))
        base = open_base if amount == remaining else min(open_base, money(amount * rate, places))
        if amount == 0:
            store.write(
                "DELETE FROM transactionlinelink WHERE previousdoc = ? AND nextdoc = ?", (target_id, source["id"])
            )
        else:
            store.write(
                "INSERT OR REPLACE INTO transactionlinelink (previousdoc, previousline, "
                "previoustype, previousdate, nextdoc, "
                "nextline, nexttype, nextdate, linktype, foreignamount, baseamount) "
                "VALUES (?, 0, 'CustInvc', ?, ?, ?, ?, ?, 'Payment', ?, ?)",
                (target_id, target["trandate"], source["id"], 1 if source["type"] == "CustPymt" else 0, source["type"],
                 source["trandate"], bind(amount), bind(base)),
            )  # fmt: skip
        self._refresh_target(target_id, moved=bool(self._service.preference("move_invoice_on_payment")))
        self._refresh_source(int(source["id"]))

    def _refresh_target(self, id: int, *, moved: bool) -> None:
        """Bring an invoice's paid and open amounts and its status in step with its applications."""
        store = self._service.store
        document = self._document(id)
        links = store.read(
            "SELECT foreignamount, baseamount, nextdate FROM transactionlinelink WHERE previousdoc = ?", (id,)
        )
        paid = sum((dec(link["foreignamount"]) for link in links), _ZERO)
        base = sum((dec(link["baseamount"]) for link in links), _ZERO)
        remaining = dec(document["total"]) - paid
        head = {**document, "amountremaining": remaining}
        status = self._sale_status(head)
        values: dict[str, Any] = {
            "amountpaid": paid,
            "amountremaining": remaining,
            "basepaid": base,
            "status": status,
            "closedate": max([link["nextdate"] for link in links], default=document["trandate"])
            if status == "B"
            else None,
        }
        if moved:
            values["lastmodifieddate"] = self._service.now()
        self._set(id, values)
        store.write(
            "UPDATE transactionline SET foreignamountpaid = ?, foreignamountunpaid = ? WHERE "
            '"transaction" = ? AND id = 0',
            (bind(paid), bind(remaining), id),
        )
        store.write(
            "UPDATE transactionaccountingline SET amountpaid = ?, amountunpaid = ? "
            'WHERE "transaction" = ? AND transactionline = 0',
            (bind(base), bind(dec(document["basetotal"]) - base), id),
        )

    def _refresh_source(self, id: int) -> None:
        """Bring a payment's or credit's used amounts, its receivables entry and its gain or loss in step."""
        store, document = self._service.store, self._document(id)
        links = store.read("SELECT foreignamount, baseamount FROM transactionlinelink WHERE nextdoc = ?", (id,))
        applied = sum((dec(link["foreignamount"]) for link in links), _ZERO)
        relieved = sum((dec(link["baseamount"]) for link in links), _ZERO)
        total, total_base = dec(document["total"]), dec(document["basetotal"])
        unapplied = total - applied
        rest = total_base
        if applied:
            places = self.places(self._base(document["subsidiary"]))
            rest = money(unapplied * dec(document["exchangerate"]), places)
            if not unapplied:
                rest = _ZERO
        credit = relieved + rest
        values: dict[str, Any] = {"applied": applied, "unapplied": unapplied}
        if document["type"] == "CustCred":
            values["status"] = self._sale_status({**document, **values})
        self._set(id, values)
        line = 1 if document["type"] == "CustPymt" else 0
        before = store.one(
            'SELECT amount FROM transactionaccountingline WHERE "transaction" = ? AND transactionline = ?', (id, line)
        )
        if before is not None and dec(before["amount"]) != -credit:
            self.open_period(self._period(document["postingperiod"]))
            self._gain(document, line, credit, total_base - credit)
        store.write(
            "UPDATE transactionline SET foreignpaymentamountused = ?, foreignpaymentamountunused = ? "
            "WHERE \"transaction\" = ? AND mainline = 'T'",
            (bind(applied), bind(unapplied), id),
        )
        store.write(
            "UPDATE transactionaccountingline SET paymentamountused = ?, paymentamountunused = ? "
            'WHERE "transaction" = ? AND transactionline = ?',
            (bind(relieved), bind(rest), id, line),
        )

    def _gain(self, document: Mapping[str, Any], line: int, credit: Decimal, gain: Decimal) -> None:
        """Restate the receivables entry of a payment or credit; the difference is realised gain (plus) or loss."""
        store, id = self._service.store, document["id"]
        store.write(
            'UPDATE transactionaccountingline SET amount = ?, credit = ?, netamount = ? WHERE "transaction" = ? '
            "AND transactionline = ?",
            (bind(-credit), bind(credit), bind(-credit), id, line),
        )
        store.write(
            'UPDATE transactionline SET netamount = ? WHERE "transaction" = ? AND id = ?', (bind(-credit), id, line)
        )
        fx = self.account("fx")
        known = store.one(
            'SELECT transactionline AS line FROM transactionaccountingline WHERE "transaction" = ? AND account = ?',
            (id, fx),
        )
        if known is not None:
            for table, column in (("transactionaccountingline", "transactionline"), ("transactionline", "id")):
                store.write(f'DELETE FROM {table} WHERE "transaction" = ? AND {column} = ?', (id, known["line"]))
        if gain:
            last = store.one('SELECT max(id) AS last FROM transactionline WHERE "transaction" = ?', (id,)) or {}
            number = int(last["last"]) + 1
            row = self._line(document, number, foreignamount=_ZERO, netamount=-gain, entity=document["entity"],
                             memo="Realized gain or loss", uniquekey=self._service.number("uniquekey"))  # fmt: skip
            _insert(self._service, "transactionline", [row])
            _insert(self._service, "transactionaccountingline", [self._entry(document, number, fx, -gain)])

    # -- expense reports ---------------------------------------------------------------------------------------------

    def _expense(self, record: Record, body: Body) -> int:
        service = self._service
        head = dict(body.columns)
        employee = service.row("employee", int(head.get("entity") or 0))
        if employee is None:
            raise bad("entity", head.get("entity"))
        lines = body.sublists["expense"].items if "expense" in body.sublists else []
        if not lines:
            raise _user_error("You must enter at least one line item for this transaction.", "expense")
        head["subsidiary"] = head.get("subsidiary") or employee["subsidiary"]
        base = self._base(head["subsidiary"])
        head["currency"] = head.get("currency") or base
        head["trandate"] = head.get("trandate") or service.today()
        head["exchangerate"] = self.rate(head["currency"], base, head["trandate"])
        head["postingperiod"] = head.get("postingperiod") or self.period_of(head["trandate"])["id"]
        self.open_period(self._period(head["postingperiod"]))
        places = self.places(base)
        total = _ZERO
        id = self._identify(record, head)
        complete = head.get("complete") == "T"
        head |= {"id": id, "type": "ExpRept", "posting": "F", "voided": "F", "status": "B" if complete else "A",
                 "approvalstatus": "1", "lastmodifieddate": service.now()}  # fmt: skip
        rows, entries, total_base = [], [], _ZERO
        for n, line in enumerate(lines, 1):
            amount = money(dec(line.get("amount")), self.places(head["currency"]))
            if amount <= 0:
                raise _user_error("Please enter value(s) for: Amount", f"expense.items[{n - 1}].amount")
            net = money(amount * dec(head["exchangerate"]), places)
            total, total_base = total + amount, total_base + net
            rows.append(self._line(head, n, foreignamount=amount, netamount=net, amount=amount, memo=line.get("memo"),
                                   entity=line.get("entity"), category=line.get("category"),
                                   isbillable=line.get("isbillable") or "F",
                                   expensedate=line.get("expensedate") or head["trandate"]))  # fmt: skip
            entries.append(self._entry(head, n, self.account("expense"), net))
        rows.insert(
            0, self._line(head, 0, foreignamount=-total, netamount=-total_base, mainline="T", entity=head["entity"])
        )
        entries.insert(0, self._entry(head, 0, self.account("payables"), -total_base))
        head |= {"total": total, "amount": total, "foreigntotal": -total, "basetotal": total_base}
        self._store(head, rows, entries)
        return id

    def _approve_expense(self, document: Mapping[str, Any], actor: str) -> None:
        if not self._service.may_approve(actor):
            raise Refusal("INSUFFICIENT_PERMISSION", "Permission Violation: Approve expense reports.", (), 403)
        self.open_period(self._period(document["postingperiod"]))
        now = self._service.now()
        self._set(int(document["id"]), {"approvalstatus": "2", "status": "F", "posting": "T", "lastmodifieddate": now})
        self._service.store.write(
            "UPDATE transactionaccountingline SET posting = 'T' WHERE \"transaction\" = ?", (document["id"],)
        )

    # -- transforms --------------------------------------------------------------------------------------------------

    def transformed(
        self, source: Record, row: Mapping[str, Any], target: Record, values: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The body of the record that a transform makes before `values` override it. Refuses pairs there are not."""
        if source.name != "invoice" or target.name not in ("customerPayment", "creditMemo"):
            text = f"A {source.name} cannot be transformed into a {target.name}."
            raise Refusal("INVALID_REQUEST", text, (), 400)
        if row["posting"] != "T" or row["voided"] == "T":
            raise _user_error(f"Invoice {row['tranid']} is not open and cannot be transformed.")
        lowered = {name.lower() for name in values}
        body: dict[str, Any] = {
            "currency": row["currency"],
            "subsidiary": row["subsidiary"],
            "custbody_tieout_project": row["custbody_tieout_project"],
            "custbody_tieout_period": row["custbody_tieout_period"],
        }
        if target.name == "customerPayment":
            # A payment knows its customer by another name and is applied to the whole invoice unless told otherwise.
            body |= {"customer": row["entity"]}
            if "apply" not in lowered:
                amount = values.get("payment")
                line: dict[str, Any] = {"doc": row["id"], "apply": True}
                if amount is not None:
                    line["amount"] = min(dec(amount), dec(row["amountremaining"]))
                body["apply"] = [line]
        else:
            body |= {"entity": row["entity"], "exchangeRate": dec(row["exchangerate"])}
            if "item" not in lowered:
                body["item"] = [
                    {
                        "item": line["item"],
                        "quantity": -dec(line["quantity"]),
                        "rate": dec(line["rate"]),
                        "amount": dec(line["amount"]),
                        "description": line["memo"],
                        "job": line["job"],
                        "taxCode": line["taxcode"],
                        "custcol_tieout_source": line["custcol_tieout_source"],
                    }
                    for line in self._lines(int(row["id"]))
                ]
        names = {name.lower() for name in values}
        return {**{name: value for name, value in body.items() if name.lower() not in names}, **values}


def _treatment(subsidiary: Mapping[str, Any], customer: Mapping[str, Any]) -> str:
    """The default tax treatment of a service to this customer: '<country>:<standard|reverse|export|none>'."""
    home = subsidiary.get("country")
    theirs = customer.get("country") or home
    if home == "US":
        return "US:none"
    if theirs == home:
        return f"{home}:standard"
    if home in EU and theirs in EU:
        return f"{home}:reverse" if customer.get("vatregnumber") else f"{home}:standard"
    return f"{home}:export"


def _insert(service: NetSuiteService, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows whose columns may differ, in as few statements as there are column sets."""
    groups: dict[tuple[str, ...], list[list[Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append([bind(value) for value in row.values()])
    for columns, values in groups.items():
        names = ", ".join(f'"{c}"' for c in columns)
        service.store.connection.executemany(
            f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(columns))})', values
        )
