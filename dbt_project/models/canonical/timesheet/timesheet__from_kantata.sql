{{ config(enabled=is_connected('kantata')) }}

with

submissions as (

    select * from {{ ref('stg_kantata__timesheet_submissions') }}

),

states as (

    select * from {{ mapped_values('kantata', 'timesheet.state') }} as mappings

),

final as (

    select
        submissions.timesheet_id,
        submissions.project_id,
        submissions.user_id as resource_id,
        submissions.title,
        states.canonical_value as state,
        submissions.status as source_state,
        submissions.currency,
        submissions.total_amount,
        submissions.start_date,
        submissions.end_date,
        submissions.source_created_at as submitted_at,
        case when states.canonical_value <> 'submitted' then submissions.resolved_at end as resolved_at,
        -- provenance
        submissions.connection,
        submissions.source_id,
        submissions.source_version,
        '/timesheets/' || submissions.source_id as source_path,
        submissions.is_deleted,
        submissions.source_created_at,
        submissions.source_updated_at,
        submissions.loaded_at
    from submissions
    left join states
        on submissions.status = states.source_value

)

select * from final
