-- One row per project and currency with issued ledger invoices: invoiced, paid, open and overdue (S-2, S-10).

with

invoices as (

    select * from {{ ref('int_project_invoices') }}
    where invoice_type = 'invoice' and is_posted and not is_voided and not is_deleted

),

payment_applications as (

    select * from {{ ref('canonical__payment_application') }}
    where application_type = 'payment' and not is_deleted

),

last_payments as (

    select
        invoice_id,
        max(applied_date) as last_payment_date
    from payment_applications
    group by invoice_id

),

summed as (

    select
        invoices.opportunity_id,
        invoices.project_id,
        invoices.stack,
        invoices.currency,
        sum(invoices.total_amount) as invoiced_amount,
        sum(invoices.net_amount) as invoiced_net_amount,
        sum(invoices.paid_amount) as paid_amount,
        sum(invoices.credited_amount) as credited_amount,
        sum(invoices.written_off_amount) as written_off_amount,
        sum(invoices.open_amount) as open_amount,
        sum(case when invoices.is_overdue then invoices.open_amount else 0 end) as overdue_amount,
        max(last_payments.last_payment_date) as last_payment_date,
        count(*) as invoice_count
    from invoices
    left join last_payments
        on invoices.invoice_id = last_payments.invoice_id
    group by invoices.opportunity_id, invoices.project_id, invoices.stack, invoices.currency

),

final as (

    select
        *,
        case
            when overdue_amount > 0 then 'Overdue'
            when open_amount = 0 and paid_amount > 0 then 'Paid'
            when open_amount = 0 then 'Credited'
            when paid_amount > 0 then 'Partially paid'
            else 'Invoiced'
        end as billing_status
    from summed

)

select * from final
