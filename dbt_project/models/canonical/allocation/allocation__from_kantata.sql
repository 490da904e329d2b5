{{ config(enabled=is_connected('kantata')) }}

with

allocations as (

    select * from {{ ref('stg_kantata__workspace_allocations') }}

),

slots as (

    select * from {{ ref('stg_kantata__workspace_resources') }}

),

final as (

    select
        allocations.allocation_id,
        allocations.assignment_id,
        coalesce(slots.project_id, allocations.project_id) as project_id,
        slots.user_id as resource_id,
        allocations.minutes,
        allocations.is_hard,
        allocations.start_date,
        allocations.end_date,
        -- provenance
        allocations.connection,
        allocations.source_id,
        allocations.source_version,
        '/workspaces/' || split_part(coalesce(slots.project_id, allocations.project_id), ':', 2) || '/resources' as source_path,
        allocations.is_deleted,
        allocations.source_created_at,
        allocations.source_updated_at,
        allocations.loaded_at
    from allocations
    left join slots
        on allocations.assignment_id = slots.assignment_id

)

select * from final
