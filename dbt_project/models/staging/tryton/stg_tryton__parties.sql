{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'party_party') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as party_id,
        {{ row_id('replaced_by') }} as replaced_by_party_id,
        {{ row_id('customer_payment_term') }} as payment_term_id,

        -- text
        {{ text_or_null('name') }} as name,
        {{ text_or_null('code') }} as party_code,

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
