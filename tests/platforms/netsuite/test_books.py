"""Whatever finance does, in whatever order, the books balance and the amounts of every document agree."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from decimal import Decimal as D
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from platforms.kit.sandbox.registry import open_ready
from platforms.kit.sandbox.service import Refusal
from platforms.netsuite.sandbox import SANDBOX
from platforms.netsuite.sandbox.service import open_service
from platforms.netsuite.sandbox.values import dec

AMOUNTS = st.decimals("0.01", "5000", places=2)
SHARES = st.decimals("0.05", "1.5", places=2)


@cache
def fresh() -> Path:
    """A ledger that is set up, to copy from: setting one up for every example would take most of the time."""
    folder = Path(tempfile.mkdtemp())
    open_ready(SANDBOX, folder, 7).store.close()
    return folder / "netsuite.sqlite"


class Books(RuleBasedStateMachine):
    """Customers of two legal entities, one of them billed in a currency that is not its legal entity's."""

    customers = Bundle("customers")
    invoices = Bundle("invoices")
    sources = Bundle("sources")

    @initialize()
    def open_the_ledger(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        shutil.copy(fresh(), Path(self._folder.name) / "netsuite.sqlite")
        self.service = open_service(Path(self._folder.name))
        self.day = 5

    def teardown(self) -> None:
        if hasattr(self, "service"):
            self.service.store.close()
            self._folder.cleanup()

    def _try(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        """A refusal is an answer too; the invariants must hold after it."""
        try:
            return call(*args, **kwargs)
        except Refusal:
            return None

    @rule(target=customers, entity=st.sampled_from(["UK", "DE"]), currency=st.sampled_from(["GBP", "EUR", "USD"]))
    def customer(self, entity: str, currency: str) -> str:
        body = {"companyName": "C", "subsidiary": {"externalId": entity}, "currency": {"externalId": currency}}
        return self.service.insert("customer", body, actor="finance")

    @rule(target=invoices, customer=customers, amounts=st.lists(AMOUNTS, min_size=1, max_size=4),
          month=st.integers(1, 6), approve=st.booleans())  # fmt: skip
    def invoice(self, customer: str, amounts: list[D], month: int, approve: bool) -> str | None:
        lines = [{"item": {"externalId": "SVC-TIME"}, "quantity": D("1.5"), "rate": amount} for amount in amounts]
        body = {"entity": customer, "item": lines, "tranDate": f"2026-0{month}-10"}
        id = self._try(self.service.insert, "invoice", body, actor="finance")
        if id and approve:
            self._try(self.service.act, "invoice.approve", id, actor="finance")
        return id or "0"

    @rule(target=sources, invoice=invoices, share=SHARES, kind=st.sampled_from(["payment", "credit"]),
          month=st.integers(1, 6))  # fmt: skip
    def pay_or_credit(self, invoice: str, share: D, kind: str, month: int) -> str:
        found = next(iter(self.service.rows("invoice", "id = ?", (int(invoice),))), None)
        if found is None:
            return "0"
        amount = (dec(found["total"]) * share).quantize(D("0.01")) or D("0.01")
        apply = [{"doc": invoice}]
        if kind == "payment":
            body: dict[str, Any] = {"customer": found["entity"], "payment": amount, "apply": apply}
        else:
            line = {"item": {"externalId": "SVC-TIME"}, "quantity": 1, "rate": amount}
            body = {"entity": found["entity"], "item": [line], "apply": apply}
        body["tranDate"] = f"2026-0{month}-20"
        record = "customerPayment" if kind == "payment" else "creditMemo"
        return self._try(self.service.insert, record, body, actor="finance") or "0"

    @rule(source=sources, invoice=invoices, amount=st.none() | AMOUNTS)
    def apply(self, source: str, invoice: str, amount: D | None) -> None:
        found = next(iter(self.service.rows("transaction", "id = ?", (int(source),))), None)
        if found is not None:
            action = "payment.apply" if found["type"] == "CustPymt" else "creditmemo.apply"
            extra = {} if amount is None else {"amount": amount}
            self._try(self.service.act, action, source, actor="finance", invoice=invoice, **extra)

    @rule(source=sources, how=st.sampled_from(["unapply", "void", "delete"]))
    def undo(self, source: str, how: str) -> None:
        found = next(iter(self.service.rows("transaction", "id = ?", (int(source),))), None)
        if found is None:
            return
        name = "customerPayment" if found["type"] == "CustPymt" else "creditMemo"
        if how == "delete":
            self._try(self.service.delete, name, source, actor="finance")
        else:
            self._try(self.service.act, f"{name}.{how}", source, actor="finance")

    @rule(invoice=invoices, how=st.sampled_from(["approve", "reject", "void", "delete", "edit"]), rate=AMOUNTS)
    def handle(self, invoice: str, how: str, rate: D) -> None:
        if how == "delete":
            self._try(self.service.delete, "invoice", invoice, actor="finance")
        elif how == "edit":
            lines = {"item": {"items": [{"line": 1, "rate": rate}]}}
            if list(self.service.rows("invoice", "id = ?", (int(invoice),))):
                self._try(self.service.update, "invoice", invoice, lines, actor="finance")
        else:
            self._try(self.service.act, f"invoice.{how}", invoice, actor="finance")

    @rule(month=st.integers(1, 6), what=st.sampled_from(["close", "lock", "reopen"]))
    def period(self, month: int, what: str) -> None:
        self.service.act(f"period.{what}", f"2026-0{month}", actor="finance")

    @invariant()
    def debits_equal_credits_in_every_document(self) -> None:
        for row in self._read(
            'SELECT "transaction" AS id, sum(coalesce(debit, 0)) AS debit, sum(coalesce(credit, 0)) AS credit, '
            'sum(amount) AS amount FROM transactionaccountingline GROUP BY "transaction"'
        ):
            assert round(row["debit"], 2) == round(row["credit"], 2), row
            assert round(row["amount"], 2) == 0, row

    @invariant()
    def the_amounts_of_every_document_agree(self) -> None:
        applied: dict[int, D] = defaultdict(D)
        used: dict[int, D] = defaultdict(D)
        for link in self._read("SELECT * FROM transactionlinelink"):
            assert link["foreignamount"] > 0
            applied[link["previousdoc"]] += dec(link["foreignamount"])
            used[link["nextdoc"]] += dec(link["foreignamount"])
        for row in self._read('SELECT * FROM "transaction"'):
            total = dec(row["total"])
            if row["type"] == "CustInvc":
                assert total == dec(row["subtotal"]) + dec(row["taxtotal"])
                assert dec(row["amountpaid"]) == applied[row["id"]]
                assert dec(row["amountremaining"]) == total - applied[row["id"]]
                assert 0 <= dec(row["amountremaining"]) <= total
                if row["status"] in "AB":
                    assert (row["status"] == "B") == (row["amountremaining"] == 0)
            else:
                assert dec(row["applied"]) == used[row["id"]]
                assert dec(row["unapplied"]) == total - used[row["id"]] >= 0

    @invariant()
    def lines_add_up_to_their_document(self) -> None:
        for row in self._read(
            "SELECT t.id, t.foreigntotal, t.voided, sum(iif(l.mainline = 'T', l.foreignamount, 0)) AS main, "
            "sum(iif(l.mainline = 'F', l.foreignamount, 0)) AS rest FROM \"transaction\" t "
            'JOIN transactionline l ON l."transaction" = t.id GROUP BY t.id'
        ):
            assert round(row["main"], 2) == row["foreigntotal"]
            assert round(row["main"] + row["rest"], 2) == 0

    @invariant()
    def receivables_are_open_invoices_less_what_is_unapplied(self) -> None:
        account = self.service.ledger.account("receivables") if hasattr(self, "service") else 0
        books: dict[int, D] = defaultdict(D)
        for row in self._read(
            "SELECT t.entity, sum(a.amount) AS amount FROM transactionaccountingline a "
            f'JOIN "transaction" t ON t.id = a."transaction" WHERE a.account = {account} AND '
            "a.posting = 'T' GROUP BY t.entity"
        ):
            books[row["entity"]] = D(str(round(row["amount"], 2)))
        expected: dict[int, D] = defaultdict(D)
        for row in self._read("SELECT * FROM \"transaction\" WHERE posting = 'T'"):
            if row["type"] == "CustInvc":
                expected[row["entity"]] += dec(row["basetotal"]) - dec(row["basepaid"])
        for row in self._read(
            "SELECT t.entity, sum(a.paymentamountunused) AS rest FROM transactionaccountingline a "
            'JOIN "transaction" t ON t.id = a."transaction" GROUP BY t.entity'
        ):
            expected[row["entity"]] -= D(str(round(row["rest"] or 0, 2)))
        for entity in {*books, *expected}:
            assert books[entity] == expected[entity]

    def _read(self, sql: str) -> list[dict[str, Any]]:
        return self.service.store.read(sql) if hasattr(self, "service") else []


TestBooks = Books.TestCase
TestBooks.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
