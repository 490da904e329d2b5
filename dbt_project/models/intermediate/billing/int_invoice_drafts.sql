-- One row per invoice that should be drafted now: customer x entity x currency x project x service period, next free number.

with items as (

    select * from {{ ref('int_billable_items') }}
    where billing_state = 'to bill'

),

-- every number that a document of this deal and period ever had, in the ledger or on its way
used_keys as (

    select external_key as invoice_key from {{ ref('canonical__invoice') }}
    where external_key like 'INV\_%' escape '\'
    union
    select invoice_key from {{ ref('int_billing_claims') }}
    where invoice_key like 'INV\_%' escape '\'

),

used_numbers as (

    select
        regexp_replace(invoice_key, '_[0-9]+$', '') as series,
        max(try_cast(regexp_extract(invoice_key, '_([0-9]+)$', 1) as integer)) as last_number
    from used_keys
    group by 1

),

deals as (

    select * from {{ ref('int_won_opportunities') }}

),

grouped as (

    select
        items.opportunity_id,
        items.service_period,
        'INV_' || deals.source_id || '_' || items.service_period as series,
        count(*) as line_count,
        sum(items.amount) as net_amount,
        min(items.service_date) as service_from,
        max(items.service_date) as service_to
    from items
    inner join deals on items.opportunity_id = deals.opportunity_id
    group by 1, 2, 3

),

numbered as (

    select
        grouped.*,
        grouped.series || '_' || cast(coalesce(used_numbers.last_number, 0) + 1 as varchar) as invoice_key
    from grouped
    left join used_numbers on grouped.series = used_numbers.series

),

as_of as (

    select * from {{ ref('canonical__as_of') }}

),

-- P-2: never into a closed period; the first open day from today on
invoice_dates as (

    select
        as_of.connection,
        min(greatest(as_of.as_of_date, periods.start_date)) as invoice_date
    from as_of
    inner join {{ ref('canonical__accounting_period') }} as periods
        on
            as_of.connection = periods.connection
            and periods.is_open_for_invoices
            and not periods.is_adjustment
            and periods.period_type = 'month'
            and periods.end_date >= as_of.as_of_date
    group by as_of.connection

)

select
    numbered.invoice_key,
    numbered.opportunity_id,
    deals.project_id,
    deals.customer_key,
    deals.ledger_project_key,
    deals.stack,
    deals.legal_entity_code,
    deals.currency,
    deals.po_number,
    numbered.service_period,
    numbered.service_from,
    numbered.service_to,
    numbered.line_count,
    numbered.net_amount,
    invoice_dates.invoice_date,
    stacks.accounting_connection,
    case
        when invoice_dates.invoice_date is null then 'P-2: no accounting period is open from today on'
    end as hold_reason
from numbered
inner join deals on numbered.opportunity_id = deals.opportunity_id
left join {{ ref('stacks') }} as stacks on deals.stack = stacks.stack
left join invoice_dates on stacks.accounting_connection = invoice_dates.connection
