{{ config(enabled=is_connected('tryton')) }}

with

lines as (

    select * from {{ ref('stg_tryton__opportunity_lines') }}

),

opportunities as (

    select * from {{ ref('stg_tryton__opportunities') }}

),

products as (

    select * from {{ ref('int_tryton_products') }}

),

units as (

    select * from {{ ref('stg_tryton__units') }}

),

currencies as (

    select * from {{ ref('stg_tryton__currencies') }}

),

fees as (

    select * from {{ mapped_values('tryton', 'opportunity.billing_type') }} as mappings

),

final as (

    select
        lines.opportunity_line_id,
        lines.opportunity_id,
        products.source_id as product_source_id,
        products.name as product_name,
        products.code as product_code,
        cast(null as text) as product_family,
        case when units.symbol = 'h' then products.name end as role_name,
        lines.description,
        currencies.currency,
        lines.quantity,
        -- A line has no price of its own: its sale takes the product's, until somebody changes it there. So hours have a
        -- rate and no amount, which is the deal's to say; a fee is its amount.
        products.list_price as unit_price,
        case when fees.canonical_value is not null then cast(lines.quantity * products.list_price as decimal(20, 4)) end as amount,
        case when units.symbol = 'h' then lines.quantity end as hours,
        lines.sort_order,
        case when fees.canonical_value is not null then {{ safe_cast_to('lines.note', 'date') }} end as service_date,
        -- provenance
        lines.connection,
        lines.source_id,
        lines.source_version,
        '/model/sale.opportunity/' || opportunities.source_id as source_path,
        lines.is_deleted or opportunities.is_deleted as is_deleted,
        lines.source_created_at,
        lines.source_updated_at,
        lines.loaded_at
    from lines
    inner join opportunities
        on lines.opportunity_id = opportunities.opportunity_id
    left join products
        on lines.product_id = products.product_id
    left join units
        on lines.unit_id = units.unit_id
    left join fees
        on products.code = fees.source_value
    left join currencies
        on opportunities.currency_id = currencies.currency_id

)

select * from final
