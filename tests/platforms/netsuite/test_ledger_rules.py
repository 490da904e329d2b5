"""What the ledger refuses, and what it works out by itself."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from platforms.kit.sandbox.service import Refusal
from platforms.netsuite.sandbox import NetSuiteService


def refusal(call, *args, **kwargs) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call(*args, **kwargs)
    return caught.value


def test_tax_is_rounded_half_up_on_every_line(firm) -> None:
    invoice = firm.invoice(firm.customer("UK"), D("10.02"), D("10.02"))
    found = firm.document(invoice)
    # 20 % of 10.02 is 2.004, so 2.00 a line; 20 % of the sum would be 4.01.
    assert (found["subtotal"], found["taxtotal"], found["total"]) == (20.04, 4.0, 24.04)


@pytest.mark.parametrize(
    ("entity", "country", "vat", "rate"),
    [
        ("UK", "GB", None, 20),
        ("UK", "FR", "FR123", 0),
        ("DE", "DE", "DE1", 19),
        ("DE", "FR", "FR123", 0),
        ("DE", "FR", None, 19),
        ("DE", "US", None, 0),
        ("US", "US", None, 0),
    ],
)
def test_tax_follows_the_legal_entity_the_customers_country_and_tax_id(firm, entity, country, vat, rate) -> None:
    address = [{"defaultBilling": True, "addressBookAddress": {"country": country, "addr1": "1 Street"}}]
    customer = firm.customer(entity, addressBook=address, vatRegNumber=vat)
    assert firm.document(firm.invoice(customer, 100))["taxtotal"] == rate


def test_a_line_may_name_its_tax_code_but_not_another_countrys(firm) -> None:
    customer = firm.customer("UK")
    line = {"item": {"externalId": "SVC-TIME"}, "quantity": 1, "rate": 100}
    body = {"entity": customer, "item": [line | {"taxCode": {"externalId": "TAX-GB-Z"}}]}
    assert firm.document(firm.service.insert("invoice", body, actor="finance"))["taxtotal"] == 0
    body = {"entity": customer, "item": [line | {"taxCode": {"externalId": "TAX-DE-S"}}]}
    assert refusal(firm.service.insert, "invoice", body, actor="finance").code == "INVALID_CONTENT"


def test_a_draft_posts_only_when_finance_approves_it(firm) -> None:
    invoice = firm.invoice(firm.customer(), 100, approve=False)
    found = firm.document(invoice)
    assert (found["status"], found["approvalstatus"], found["posting"]) == ("D", "1", "F")
    assert refusal(firm.service.act, "invoice.approve", invoice, actor="integration").status == 403
    firm.service.act("invoice.approve", invoice, actor="finance")
    found = firm.document(invoice)
    assert (found["status"], found["posting"]) == ("A", "T")


def test_a_rejected_draft_can_be_submitted_again(firm) -> None:
    invoice = firm.invoice(firm.customer(), 100, approve=False)
    firm.service.act("invoice.reject", invoice, actor="finance")
    assert firm.document(invoice)["status"] == "E"
    firm.service.act("invoice.submit", invoice, actor="finance")
    assert firm.document(invoice)["status"] == "D"


def test_nothing_is_dated_into_a_closed_period_and_no_number_is_lost(firm) -> None:
    customer = firm.customer()
    first = firm.document(firm.invoice(customer, 100))["tranid"]
    firm.service.act("period.close", "2026-01", actor="finance")
    refused = refusal(firm.invoice, customer, 100)
    assert refused.code == "USER_ERROR"
    assert "Jan 2026" in refused.message
    firm.service.act("period.reopen", "Jan 2026", actor="finance")
    assert firm.document(firm.invoice(customer, 100))["tranid"] == f"UKINV{int(first.removeprefix('UKINV')) + 1}"


def test_a_draft_of_a_closed_period_cannot_be_approved_but_its_memo_can_change(firm) -> None:
    invoice = firm.invoice(firm.customer(), 100, approve=False)
    firm.service.act("period.lock", "2026-01", actor="finance")
    assert refusal(firm.service.act, "invoice.approve", invoice, actor="finance").code == "USER_ERROR"
    firm.service.update("invoice", invoice, {"memo": "late"}, actor="finance")
    assert refusal(firm.service.update, "invoice", invoice, {"item": {"items": []}, "exchangeRate": 2},
                   actor="finance").code  # fmt: skip
    assert firm.document(invoice)["memo"] == "late"


def test_a_document_may_keep_its_date_and_post_in_a_later_period(firm) -> None:
    customer = firm.customer()
    firm.service.act("period.close", "2026-01", actor="finance")
    february = next(iter(firm.service.rows("accountingperiod", "periodname = 'Feb 2026'")))
    found = firm.document(firm.invoice(customer, 100, tranDate="2026-01-05", postingPeriod=february["id"]))
    assert (found["trandate"], found["postingperiod"]) == ("2026-01-05", february["id"])


def test_a_customer_needs_a_legal_entity_and_a_free_name(firm) -> None:
    assert "Subsidiary" in refusal(firm.customer, subsidiary=None).message
    firm.customer(entityId="ACME")
    assert "unique" in refusal(firm.customer, entityId="acme").message
    assert "colon" in refusal(firm.customer, entityId="a:b").message


def test_customers_of_one_name_get_numbers_unless_the_account_names_them(firm) -> None:
    assert firm.customer() != firm.customer()
    firm.service.prefer("auto_numbers", False)
    firm.customer()
    assert refusal(firm.customer).fields == ("entityId",)


def test_names_longer_than_the_ledger_takes_are_refused_with_the_limit(firm) -> None:
    assert "83" in refusal(firm.customer, companyName="x" * 84).message
    firm.customer(companyName="x" * 83)


def test_an_external_id_is_given_once_per_record_type(firm) -> None:
    customer = firm.customer(externalId="X-1")
    assert "already exists" in refusal(firm.customer, externalId="X-1").message
    firm.invoice(customer, 1, externalId="X-1")
    assert "already exists" in refusal(firm.invoice, customer, 1, externalId="X-1").message
    assert "letters" in refusal(firm.customer, externalId="a|b").message


def test_the_currency_of_a_customer_with_transactions_stands(firm) -> None:
    customer = firm.customer("UK")
    firm.service.update("customer", customer, {"currency": {"externalId": "EUR"}}, actor="finance")
    firm.invoice(customer, 100)
    assert (
        "transactions"
        in refusal(
            firm.service.update, "customer", customer, {"currency": {"externalId": "GBP"}}, actor="finance"
        ).message
    )


def test_another_legal_entity_bills_a_customer_only_when_they_are_related(firm) -> None:
    customer = firm.customer("UK")
    assert refusal(firm.invoice, customer, 100, subsidiary={"externalId": "DE"}).fields == ("subsidiary",)
    relation = {"entity": customer, "subsidiary": {"externalId": "DE"}}
    firm.service.insert("customerSubsidiaryRelationship", relation, actor="finance")
    found = firm.document(firm.invoice(customer, 100, subsidiary={"externalId": "DE"}))
    assert found["exchangerate"] != 1


def test_an_inactive_customer_is_not_billed(firm) -> None:
    customer = firm.customer()
    firm.service.act("customer.deactivate", customer, actor="finance")
    assert "inactive" in refusal(firm.invoice, customer, 100).message
    assert "inactive" in refusal(firm.job, customer).message


def test_a_line_names_only_projects_of_its_customer(firm) -> None:
    mine, other = firm.customer(), firm.customer()
    project = firm.job(other)
    body = {"entity": mine, "item": [{"item": {"externalId": "SVC-TIME"}, "rate": 1, "job": project}]}
    assert refusal(firm.service.insert, "invoice", body, actor="finance").fields == ("item.items[0].job",)


def test_a_missing_item_and_an_empty_invoice_are_refused_with_the_place(firm) -> None:
    customer = firm.customer()
    body = {"entity": customer, "item": [{"item": {"externalId": "NONE"}, "rate": 1}]}
    refused = refusal(firm.service.insert, "invoice", body, actor="finance")
    assert (refused.code, refused.fields) == ("INVALID_CONTENT", ("item.items[0].item",))
    assert "at least one line" in refusal(firm.invoice, customer).message


def test_amounts_come_from_quantity_and_rate_unless_they_are_given(firm) -> None:
    item = {"externalId": "SVC-TIME"}
    lines = [
        {"item": item, "quantity": D("8.85"), "rate": D("65.50")},
        {"item": item, "quantity": D("8.85"), "rate": D("65.50"), "amount": D("579.67")},
        {"item": item, "quantity": 4, "amount": 100},
    ]
    invoice = firm.service.insert("invoice", {"entity": firm.customer("US"), "item": lines}, actor="finance")
    rows = list(firm.service.rows("transactionline", "\"transaction\" = ? AND mainline = 'F'", (int(invoice),)))
    assert [row["amount"] for row in rows] == [579.68, 579.67, 100]
    assert [row["rate"] for row in rows] == [65.5, 65.5, 25]


def test_due_date_follows_the_terms(firm) -> None:
    found = firm.document(firm.invoice(firm.customer(), 1, tranDate="2026-01-31"))
    assert found["duedate"] == "2026-03-02"


def test_a_paid_invoice_is_neither_voided_nor_deleted(firm) -> None:
    customer = firm.customer("US")
    invoice = firm.invoice(customer, 100)
    payment = firm.pay(customer, 40, (invoice, 40))
    assert "applied" in refusal(firm.service.act, "invoice.void", invoice, actor="finance").message
    assert "applied" in refusal(firm.service.delete, "invoice", invoice, actor="finance").message
    firm.service.delete("customerPayment", payment, actor="finance")
    firm.service.act("invoice.void", invoice, actor="finance", reason="wrong customer")
    found = firm.document(invoice)
    assert (found["voided"], found["status"], found["foreigntotal"]) == ("T", "V", 0)
    assert found["memo"] == "VOID"


def test_a_deleted_draft_is_listed_as_deleted_and_its_id_is_not_used_again(firm) -> None:
    customer = firm.customer()
    invoice = firm.invoice(customer, 100, approve=False)
    firm.service.delete("invoice", invoice, actor="integration")
    (row,) = firm.service.rows("deletedrecord")
    assert (row["recordid"], row["type"]) == (int(invoice), "invoice")
    assert int(firm.invoice(customer, 100)) > int(invoice)
    assert list(firm.service.rows("transactionline", '"transaction" = ?', (int(invoice),))) == []


def test_a_payment_covers_several_invoices_in_part_and_keeps_the_rest(firm) -> None:
    customer = firm.customer("US")
    one, two = firm.invoice(customer, 100), firm.invoice(customer, 50)
    payment = firm.pay(customer, 200, (one, 100), (two, 30))
    assert (firm.document(one)["status"], firm.document(two)["status"]) == ("B", "A")
    assert firm.document(two)["amountremaining"] == 20
    assert firm.document(payment)["unapplied"] == 70
    assert "more than" in refusal(firm.pay, customer, 30, (two, 25)).message
    firm.service.act("payment.unapply", payment, actor="finance", invoice=one)
    assert (firm.document(one)["status"], firm.document(one)["amountremaining"]) == ("A", 100)


def test_a_payment_moves_itself_and_leaves_the_invoices_date_alone_unless_told(firm) -> None:
    customer = firm.customer("US")
    invoice = firm.invoice(customer, 100)
    before = firm.document(invoice)["lastmodifieddate"]
    firm.service.clock.tick(60_000)
    payment = firm.pay(customer, 10, (invoice, 10))
    assert firm.document(invoice)["lastmodifieddate"] == before
    assert firm.document(payment)["lastmodifieddate"] > before
    firm.service.prefer("move_invoice_on_payment", True)
    firm.pay(customer, 10, (invoice, 10))
    assert firm.document(invoice)["lastmodifieddate"] > before


def test_a_credit_memo_counts_only_as_far_as_it_is_applied(firm) -> None:
    customer = firm.customer("UK")
    invoice = firm.invoice(customer, 100)
    lines = [{"item": {"externalId": "SVC-TIME"}, "quantity": 1, "rate": 50}]
    body = {"entity": customer, "item": lines, "apply": [{"doc": invoice, "amount": 20}]}
    credit = firm.service.insert("creditMemo", body, actor="finance")
    assert firm.document(invoice)["amountremaining"] == 100
    assert (firm.document(credit)["total"], firm.document(credit)["unapplied"]) == (60, 40)
    assert firm.document(credit)["foreigntotal"] == -60
    firm.service.act("creditmemo.apply", credit, actor="finance", invoice=invoice)
    assert (firm.document(invoice)["amountremaining"], firm.document(credit)["status"]) == (60, "B")


def test_an_invoice_transforms_into_its_payment_and_its_credit(firm) -> None:
    service: NetSuiteService = firm.service
    customer = firm.customer("UK")
    invoice = firm.invoice(customer, 100)
    with service.writing():
        record = service.record
        paid = service.transform(record("invoice"), int(invoice), record("customerPayment"), {"payment": 20}, "finance")
        credit = service.transform(record("invoice"), int(invoice), record("creditMemo"), {}, "finance")
    assert firm.document(str(paid))["applied"] == 20
    assert firm.document(str(credit))["total"] == firm.document(invoice)["total"]


def test_lines_merge_by_their_number_are_appended_without_one_and_replaced_when_asked(firm) -> None:
    customer = firm.customer("US")
    invoice = firm.invoice(customer, 10, 20, approve=False)
    line = {"item": {"externalId": "SVC-TIME"}, "rate": 5}
    firm.service.update("invoice", invoice, {"item": {"items": [{"line": 1, "rate": 11}, line]}}, actor="finance")
    assert firm.document(invoice)["total"] == 36
    service = firm.service
    with service.writing():
        service.change(
            service.record("invoice"), int(invoice), {"item": {"items": [line]}}, "finance", replace=["item"]
        )
    assert firm.document(invoice)["total"] == 5


def test_an_invoice_is_not_made_smaller_than_what_is_paid(firm) -> None:
    customer = firm.customer("US")
    invoice = firm.invoice(customer, 100)
    firm.pay(customer, 60, (invoice, 60))
    assert (
        "already applied"
        in refusal(
            firm.service.update, "invoice", invoice, {"item": {"items": [{"line": 1, "rate": 50}]}}, actor="finance"
        ).message
    )


def test_a_refusal_leaves_nothing_behind_even_inside_a_larger_write(firm) -> None:
    customer = firm.customer()
    with firm.service.store.transaction():
        firm.invoice(customer, 1)
        before = len(list(firm.service.rows("transactionline")))
        refusal(firm.invoice, customer, 1, tranDate="1999-01-01")
        assert len(list(firm.service.rows("transactionline"))) == before
        firm.invoice(customer, 1)
    numbers = [row["tranid"] for row in firm.service.rows("invoice")]
    assert numbers == ["UKINV1001", "UKINV1002"]


def test_two_processes_share_one_ledger(firm, tmp_path) -> None:
    from platforms.netsuite.sandbox.service import open_service

    other = open_service(tmp_path)
    customer = firm.customer()
    id = other.insert("job", {"companyName": "P", "parent": customer}, actor="finance")
    assert int(firm.job(customer)) == int(id) + 1
    other.act("customer.deactivate", customer, actor="finance")
    assert "inactive" in refusal(firm.invoice, customer, 1).message
    other.store.close()
