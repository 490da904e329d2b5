{{ config(enabled=is_connected('kantata')) }}

with

stories as (

    select * from {{ ref('stg_kantata__stories') }}

),

workspaces as (

    select * from {{ ref('stg_kantata__workspaces') }}

),

task_types as (

    select * from {{ mapped_values('kantata', 'task.task_type') }} as mappings

),

states as (

    select * from {{ mapped_values('kantata', 'task.state') }} as mappings

),

final as (

    select
        stories.task_id,
        stories.project_id,
        stories.parent_task_id,
        coalesce(stories.title, stories.source_id) as name,
        task_types.canonical_value as task_type,
        stories.story_type as source_task_type,
        states.canonical_value as state,
        stories.state as source_state,
        workspaces.currency,
        {{ money_from_subunits('stories.budget_subunits', 'workspaces.currency_base_unit') }} as budget_amount,
        stories.estimated_minutes,
        stories.percent_complete,
        stories.is_billable,
        stories.is_fixed_fee,
        stories.is_archived,
        stories.start_date,
        stories.due_date,
        -- provenance
        stories.connection,
        stories.source_id,
        stories.source_version,
        '/workspaces/' || workspaces.source_id || '#tracker-' || stories.source_id as source_path,
        stories.is_deleted,
        stories.source_created_at,
        stories.source_updated_at,
        stories.loaded_at
    from stories
    left join workspaces
        on stories.project_id = workspaces.project_id
    left join task_types
        on stories.story_type = task_types.source_value
    left join states
        on stories.state = states.source_value

)

select * from final
