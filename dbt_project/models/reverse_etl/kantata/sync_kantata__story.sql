{{ config(enabled=is_connected('kantata')) }}

-- One row per line of a fit won deal whose project Tieout makes: the task on which its work is logged (H-9).

with

won_deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

made_by_tieout as (

    select distinct key as opportunity_key
    from {{ ref('stg_tieout__entries') }}
    where sync = 'sync_kantata__workspace' and verb = 'create' and state in ('confirmed', 'settled')

),

planned_projects as (

    select distinct project_id
    from {{ ref('canonical__task') }}
    where not is_deleted

),

stacks as (

    select * from {{ stacks_written('psa', 'kantata') }} as written

),

-- A project that people planned by hand keeps its plan; one that Tieout took over was planned, and perhaps billed, by people.
deals as (

    select won_deals.*
    from won_deals
    left join planned_projects
        on won_deals.project_id = planned_projects.project_id
    left join made_by_tieout
        on won_deals.source_id = made_by_tieout.opportunity_key
    where planned_projects.project_id is null or made_by_tieout.opportunity_key is not null

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
    inner join lines
        on deals.opportunity_id = lines.opportunity_id

    union all

    select
        deals.opportunity_id,
        deals.source_id || '-delivery' as task_key,
        'Delivery' as title,
        cast(null as decimal(20, 4)) as hours,
        cast(null as date) as service_date
    from deals
    left join lines
        on deals.opportunity_id = lines.opportunity_id
    where lines.opportunity_id is null

),

final as (

    select
        work.task_key,
        stacks.psa_connection as _connection,
        cast(null as varchar) as _target_id,
        case when deals.client_id is null then 'its client is held: ' || deals.client_hold_reason end as _hold_reason,
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
    inner join deals
        on work.opportunity_id = deals.opportunity_id
    inner join stacks
        on deals.stack = stacks.stack

)

select * from final
