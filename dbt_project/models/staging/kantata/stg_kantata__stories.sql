{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'stories') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as task_id,
        {{ row_id('workspace_id') }} as project_id,
        {{ row_id('parent_id') }} as parent_task_id,

        -- text
        {{ text_or_null('title') }} as title,
        {{ text_or_null('story_type') }} as story_type,
        {{ text_or_null('state') }} as state,

        -- numbers
        budget_estimate_in_cents as budget_subunits,
        time_estimate_in_minutes as estimated_minutes,
        percentage_complete as percent_complete,

        -- booleans
        coalesce(billable, false) as is_billable,
        coalesce(fixed_fee, false) as is_fixed_fee,
        coalesce(archived, false) as is_archived,

        -- dates
        start_date,
        due_date,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('updated_at') }} as source_version,
        _deleted_at is not null or deleted_at is not null as is_deleted,
        created_at as source_created_at,
        updated_at as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
