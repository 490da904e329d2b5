-- One row per stack and currency: the sums of fct_project_tie_out; the finance lead's last line.

select
    stack,
    currency,
    count(*) as project_count,
    sum(approved_amount) as approved_amount,
    sum(billed_amount) as billed_amount,
    sum(unbilled_amount) as unbilled_amount,
    sum(ledger_line_amount) as ledger_line_amount,
    sum(invoice_net_amount) as invoice_net_amount,
    sum(invoice_tax_amount) as invoice_tax_amount,
    sum(invoice_total_amount) as invoice_total_amount,
    sum(psa_invoice_amount) as psa_invoice_amount,
    sum(paid_amount) as paid_amount,
    sum(credited_amount) as credited_amount,
    sum(open_amount) as open_amount,
    sum(double_claims) as double_claims,
    count(*) filter (where tie_out_difference != 0) as projects_with_difference,
    sum(tie_out_difference) as tie_out_difference
from {{ ref('fct_project_tie_out') }}
group by stack, currency
