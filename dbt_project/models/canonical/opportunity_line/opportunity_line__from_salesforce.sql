{{ config(enabled=is_connected('salesforce')) }}

with

lines as (

    select * from {{ ref('stg_salesforce__opportunity_line_items') }}

),

products as (

    select * from {{ ref('stg_salesforce__products') }}

),

final as (

    select
        lines.opportunity_line_id,
        lines.opportunity_id,
        products.source_id as product_source_id,
        coalesce(products.name, lines.name) as product_name,
        coalesce(lines.product_code, products.product_code) as product_code,
        products.product_family,
        lines.role_name,
        lines.description,
        lines.currency,
        lines.quantity,
        lines.unit_price,
        lines.amount,
        lines.hours,
        lines.sort_order,
        lines.service_date,
        -- provenance
        lines.connection,
        lines.source_id,
        lines.source_version,
        '/' || lines.source_id as source_path,
        lines.is_deleted,
        lines.source_created_at,
        lines.source_updated_at,
        lines.loaded_at
    from lines
    left join products
        on lines.product_id = products.product_id

)

select * from final
