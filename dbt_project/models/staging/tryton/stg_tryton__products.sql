{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'product_product') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as product_id,
        {{ row_id('template') }} as product_template_id,
        {{ row_id('default_uom') }} as unit_id,

        -- text
        {{ text_or_null('code') }} as code,
        {{ text_or_null('name') }} as name,
        {{ text_or_null('description') }} as description,
        {{ text_or_null('type') }} as product_type,

        -- numbers
        list_price,

        -- booleans
        coalesce(active, true) as is_active,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('last_modified_at') }} as source_version,
        _deleted_at is not null as is_deleted,
        create_date as source_created_at,
        last_modified_at as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
