{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'account_invoice_line') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as invoice_line_id,
        {{ row_id('invoice') }} as invoice_id,
        {{ row_id('product') }} as product_id,
        {{ row_id('currency') }} as currency_id,

        -- text
        {{ text_or_null('type') }} as line_type,
        {{ text_or_null('description') }} as description,
        nullif(regexp_extract(note, '^[A-Za-z0-9_-]+:(time_entry|expense|billing_milestone):[^:[:space:]]+(:[0-9]+)?'), '') as source_reference,

        -- numbers
        quantity,
        unit_price,
        amount,
        sequence as sort_order,

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
