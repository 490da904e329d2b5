{{ config(enabled=is_connected('tryton')) }}

with

opportunities as (

    select * from {{ ref('stg_tryton__opportunities') }}

),

lines as (

    select * from {{ ref('stg_tryton__opportunity_lines') }}
    where not is_deleted

),

products as (

    select * from {{ ref('int_tryton_products') }}

),

companies as (

    select * from {{ ref('int_tryton_companies') }}

),

currencies as (

    select * from {{ ref('stg_tryton__currencies') }}

),

people as (

    select * from {{ ref('resource__from_tryton') }}

),

states as (

    select * from {{ mapped_values('tryton', 'opportunity.state') }} as mappings

),

fees as (

    select * from {{ mapped_values('tryton', 'opportunity.billing_type') }} as mappings

),

-- Tryton has no billing type: what is sold says it, and a fixed fee that falls due on a day is a milestone. What is no
-- fee is billed by the hour.
described_lines as (

    select
        lines.opportunity_id,
        products.code as product_code,
        {{ safe_cast_to('lines.note', 'date') }} as due_date,
        case
            when fees.canonical_value is null then 'time_and_materials'
            when fees.canonical_value = 'fixed_fee' and {{ safe_cast_to('lines.note', 'date') }} is not null then 'milestone'
            else fees.canonical_value
        end as billing_type
    from lines
    left join products
        on lines.product_id = products.product_id
    left join fees
        on products.code = fees.source_value

),

-- A deal of several types has none, and is held until it is split (H-8).
sold as (

    select
        opportunity_id,
        min(billing_type) as billing_type,
        count(distinct billing_type) as billing_types,
        string_agg(distinct product_code, ', ' order by product_code) as product_codes,
        max(due_date) filter (where billing_type = 'retainer') as last_month
    from described_lines
    group by opportunity_id

),

final as (

    select
        opportunities.opportunity_id,
        opportunities.party_id as account_id,
        coalesce(opportunities.name, opportunities.opportunity_number, opportunities.source_id) as name,
        states.canonical_value as state,
        opportunities.state as stage_name,
        cast(null as text) as opportunity_type,
        case when coalesce(sold.billing_types, 1) = 1 then coalesce(sold.billing_type, 'time_and_materials') end as billing_type,
        case when sold.billing_types = 1 then sold.product_codes end as source_billing_type,
        companies.legal_entity_code,
        opportunities.customer_reference as po_number,
        people.name as owner_name,
        people.email as owner_email,
        cast(null as text) as delivery_lead_email,
        cast(null as text) as reported_project_id,
        cast(null as text) as reported_project_link,
        cast(null as text) as reported_project_status,
        cast(null as text) as reported_sync_status,
        cast(null as text) as reported_sync_reason,
        currencies.currency,
        opportunities.amount,
        -- The probability stays where sales last put it: a won deal is certain.
        case when states.canonical_value = 'won' then 100 else opportunities.probability * 100 end as probability_percent,
        cast(null as decimal(20, 4)) as reported_invoiced_amount,
        cast(null as decimal(20, 4)) as reported_paid_amount,
        cast(null as decimal(20, 4)) as reported_open_amount,
        cast(null as decimal(20, 4)) as reported_overdue_amount,
        cast(null as decimal(9, 4)) as reported_percent_complete,
        opportunities.end_date as close_date,
        opportunities.start_date as contract_start_date,
        -- Tryton keeps no last day: a retainer ends with its last month, the rest so many months after it was won.
        case
            when states.canonical_value = 'won' and sold.last_month is not null then {{ add_months(month_of('sold.last_month'), 1) }} - 1
            when states.canonical_value = 'won'
                then {{ add_months('greatest(opportunities.start_date, opportunities.end_date)', var('open_contract_months')) }} - 1
        end as contract_end_date,
        cast(null as date) as reported_last_payment_date,
        cast(opportunities.end_date as timestamp with time zone) as stage_changed_at,
        case when states.canonical_value = 'won' then cast(opportunities.end_date as timestamp with time zone) end as won_at,
        -- provenance
        opportunities.connection,
        opportunities.source_id,
        opportunities.source_version,
        '/model/sale.opportunity/' || opportunities.source_id as source_path,
        opportunities.is_deleted,
        opportunities.source_created_at,
        opportunities.source_updated_at,
        opportunities.loaded_at
    from opportunities
    left join states
        on opportunities.state = states.source_value
    left join sold
        on opportunities.opportunity_id = sold.opportunity_id
    left join companies
        on opportunities.company_id = companies.company_id
    left join currencies
        on opportunities.currency_id = currencies.currency_id
    left join people
        on opportunities.employee_id = people.resource_id

)

select * from final
