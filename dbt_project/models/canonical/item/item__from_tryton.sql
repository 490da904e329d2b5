{{ config(enabled=is_connected('tryton')) }}

with

products as (

    select * from {{ ref('int_tryton_products') }}

),

final as (

    select
        products.product_id as item_id,
        coalesce(products.code, products.source_id) as code,
        products.code as external_key,
        products.name,
        products.product_type as item_type,
        products.is_active and not products.is_deleted as is_active,
        -- provenance
        products.connection,
        products.source_id,
        products.source_version,
        '/model/product.product/' || products.source_id as source_path,
        products.is_deleted,
        products.source_created_at,
        products.source_updated_at,
        products.loaded_at
    from products

)

select * from final
