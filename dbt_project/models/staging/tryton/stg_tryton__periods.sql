{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'account_period') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as accounting_period_id,
        {{ row_id('company') }} as company_id,

        -- text
        {{ text_or_null('name') }} as name,
        {{ text_or_null('type') }} as period_type,
        {{ text_or_null('state') }} as state,

        -- dates
        start_date,
        end_date,

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
