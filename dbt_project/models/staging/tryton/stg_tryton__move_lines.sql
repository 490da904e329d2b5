{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'account_move_line') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as move_line_id,
        {{ row_id('move') }} as move_id,
        {{ row_id('party') }} as party_id,
        {{ row_id('second_currency') }} as second_currency_id,
        {{ row_id('reconciliation') }} as reconciliation_id,

        -- numbers
        debit,
        credit,
        amount_second_currency as second_currency_amount,

        -- dates
        maturity_date as due_date,

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
