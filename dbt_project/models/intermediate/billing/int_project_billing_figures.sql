-- One row per project with an issued ledger invoice: invoiced, paid, open and overdue in the project's currency (S-2, S-10).

with projects as (

    select
        crm_id as opportunity_id,
        psa_id as project_id,
        accounting_id as ledger_project_id
    from {{ ref('canonical__identity') }}
    where entity = 'project'

),

invoices as (

    select * from {{ ref('canonical__invoice') }}
    where is_posted and not is_voided and not is_deleted

),

applications as (

    select
        invoice_id,
        max(applied_date) as last_payment_date
    from {{ ref('canonical__payment_application') }}
    where application_type = 'payment' and not is_deleted
    group by invoice_id

),

final as (

    select
        projects.opportunity_id,
        projects.project_id,
        invoices.currency,
        sum(invoices.total_amount) filter (where invoices.invoice_type = 'invoice') as invoiced_amount,
        coalesce(sum(invoices.net_amount) filter (where invoices.invoice_type = 'invoice'), 0) as invoiced_net_amount,
        coalesce(sum(invoices.paid_amount) filter (where invoices.invoice_type = 'invoice'), 0) as paid_amount,
        coalesce(sum(invoices.credited_amount) filter (where invoices.invoice_type = 'invoice'), 0) as credited_amount,
        coalesce(sum(invoices.open_amount) filter (where invoices.invoice_type = 'invoice'), 0) as open_amount,
        coalesce(
            sum(invoices.open_amount) filter (where invoices.invoice_type = 'invoice' and invoices.is_overdue), 0
        ) as overdue_amount,
        max(applications.last_payment_date) as last_payment_date,
        count(*) filter (where invoices.invoice_type = 'invoice') as invoice_count
    from projects
    inner join invoices on projects.ledger_project_id = invoices.ledger_project_id
    left join applications on invoices.invoice_id = applications.invoice_id
    group by projects.opportunity_id, projects.project_id, invoices.currency

)

select
    * replace (coalesce(invoiced_amount, 0) as invoiced_amount),
    case
        when invoice_count = 0 then 'Not invoiced'
        when overdue_amount > 0 then 'Overdue'
        when open_amount = 0 and paid_amount > 0 then 'Paid'
        when open_amount = 0 then 'Credited'
        when paid_amount > 0 then 'Partially paid'
        else 'Invoiced'
    end as billing_status
from final
