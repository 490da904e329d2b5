-- One row per invoice that should be drafted now: customer x entity x currency x project x service period, next free number.

with

items as (

    select * from {{ ref('int_billable_items') }}
    where billing_state = 'to bill'

),

deals as (

    select * from {{ ref('int_won_opportunities') }}

),

claims as (

    select * from {{ ref('int_billing_claims') }}

),

invoices as (

    select * from {{ ref('canonical__invoice') }}

),

as_of as (

    select * from {{ ref('canonical__as_of') }}

),

accounting_periods as (

    select * from {{ ref('canonical__accounting_period') }}
    where is_open_for_invoices and not is_adjustment and period_type = 'month'

),

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}

),

stacks as (

    select * from {{ ref('int_stacks') }}

),

-- Every number that a document of this deal and period ever had, in the ledger (deleted and voided too) or on its way.
used_keys as (

    select external_key as invoice_key
    from invoices
    where external_key like 'INV|_%' escape '|'

    union

    select invoice_key
    from claims
    where invoice_key like 'INV|_%' escape '|'

),

numbered_keys as (

    select
        regexp_replace(invoice_key, '_[0-9]+$', '') as series,
        {{ safe_cast_to("regexp_extract(invoice_key, '_([0-9]+)$', 1)", 'integer') }} as series_number
    from used_keys

),

used_numbers as (

    select
        series,
        max(series_number) as last_number
    from numbered_keys
    group by series

),

grouped as (

    select
        deals.opportunity_id,
        items.service_period,
        'INV_' || deals.source_id || '_' || items.service_period as series,
        count(*) as line_count,
        sum(items.amount) as net_amount,
        min(items.service_date) as service_from,
        max(items.service_date) as service_to
    from items
    inner join deals
        on items.opportunity_id = deals.opportunity_id
    group by deals.opportunity_id, deals.source_id, items.service_period

),

-- P-2: never into a closed period; the first open day from today on. Some ledgers close each legal entity by itself.
invoice_dates as (

    select
        as_of.connection,
        legal_entities.code as legal_entity_code,
        min(greatest(as_of.as_of_date, accounting_periods.start_date)) as invoice_date
    from as_of
    inner join accounting_periods
        on
            as_of.connection = accounting_periods.connection
            and as_of.as_of_date <= accounting_periods.end_date
    left join legal_entities
        on accounting_periods.legal_entity_id = legal_entities.legal_entity_id
    where accounting_periods.legal_entity_id is null or legal_entities.code is not null
    group by as_of.connection, legal_entities.code

),

final as (

    select
        grouped.series || '_' || cast(coalesce(used_numbers.last_number, 0) + 1 as varchar) as invoice_key,
        grouped.opportunity_id,
        deals.project_id,
        deals.customer_key,
        deals.ledger_project_key,
        -- what the deal lacks, where that keeps its customer or ledger project from being made
        case
            when not deals.is_fit and (deals.customer_id is null or deals.ledger_project_id is null)
                then 'its deal is held: ' || deals.blocking_reasons
        end as deal_hold_reason,
        deals.customer_id,
        deals.ledger_project_id,
        deals.stack,
        deals.legal_entity_code,
        deals.currency,
        deals.po_number,
        grouped.service_period,
        grouped.service_from,
        grouped.service_to,
        grouped.line_count,
        grouped.net_amount,
        invoice_dates.invoice_date,
        stacks.accounting_connection,
        case
            when invoice_dates.invoice_date is null then 'P-2: no accounting period is open from today on'
            when grouped.net_amount <= 0 then 'I-8: the lines do not add up to more than zero; finance makes a credit note'
        end as hold_reason
    from grouped
    inner join deals
        on grouped.opportunity_id = deals.opportunity_id
    left join used_numbers
        on grouped.series = used_numbers.series
    left join stacks
        on deals.stack = stacks.stack
    left join invoice_dates
        on
            stacks.accounting_connection = invoice_dates.connection
            and deals.legal_entity_code = coalesce(invoice_dates.legal_entity_code, deals.legal_entity_code)

)

select * from final
