-- One row per project and currency: approved PSA value, what was billed of it, ledger lines, invoices, payments (P-7, S-2).

with

items as (

    select
        *,
        billing_state = 'billed' as is_billed,
        is_approved
        and is_billable
        and amount is not null
        and not is_deleted
        and billing_state not in ('covered by the fixed fee', 'covered by the retainer', 'milestone not due', 'rejected') as is_chargeable
    from {{ ref('int_billable_items') }}

),

billing_claims as (

    select * from {{ ref('int_billing_claims') }}

),

-- A rejected or voided document claims nothing, and so is no part of the comparison.
invoices as (

    select * from {{ ref('int_project_invoices') }}
    where invoice_type = 'invoice' and not is_voided and not is_deleted and coalesce(state, 'unknown') not in ('voided', 'rejected')

),

invoice_lines as (

    select * from {{ ref('canonical__invoice_line') }}
    where not is_deleted and line_type <> 'tax'

),

psa_invoices as (

    select * from {{ ref('canonical__psa_invoice') }}
    where not is_deleted and coalesce(state, 'unknown') <> 'voided'

),

mirrors as (

    select
        accounting_id as invoice_id,
        min(psa_id) as psa_invoice_id
    from {{ ref('canonical__identity') }}
    where entity = 'invoice' and accounting_id is not null and psa_id is not null
    group by accounting_id

),

projects as (

    select * from {{ ref('canonical__project') }}

),

worked as (

    select
        stack,
        project_id,
        currency,
        coalesce(sum(amount) filter (where is_chargeable or is_billed), 0) as approved_amount,
        coalesce(sum(amount) filter (where is_billed), 0) as billed_amount,
        coalesce(sum(amount) filter (where is_chargeable and not is_billed), 0) as unbilled_amount,
        sum(claim_count) - count(*) filter (where is_billed) as double_claims
    from items
    group by stack, project_id, currency

),

-- Each ledger line that names a PSA record, on the project of that record. What names a record that the PSA does not
-- have stays with the project of its invoice, where it shows as a difference.
claimed as (

    select
        coalesce(items.stack, invoices.stack) as stack,
        coalesce(items.project_id, invoices.project_id) as project_id,
        coalesce(invoices.currency, items.currency) as currency,
        sum(billing_claims.amount) as ledger_line_amount,
        coalesce(sum(billing_claims.amount) filter (where billing_claims.invoice_id is null), 0) as on_its_way_amount
    from billing_claims
    left join items
        on billing_claims.stack_group = items.stack_group and billing_claims.source_reference = items.source_reference
    left join invoices
        on billing_claims.invoice_id = invoices.invoice_id
    where items.project_id is not null or invoices.project_id is not null
    group by coalesce(items.stack, invoices.stack), coalesce(items.project_id, invoices.project_id), coalesce(invoices.currency, items.currency)

),

line_sums as (

    select
        invoice_id,
        sum(amount) as line_amount,
        coalesce(sum(amount) filter (where source_reference is not null), 0) as sourced_amount
    from invoice_lines
    group by invoice_id

),

invoiced as (

    select
        invoices.stack,
        invoices.project_id,
        invoices.currency,
        sum(coalesce(line_sums.line_amount, 0)) as invoice_line_amount,
        sum(coalesce(line_sums.sourced_amount, 0)) as sourced_line_amount,
        sum(invoices.net_amount) as invoice_net_amount,
        sum(invoices.tax_amount) as invoice_tax_amount,
        sum(invoices.total_amount) as invoice_total_amount,
        coalesce(sum(invoices.net_amount) filter (where not invoices.is_posted), 0) as draft_net_amount,
        coalesce(sum(invoices.total_amount) filter (where invoices.is_posted), 0) as issued_total_amount,
        coalesce(sum(invoices.net_amount) filter (where psa_invoices.psa_invoice_id is not null), 0) as mirrored_net_amount,
        coalesce(sum(psa_invoices.total_amount), 0) as psa_invoice_amount,
        coalesce(sum(invoices.paid_amount) filter (where invoices.is_posted), 0) as paid_amount,
        coalesce(sum(invoices.credited_amount) filter (where invoices.is_posted), 0) as credited_amount,
        coalesce(sum(invoices.written_off_amount) filter (where invoices.is_posted), 0) as written_off_amount,
        coalesce(sum(coalesce(invoices.source_open_amount, invoices.open_amount)) filter (where invoices.is_posted), 0) as open_amount
    from invoices
    left join line_sums
        on invoices.invoice_id = line_sums.invoice_id
    left join mirrors
        on invoices.invoice_id = mirrors.invoice_id
    left join psa_invoices
        on mirrors.psa_invoice_id = psa_invoices.psa_invoice_id
    group by invoices.stack, invoices.project_id, invoices.currency

),

