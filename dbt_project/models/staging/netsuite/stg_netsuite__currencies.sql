{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'currency') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as currency_id,

        -- text
        {{ text_or_null('symbol') }} as currency,
        {{ text_or_null('name') }} as name,

        -- numbers
        coalesce(currencyprecision, 2) as minor_units,
        exchangerate as exchange_rate,

        -- booleans
        {{ letter_flag('isbasecurrency') }} as is_base,
        {{ letter_flag('isinactive') }} as is_inactive,

        -- loader
        _connection as connection,
        id as source_id,
        _deleted_at is not null as is_deleted,
        _loaded_at as loaded_at
    from source

)

select * from renamed
