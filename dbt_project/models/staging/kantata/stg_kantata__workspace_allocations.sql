{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'workspace_allocations') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as allocation_id,
        {{ row_id('workspace_resource_id') }} as assignment_id,
        {{ row_id('workspace_id') }} as project_id,

        -- numbers
        coalesce(minutes, 0) as minutes,

        -- booleans
        coalesce(hard, false) as is_hard,

        -- dates
        start_date,
        end_date,

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
