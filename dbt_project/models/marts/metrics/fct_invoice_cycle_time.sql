-- One row per issued invoice with PSA work on it: days from the end of the work to submit, approve, draft and issue (K-6).

with

invoices as (

    select * from {{ ref('canonical__invoice') }}
    where invoice_type = 'invoice' and is_posted and not is_voided and not is_deleted

),

invoice_lines as (

    select * from {{ ref('canonical__invoice_line') }}
    where not is_deleted

),

items as (

    select * from {{ ref('int_billable_items') }}

),

work as (

    select
        invoice_lines.invoice_id,
        max(items.stack) as stack,
        max(items.service_date) as service_end_date,
        {{ business_date('max(items.submitted_at)') }} as last_submitted_date,
        {{ business_date('max(items.approved_at)') }} as last_approved_date
    from invoice_lines
    inner join items
        on
            invoice_lines.source_entity = items.source_entity
            and invoice_lines.source_entity_id = items.source_entity_id
    group by invoice_lines.invoice_id

),

dated as (

    select
        invoices.*,
        work.stack,
        work.service_end_date,
        work.last_submitted_date,
        work.last_approved_date,
        {{ business_date('invoices.source_created_at') }} as drafted_date
    from invoices
    inner join work
        on invoices.invoice_id = work.invoice_id

),

final as (

    select
        invoice_id,
        stack,
        legal_entity_id,
        invoice_number,
        currency,
        net_amount,
        {{ days_between('service_end_date', 'last_submitted_date') }} as submit_lag_days,
        {{ days_between('last_submitted_date', 'last_approved_date') }} as approve_lag_days,
        {{ days_between('last_approved_date', 'drafted_date') }} as draft_lag_days,
        {{ days_between('drafted_date', 'invoice_date') }} as issue_lag_days,
        {{ days_between('service_end_date', 'invoice_date') }} as cycle_days,
        service_end_date,
        invoice_date
    from dated

)

select * from final
