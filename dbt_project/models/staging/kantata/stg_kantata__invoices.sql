{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'invoices') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as psa_invoice_id,

        -- text
        {{ text_or_null('title') }} as title,
        {{ text_or_null('user_invoice_number') }} as invoice_number,
        {{ text_or_null('status') }} as status,
        {{ text_or_null('purchase_order') }} as po_number,
        {{ text_or_null('currency') }} as currency,

        -- numbers
        {{ money_from_subunits('balance_in_cents', 'currency_base_unit') }} as total_amount,
        tax_rate as tax_rate_percent,

        -- booleans
        coalesce(draft, false) as is_draft,

        -- dates
        invoice_date,
        due_date,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('updated_at') }} as source_version,
        _deleted_at is not null as is_deleted,
        created_at as source_created_at,
        updated_at as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
