-- One row per stack and currency: the sums of fct_project_tie_out; the finance lead's last line.

with

projects as (

    select * from {{ ref('fct_project_tie_out') }}

),

-- Differences are summed without their sign, so that one project's surplus cannot hide another's lack.
final as (

    select
        stack,
        currency,
        count(*) as project_count,
        sum(approved_amount) as approved_amount,
        sum(billed_amount) as billed_amount,
        sum(unbilled_amount) as unbilled_amount,
        sum(ledger_line_amount) as ledger_line_amount,
        sum(on_its_way_amount) as on_its_way_amount,
        sum(unsourced_amount) as unsourced_amount,
        sum(invoice_net_amount) as invoice_net_amount,
        sum(invoice_tax_amount) as invoice_tax_amount,
        sum(invoice_total_amount) as invoice_total_amount,
        sum(draft_net_amount) as draft_net_amount,
        sum(issued_total_amount) as issued_total_amount,
        sum(psa_invoice_amount) as psa_invoice_amount,
        sum(paid_amount) as paid_amount,
        sum(credited_amount) as credited_amount,
        sum(written_off_amount) as written_off_amount,
        sum(open_amount) as open_amount,
        sum(double_claims) as double_claims,
        count(*) filter (where tie_out_difference <> 0) as projects_with_difference,
        sum(abs(completeness_difference)) as completeness_difference,
        sum(abs(psa_to_ledger_difference)) as psa_to_ledger_difference,
        sum(abs(psa_project_to_ledger_project_difference)) as psa_project_to_ledger_project_difference,
        sum(abs(ledger_lines_to_ledger_invoice_difference)) as ledger_lines_to_ledger_invoice_difference,
        sum(abs(psa_invoice_to_ledger_invoice_difference)) as psa_invoice_to_ledger_invoice_difference,
        sum(abs(ledger_invoice_to_ledger_payment_difference)) as ledger_invoice_to_ledger_payment_difference,
        sum(tie_out_difference) as tie_out_difference
    from projects
    group by stack, currency

)

select * from final
