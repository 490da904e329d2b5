{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'currencyrate') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as currency_rate_id,
        {{ row_id('basecurrency') }} as base_currency_id,
        {{ row_id('transactioncurrency') }} as currency_id,

        -- numbers
        exchangerate as exchange_rate,

        -- dates
        effectivedate as effective_date,

        -- loader
        _connection as connection,
        id as source_id,
        _deleted_at is not null as is_deleted,
        _loaded_at as loaded_at
    from source

)

select * from renamed
