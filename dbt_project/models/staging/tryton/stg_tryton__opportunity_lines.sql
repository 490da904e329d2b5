{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'sale_opportunity_line') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as opportunity_line_id,
        {{ row_id('opportunity') }} as opportunity_id,
        {{ row_id('product') }} as product_id,
        {{ row_id('unit') }} as unit_id,

        -- text
        {{ text_or_null('description') }} as description,
        {{ text_or_null('note') }} as note,

        -- numbers
        quantity,
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
