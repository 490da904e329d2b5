-- One row per legal entity and currency: open receivables by age and DSO over the trailing 3 months, tax included (K-4, P-5).

with

as_of as (

    select * from {{ ref('canonical__as_of') }}

),

invoices as (

    select
        invoices.*,
        as_of.as_of_date
    from {{ ref('canonical__invoice') }} as invoices
    inner join as_of on invoices.connection = as_of.connection
    where invoices.is_posted and not invoices.is_voided and not invoices.is_deleted

),

legal_entities as (

    select * from {{ ref('int_legal_entity_stacks') }}

),

summed as (

    select
        legal_entity_id,
        currency,
        max(as_of_date) as as_of_date,
        sum(open_amount * receivables_sign) as open_amount,
        coalesce(sum(open_amount) filter (where invoice_type = 'invoice' and coalesce(overdue_days, 0) <= 0), 0) as current_amount,
        coalesce(sum(open_amount) filter (where invoice_type = 'invoice' and overdue_days between 1 and 30), 0) as overdue_1_30_amount,
        coalesce(sum(open_amount) filter (where invoice_type = 'invoice' and overdue_days between 31 and 60), 0) as overdue_31_60_amount,
        coalesce(sum(open_amount) filter (where invoice_type = 'invoice' and overdue_days between 61 and 90), 0) as overdue_61_90_amount,
        coalesce(sum(open_amount) filter (where invoice_type = 'invoice' and overdue_days > 90), 0) as overdue_over_90_amount,
        coalesce(
            sum(total_amount * receivables_sign) filter (where invoice_date > {{ add_months('as_of_date', '-3') }}), 0
        ) as trailing_sales_amount,
        {{ days_between(add_months('max(as_of_date)', '-3'), 'max(as_of_date)') }} as trailing_days
    from invoices
    group by legal_entity_id, currency

),

final as (

    select
        summed.legal_entity_id || '|' || summed.currency as receivables_id,
        summed.legal_entity_id,
        legal_entities.stack,
        legal_entities.legal_entity_name,
        summed.currency,
        summed.open_amount,
        summed.current_amount,
        summed.overdue_1_30_amount,
        summed.overdue_31_60_amount,
        summed.overdue_61_90_amount,
        summed.overdue_over_90_amount,
        summed.trailing_sales_amount,
        case
            when summed.trailing_sales_amount > 0
                then cast(summed.open_amount / summed.trailing_sales_amount * summed.trailing_days as decimal(9, 1))
        end as days_sales_outstanding,
        summed.as_of_date
    from summed
    left join legal_entities
        on summed.legal_entity_id = legal_entities.legal_entity_id

)

select * from final
