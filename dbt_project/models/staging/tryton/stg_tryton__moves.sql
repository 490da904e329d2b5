{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'account_move') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as move_id,
        {{ row_id('company') }} as company_id,
        {{ row_id('period') }} as accounting_period_id,
        {{ row_id('journal') }} as journal_id,

        -- text
        {{ text_or_null('number') }} as move_number,
        {{ text_or_null('state') }} as state,

        -- dates
        date as move_date,
        post_date as posted_date,

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
