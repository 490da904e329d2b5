{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'account_invoice_payment_line') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as invoice_payment_line_id,
        {{ row_id('invoice') }} as invoice_id,
        {{ row_id('line') }} as move_line_id,

        -- loader
        _connection as connection,
        id as source_id,
        _deleted_at is not null as is_deleted,
        _loaded_at as loaded_at
    from source

)

select * from renamed
