{{ config(enabled=is_connected('tryton')) }}

-- One row per task of a project that Tieout makes: work by the hour with its price, or a fee with its day (H-7, H-9).

with

won_deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

made_by_tieout as (

    select distinct
        key as project_key,
        connection
    from {{ ref('stg_tieout__entries') }}
    where sync = 'sync_tryton__project' and verb = 'create' and state in ('confirmed', 'settled')

),

planned_projects as (

    select distinct project_id
    from {{ ref('canonical__task') }}
    where not is_deleted

),

held_projects as (

    select
        project_key,
        _connection,
        _hold_reason as reason
    from {{ ref('sync_tryton__project') }}
    where _hold_reason is not null

),

stacks as (

    select * from {{ stacks_written('psa', 'tryton') }} as written

),

-- A project that people planned by hand keeps its plan; one that Tieout took over was planned, and perhaps billed, by people.
deals as (

    select
        won_deals.*,
        'PRJ_' || won_deals.source_id as project_key,
        stacks.psa_connection,
        stacks.crm_connection = stacks.psa_connection as has_products_of_the_crm
    from won_deals
    inner join stacks
        on won_deals.stack = stacks.stack
    left join planned_projects
        on won_deals.project_id = planned_projects.project_id
    left join made_by_tieout
        on
            'PRJ_' || won_deals.source_id = made_by_tieout.project_key
            and stacks.psa_connection = made_by_tieout.connection
    where planned_projects.project_id is null or made_by_tieout.project_key is not null

),

lines as (

    select * from {{ ref('canonical__opportunity_line') }}
    where not is_deleted

),

planned as (

    select * from {{ ref('int_project_milestones_planned') }}

),

-- The price of an hour: what the line comes to for its hours, else its price per unit where it sells hours.
priced_lines as (

    select
        *,
        case
            when hours > 0 and amount is not null
                then {{ money_from_ten_thousandths(integer_divide(
                    '2 * cast(amount * 10000 as bigint) * 10000 + cast(hours * 10000 as bigint)', '2 * cast(hours * 10000 as bigint)'
                )) }}
            when hours > 0 and hours = quantity then unit_price
        end as hourly_rate
    from lines

),

work as (

    select
        deals.opportunity_id,
        lines.source_id as task_id,
        coalesce(nullif(concat_ws(', ', lines.role_name, lines.description), ''), lines.product_name, 'Work') as task_name,
        case when deals.has_products_of_the_crm then coalesce(lines.product_code, 'SVC-TIME') else 'SVC-TIME' end as product_code,
        lines.hourly_rate as list_price,
        lines.hours,
        cast(null as date) as invoice_date,
        lines.currency
    from deals
    inner join priced_lines as lines
        on deals.opportunity_id = lines.opportunity_id
    where deals.billing_type = 'time_and_materials'

    union all

    select
        deals.opportunity_id,
        deals.source_id || '-delivery' as task_id,
        'Delivery' as task_name,
        'SVC-TIME' as product_code,
        cast(null as decimal(20, 4)) as list_price,
        cast(null as decimal(20, 4)) as hours,
        cast(null as date) as invoice_date,
        deals.currency
    from deals
    left join lines
        on deals.opportunity_id = lines.opportunity_id
    where deals.billing_type = 'time_and_materials' and lines.opportunity_id is null

    union all

    -- a fixed fee is billed when its task is done, anything else on its day
    select
        deals.opportunity_id,
        deals.source_id || '-' || planned.milestone_no as task_id,
        planned.name as task_name,
        case deals.billing_type when 'retainer' then 'SVC-RETAINER' else 'SVC-FIXED' end as product_code,
        planned.amount as list_price,
        cast(null as decimal(20, 4)) as hours,
        case when deals.billing_type <> 'fixed_fee' then planned.invoice_date end as invoice_date,
        planned.currency
    from deals
    inner join planned
        on deals.opportunity_id = planned.opportunity_id
    where deals.billing_type <> 'time_and_materials'

),

final as (

    select
        'TSK_' || work.task_id as task_key,
        deals.psa_connection as _connection,
        cast(null as varchar) as _target_id,
        held_projects.reason as _hold_reason,
        {{ source_refs([('deals', 'Opportunity')]) }} as _source_refs,
        deals.project_key,
        work.task_name,
        'task' as work_type,
        true as is_timesheet_available,
        work.product_code,
        work.currency,
        cast(work.list_price as decimal(20, 4)) as list_price,
        cast(round(work.hours * 3600) as integer) as effort_seconds,
        work.invoice_date
    from work
    inner join deals
        on work.opportunity_id = deals.opportunity_id
    left join held_projects
        on deals.project_key = held_projects.project_key and deals.psa_connection = held_projects._connection

)

select * from final
