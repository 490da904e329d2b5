{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'term') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as payment_term_id,

        -- text
        {{ text_or_null('name') }} as name,

        -- numbers
        daysuntilnetdue as net_days,

        -- booleans
        {{ letter_flag('isinactive') }} as is_inactive,

        -- loader
        _connection as connection,
        id as source_id,
        _deleted_at is not null as is_deleted,
        _loaded_at as loaded_at
    from source

)

select * from renamed
