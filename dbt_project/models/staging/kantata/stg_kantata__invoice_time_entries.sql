{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'invoice_time_entries') }}

),

renamed as (

    select
        -- ids
        {{ row_id('invoice_id') }} as psa_invoice_id,
        {{ row_id('time_entry_id') }} as time_entry_id,

        -- loader
        _connection as connection,
        _deleted_at is not null as is_deleted,
        _loaded_at as loaded_at
    from source

)

select * from renamed
