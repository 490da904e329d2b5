{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'account_invoice') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as invoice_id,
        {{ row_id('party') }} as party_id,
        {{ row_id('company') }} as company_id,
        {{ row_id('currency') }} as currency_id,
        {{ row_id('payment_term') }} as payment_term_id,
        {{ row_id('move') }} as move_id,
        {{ row_id('cancel_move') }} as cancel_move_id,

        -- text
        {{ text_or_null('number') }} as invoice_number,
        {{ text_or_null('reference') }} as reference,
        {{ text_or_null('description') }} as memo,
        {{ text_or_null('comment') }} as comment,
        {{ text_or_null('state') }} as state,

        -- numbers
        untaxed_amount as net_amount,
        tax_amount,
        total_amount,
        amount_to_pay as open_amount,

        -- dates
        invoice_date,
        reconciled as reconciled_date,

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