-- Every project and currency that any of the three knows: an invoice on a project without work shows as well.
spine as (

    select
        stack,
        project_id,
        currency
    from worked

    union

    select
        stack,
        project_id,
        currency
    from claimed

    union

    select
        stack,
        project_id,
        currency
    from invoiced

),

summed as (

    select
        spine.stack,
        spine.project_id,
        projects.name as project_name,
        spine.currency,
        coalesce(worked.approved_amount, 0) as approved_amount,
        coalesce(worked.billed_amount, 0) as billed_amount,
        coalesce(worked.unbilled_amount, 0) as unbilled_amount,
        coalesce(claimed.ledger_line_amount, 0) as ledger_line_amount,
        coalesce(claimed.on_its_way_amount, 0) as on_its_way_amount,
        coalesce(invoiced.invoice_line_amount, 0) as invoice_line_amount,
        coalesce(invoiced.sourced_line_amount, 0) as sourced_line_amount,
        coalesce(invoiced.invoice_line_amount, 0) - coalesce(invoiced.sourced_line_amount, 0) as unsourced_amount,
        coalesce(invoiced.invoice_net_amount, 0) as invoice_net_amount,
        coalesce(invoiced.invoice_tax_amount, 0) as invoice_tax_amount,
        coalesce(invoiced.invoice_total_amount, 0) as invoice_total_amount,
        coalesce(invoiced.draft_net_amount, 0) as draft_net_amount,
        coalesce(invoiced.issued_total_amount, 0) as issued_total_amount,
        coalesce(invoiced.mirrored_net_amount, 0) as mirrored_net_amount,
        coalesce(invoiced.psa_invoice_amount, 0) as psa_invoice_amount,
        coalesce(invoiced.paid_amount, 0) as paid_amount,
        coalesce(invoiced.credited_amount, 0) as credited_amount,
        coalesce(invoiced.written_off_amount, 0) as written_off_amount,
        coalesce(invoiced.open_amount, 0) as open_amount,
        coalesce(worked.double_claims, 0) as double_claims
    from spine
    left join projects
        on spine.project_id = projects.project_id
    left join worked
        on spine.project_id = worked.project_id and spine.currency is not distinct from worked.currency
    left join claimed
        on spine.project_id = claimed.project_id and spine.currency is not distinct from claimed.currency
    left join invoiced
        on spine.project_id = invoiced.project_id and spine.currency is not distinct from invoiced.currency

),

compared as (

    select
        *,
        approved_amount - billed_amount - unbilled_amount as completeness_difference,
        billed_amount - ledger_line_amount as psa_to_ledger_difference,
        ledger_line_amount - on_its_way_amount - sourced_line_amount as psa_project_to_ledger_project_difference,
        invoice_line_amount + invoice_tax_amount - invoice_total_amount as ledger_lines_to_ledger_invoice_difference,
        psa_invoice_amount - mirrored_net_amount as psa_invoice_to_ledger_invoice_difference,
        issued_total_amount - paid_amount - credited_amount - written_off_amount - open_amount as ledger_invoice_to_ledger_payment_difference
    from summed

),

final as (

    select
        *,
        abs(completeness_difference)
        + abs(psa_to_ledger_difference)
        + abs(psa_project_to_ledger_project_difference)
        + abs(ledger_lines_to_ledger_invoice_difference)
        + abs(psa_invoice_to_ledger_invoice_difference)
        + abs(ledger_invoice_to_ledger_payment_difference) as tie_out_difference
    from compared

)

select * from final
