{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'project_work') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as work_id,
        {{ row_id('parent') }} as parent_work_id,
        {{ row_id('party') }} as party_id,
        {{ row_id('company') }} as company_id,
        {{ row_id('status') }} as work_status_id,
        {{ row_id('product') }} as product_id,
        {{ row_id('invoice_line') }} as invoice_line_id,

        -- text
        {{ text_or_null('number') }} as work_number,
        {{ text_or_null('name') }} as name,
        {{ text_or_null('type') }} as work_type,
        nullif(trim(split_part(comment, chr(10), 1)), '') as comment_key,
        {{ text_or_null('project_invoice_method') }} as invoice_method,

        -- numbers
        list_price,
        progress,
        cast(effort_duration_seconds as bigint) as effort_seconds,

        -- dates
        project_invoice_timesheet_up_to as invoice_date,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('last_modified_at') }} as source_version,
        _deleted_at is not null as is_deleted,
        create_date as source_created_at,
        last_modified_at as source_updated_at,
        _loaded_at as loaded_at
    from source
    -- the record by which the target makes sure that nothing is made twice is nobody's work
    where coalesce(comment, '') not like 'tieout:guard%'

)

select * from renamed
