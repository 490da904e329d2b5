{{ config(enabled=is_connected('kantata')) }}

with

slots as (

    select * from {{ ref('stg_kantata__workspace_resources') }}

),

allocations as (

    select * from {{ ref('stg_kantata__workspace_allocations') }}

),

planned as (

    select
        assignment_id,
        sum(minutes) as planned_minutes,
        sum(case when is_hard then minutes else 0 end) as hard_minutes,
        min(start_date) as start_date,
        max(end_date) as end_date
    from allocations
    where not is_deleted
    group by assignment_id

),

final as (

    select
        slots.assignment_id,
        slots.project_id,
        slots.user_id as resource_id,
        slots.role_id,
        slots.role_name,
        coalesce(planned.planned_minutes, 0) as planned_minutes,
        coalesce(planned.hard_minutes, 0) as hard_minutes,
        slots.user_id is not null as is_named,
        planned.start_date,
        planned.end_date,
        -- provenance
        slots.connection,
        slots.source_id,
        slots.source_version,
        '/workspaces/' || split_part(slots.project_id, ':', 2) || '/resources' as source_path,
        slots.is_deleted,
        slots.source_created_at,
        slots.source_updated_at,
        slots.loaded_at
    from slots
    left join planned
        on slots.assignment_id = planned.assignment_id

)

select * from final
