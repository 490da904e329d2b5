-- One row per project and currency: approved PSA value, what was billed of it, ledger lines, invoices, payments (P-7, S-2).

with items as (

    select
        project_id,
        stack,
        currency,
        sum(amount) filter (where is_chargeable) as approved_amount,
        sum(amount) filter (where billing_state = 'billed') as billed_amount,
        sum(amount) filter (where is_chargeable and billing_state != 'billed') as unbilled_amount,
        count(*) filter (where billing_state = 'billed') as billed_items,
        sum(claim_count) as claims
    from (
        select
            *,
            is_approved
            and is_billable
            and amount is not null
            and not is_deleted
            and billing_state not in ('covered by the fixed fee', 'covered by the retainer', 'milestone not due')
            or billing_state = 'billed' as is_chargeable
        from {{ ref('int_billable_items') }}
    ) as judged
    where project_id is not null
    group by project_id, stack, currency

),

claims as (

    select
        judged.project_id,
        judged.currency,
        sum(claims.amount) as ledger_line_amount,
        sum(claims.amount) filter (where claims.invoice_id is null) as on_its_way_amount
    from {{ ref('int_billing_claims') }} as claims
    inner join {{ ref('int_billable_items') }} as judged
        on claims.stack = judged.stack and claims.source_reference = judged.source_reference
    group by judged.project_id, judged.currency

),

projects as (

    select
        accounting_id as ledger_project_id,
        min(psa_id) as project_id
    from {{ ref('canonical__identity') }}
    where entity = 'project' and accounting_id is not null and psa_id is not null
    group by accounting_id

),

mirrors as (

    select
        accounting_id as invoice_id,
        min(psa_id) as psa_invoice_id
    from {{ ref('canonical__identity') }}
    where entity = 'invoice' and accounting_id is not null and psa_id is not null
    group by accounting_id

),

line_sums as (

    select
        invoice_id,
        sum(amount) as line_amount,
        sum(amount) filter (where source_entity_id is null) as unsourced_amount
    from {{ ref('canonical__invoice_line') }}
    where not is_deleted and line_type != 'tax'
    group by invoice_id

),

invoices as (

    select
        projects.project_id,
        invoices.currency,
        sum(invoices.net_amount) as invoice_net_amount,
        sum(invoices.tax_amount) as invoice_tax_amount,
        sum(invoices.total_amount) as invoice_total_amount,
        sum(invoices.paid_amount) as paid_amount,
        sum(invoices.credited_amount) as credited_amount,
        sum(invoices.written_off_amount) as written_off_amount,
        sum(invoices.open_amount) as open_amount,
        sum(coalesce(line_sums.line_amount, 0)) as invoice_line_amount,
        sum(coalesce(line_sums.unsourced_amount, 0)) as unsourced_amount,
        sum(psa_invoices.total_amount) as psa_invoice_amount,
        sum(invoices.net_amount) filter (where psa_invoices.psa_invoice_id is not null) as mirrored_net_amount
    from {{ ref('canonical__invoice') }} as invoices
    inner join projects on invoices.ledger_project_id = projects.ledger_project_id
    left join line_sums on invoices.invoice_id = line_sums.invoice_id
    left join mirrors on invoices.invoice_id = mirrors.invoice_id
    left join {{ ref('canonical__psa_invoice') }} as psa_invoices
        on
            mirrors.psa_invoice_id = psa_invoices.psa_invoice_id
            and psa_invoices.state != 'voided'
            and not psa_invoices.is_deleted
    where invoices.invoice_type = 'invoice' and not invoices.is_voided and not invoices.is_deleted
    group by projects.project_id, invoices.currency

),

summed as (

    select
        items.project_id,
        items.stack,
        items.currency,
        coalesce(items.approved_amount, 0) as approved_amount,
        coalesce(items.billed_amount, 0) as billed_amount,
        coalesce(items.unbilled_amount, 0) as unbilled_amount,
        coalesce(claims.ledger_line_amount, 0) as ledger_line_amount,
        coalesce(claims.on_its_way_amount, 0) as on_its_way_amount,
        coalesce(invoices.invoice_line_amount, 0) as invoice_line_amount,
        coalesce(invoices.unsourced_amount, 0) as unsourced_amount,
        coalesce(invoices.invoice_net_amount, 0) as invoice_net_amount,
        coalesce(invoices.invoice_tax_amount, 0) as invoice_tax_amount,
        coalesce(invoices.invoice_total_amount, 0) as invoice_total_amount,
        coalesce(invoices.mirrored_net_amount, 0) as mirrored_net_amount,
        coalesce(invoices.psa_invoice_amount, 0) as psa_invoice_amount,
        coalesce(invoices.paid_amount, 0) as paid_amount,
        coalesce(invoices.credited_amount, 0) as credited_amount,
        coalesce(invoices.written_off_amount, 0) as written_off_amount,
        coalesce(invoices.open_amount, 0) as open_amount,
        items.claims - items.billed_items as double_claims
    from items
    left join claims on items.project_id = claims.project_id and items.currency = claims.currency
    left join invoices on items.project_id = invoices.project_id and items.currency = invoices.currency

)

select
    summed.*,
    projects.name as project_name,
    billed_amount - ledger_line_amount as psa_to_ledger_difference,
    invoice_line_amount - invoice_net_amount as lines_to_invoice_difference,
    psa_invoice_amount - mirrored_net_amount as mirror_difference,
    invoice_total_amount - paid_amount - credited_amount - written_off_amount - open_amount as settlement_difference,
    approved_amount - billed_amount - unbilled_amount as completeness_difference,
    abs(billed_amount - ledger_line_amount)
    + abs(invoice_line_amount - invoice_net_amount)
    + abs(psa_invoice_amount - mirrored_net_amount)
    + abs(invoice_total_amount - paid_amount - credited_amount - written_off_amount - open_amount)
    + abs(approved_amount - billed_amount - unbilled_amount) as tie_out_difference
from summed
left join {{ ref('canonical__project') }} as projects on summed.project_id = projects.project_id
