{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'currency_currency') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as currency_id,

        -- text
        {{ text_or_null('code') }} as currency,
        {{ text_or_null('name') }} as name,

        -- numbers
        digits as minor_units,

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
