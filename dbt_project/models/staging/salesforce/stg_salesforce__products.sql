{{ config(enabled=is_connected('salesforce')) }}

with

source as (

    select * from {{ source('raw_salesforce', 'product2') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as product_id,

        -- text
        {{ text_or_null('name') }} as name,
        {{ text_or_null('product_code') }} as product_code,
        {{ text_or_null('family') }} as product_family,

        -- booleans
        coalesce(is_active, false) as is_active,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('system_modstamp') }} as source_version,
        _deleted_at is not null or coalesce(is_deleted, false) as is_deleted,
        created_date as source_created_at,
        system_modstamp as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
