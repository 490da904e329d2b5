{{ config(enabled=is_connected('tryton')) }}

with

works as (

    select * from {{ ref('int_tryton_works') }}

),

tasks as (

    select * from works
    where work_type = 'task'

),

final as (

    select
        tasks.work_id as task_id,
        tasks.project_id,
        case when parents.work_type = 'task' then parents.work_id end as parent_task_id,
        tasks.name,
        'task' as task_type,
        tasks.work_type as source_task_type,
        case
            when tasks.is_done then 'completed'
            when tasks.progress > 0 then 'started'
            else 'not_started'
        end as state,
        tasks.status_name as source_state,
        tasks.currency,
        case when tasks.fee_type is not null then tasks.list_price end as budget_amount,
        {{ integer_divide('tasks.effort_seconds + 30', '60') }} as estimated_minutes,
        tasks.progress * 100 as percent_complete,
        tasks.project_party_id is not null as is_billable,
        tasks.fee_type is not null as is_fixed_fee,
        false as is_archived,
        cast(null as date) as start_date,
        cast(null as date) as due_date,
        -- provenance
        tasks.connection,
        tasks.source_id,
        tasks.source_version,
        '/model/project.work/' || tasks.source_id as source_path,
        tasks.is_deleted,
        tasks.source_created_at,
        tasks.source_updated_at,
        tasks.loaded_at
    from tasks
    left join works as parents
        on tasks.parent_work_id = parents.work_id

)

select * from final
