{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'timesheet_line') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as timesheet_line_id,
        {{ row_id('company') }} as company_id,
        {{ row_id('employee') }} as employee_id,
        {{ row_id('work') }} as timesheet_work_id,
        {{ row_id('invoice_line') }} as invoice_line_id,

        -- text
        {{ text_or_null('description') }} as notes,

        -- numbers
        cost_price as cost_rate,
        cast(duration_seconds as bigint) as duration_seconds,

        -- dates
        date as work_date,

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
