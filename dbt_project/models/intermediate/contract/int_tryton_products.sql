{{ config(enabled=is_connected('tryton')) }}

with

products as (

    select * from {{ ref('stg_tryton__products') }}

),

templates as (

    select * from {{ ref('stg_tryton__product_templates') }}

),

units as (

    select * from {{ ref('stg_tryton__units') }}

),

final as (

    select
        products.product_id,
        coalesce(products.code, templates.code) as code,
        coalesce(products.name, templates.name) as name,
        coalesce(products.product_type, templates.product_type) as product_type,
        coalesce(products.list_price, templates.list_price) as list_price,
        coalesce(units.symbol = 'h', false) as is_hourly,
        products.is_active and coalesce(templates.is_active, true) as is_active,
        products.connection,
        products.source_id,
        products.source_version,
        products.is_deleted or coalesce(templates.is_deleted, false) as is_deleted,
        products.source_created_at,
        products.source_updated_at,
        products.loaded_at
    from products
    left join templates
        on products.product_template_id = templates.product_template_id
    left join units
        on coalesce(products.unit_id, templates.unit_id) = units.unit_id

)

select * from final
