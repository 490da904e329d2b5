{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'invoice_expenses') }}

),

renamed as (

    select
        -- ids
        {{ row_id('invoice_id') }} as psa_invoice_id,
        {{ row_id('expense_id') }} as expense_id,

        -- loader
        _connection as connection,
        _deleted_at is not null as is_deleted,
        _loaded_at as loaded_at
    from source

)

select * from renamed
