-- One row per line of a fit won deal whose project Tieout makes: the task on which its work is logged (H-9).

-- projects that Tieout made; one that it took over was set up, and perhaps billed, by people
with made as (

    select distinct key from {{ ref('stg_tieout__entries') }}
    where sync = 'sync_kantata__workspace' and verb = 'create' and state in ('confirmed', 'settled')

),

deals as (

    select deals.*
    from {{ ref('int_won_opportunities') }} as deals
    left join {{ ref('canonical__task') }} as tasks
        on deals.project_id = tasks.project_id and not tasks.is_deleted
    left join made on deals.source_id = made.key
    where
        deals.is_fit
        -- a project that people planned by hand keeps its plan
        and (tasks.task_id is null or made.key is not null)
    qualify row_number() over (partition by deals.opportunity_id order by tasks.task_id) = 1

),

lines as (

    select * from {{ ref('canonical__opportunity_line') }}
    where not is_deleted

),

work as (

    select
        deals.opportunity_id,
        lines.source_id as task_key,
        coalesce(lines.description, lines.role_name, lines.product_name, 'Work') as title,
        lines.hours,
        lines.service_date
    from deals
    inner join lines on deals.opportunity_id = lines.opportunity_id
    union all
    select
        deals.opportunity_id,
        deals.source_id || '-delivery' as task_key,
        'Delivery' as title,
        cast(null as decimal(20, 4)) as hours,
        cast(null as date) as service_date
    from deals
    where deals.opportunity_id not in (select lines.opportunity_id from lines)

),

final as (

    select
        work.task_key,
        stacks.psa_connection as _connection,
        cast(null as varchar) as _target_id,
        cast(null as varchar) as _hold_reason,
        {{ source_refs([('deals', 'Opportunity')]) }} as _source_refs,
        deals.source_id as opportunity_key,
        work.title,
        'task' as story_type,
        cast(round(work.hours * 60) as integer) as estimated_minutes,
        true as is_billable,
        deals.billing_type in ('fixed_fee', 'milestone') as is_fixed_fee,
        deals.contract_start_date as start_date,
        case
            when work.service_date between deals.contract_start_date and deals.contract_end_date then work.service_date
            else deals.contract_end_date
        end as due_date
    from work
    inner join deals on work.opportunity_id = deals.opportunity_id
    left join {{ ref('stacks') }} as stacks on deals.stack = stacks.stack

)

select * from final
