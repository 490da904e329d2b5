{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'company_employee') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as employee_id,
        {{ row_id('party') }} as party_id,
        {{ row_id('company') }} as company_id,

        -- numbers
        cost_price as cost_rate,

        -- booleans
        coalesce(active, true) as is_active,

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
