{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'timesheet_submissions') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as timesheet_id,
        {{ row_id('workspace_id') }} as project_id,
        {{ row_id('user_id') }} as user_id,

        -- text
        {{ text_or_null('title') }} as title,
        {{ text_or_null('status') }} as status,
        {{ text_or_null('currency') }} as currency,

        -- numbers
        {{ money_from_subunits('line_item_total_in_cents', 'currency_base_unit') }} as total_amount,

        -- dates
        start_date,
        end_date,

        -- timestamps
        current_resolution_created_at as resolved_at,

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
