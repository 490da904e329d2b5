-- One row per issued invoice with PSA work on it: days from the end of the work to submit, approve, draft and issue (K-6).

with invoices as (

    select * from {{ ref('canonical__invoice') }}
    where invoice_type = 'invoice' and is_posted and not is_voided and not is_deleted

),

work as (

    select
        lines.invoice_id,
        max(time_entries.work_date) as service_end_date,
        max(cast(time_entries.submitted_at as date)) as last_submitted_date,
        max(cast(time_entries.approved_at as date)) as last_approved_date
    from {{ ref('canonical__invoice_line') }} as lines
    inner join {{ ref('canonical__time_entry') }} as time_entries
        on lines.source_entity = 'time_entry' and lines.source_entity_id = time_entries.time_entry_id
    group by lines.invoice_id

)

select
    invoices.invoice_id,
    invoices.stack,
    invoices.legal_entity_id,
    invoices.invoice_number,
    invoices.currency,
    invoices.net_amount,
    date_diff('day', work.service_end_date, work.last_submitted_date) as submit_lag_days,
    date_diff('day', work.last_submitted_date, work.last_approved_date) as approve_lag_days,
    date_diff('day', work.last_approved_date, cast(invoices.source_created_at as date)) as draft_lag_days,
    date_diff('day', cast(invoices.source_created_at as date), invoices.invoice_date) as issue_lag_days,
    date_diff('day', work.service_end_date, invoices.invoice_date) as cycle_days,
    work.service_end_date,
    invoices.invoice_date
from invoices
inner join work on invoices.invoice_id = work.invoice_id
