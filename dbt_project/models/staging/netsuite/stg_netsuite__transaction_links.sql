{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'nexttransactionlinelink') }}

),

renamed as (

    select
        -- ids
        {{ row_id('previousdoc') }} as previous_transaction_id,
        {{ row_id('nextdoc') }} as next_transaction_id,

        -- text
        {{ text_or_null('previoustype') }} as previous_type,
        {{ text_or_null('nexttype') }} as next_type,
        {{ text_or_null('linktype') }} as link_type,

        -- numbers
        abs(foreignamount) as amount,

        -- loader
        _connection as connection,
        _deleted_at is not null as is_deleted,
        _loaded_at as loaded_at
    from source

)

select * from renamed
