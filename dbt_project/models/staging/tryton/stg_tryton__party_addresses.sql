{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'party_address') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as party_address_id,
        {{ row_id('party') }} as party_id,
        {{ row_id('country') }} as country_id,
        {{ row_id('subdivision') }} as subdivision_id,

        -- text
        {{ text_or_null('street') }} as street,
        {{ text_or_null('city') }} as city,
        {{ text_or_null('postal_code') }} as postal_code,

        -- numbers
        sequence as sort_order,

        -- booleans
        coalesce(invoice, false) as is_for_invoices,
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
