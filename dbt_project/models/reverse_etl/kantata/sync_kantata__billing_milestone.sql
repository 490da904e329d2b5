{{ config(enabled=is_connected('kantata')) }}

-- One row per amount that a fit won deal bills by date or completion, on projects that Tieout makes (H-7).

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
    from {{ ref('canonical__milestone') }}
    where not is_deleted

),

stacks as (

    select * from {{ stacks_written('psa', 'kantata') }} as written

),

-- A schedule that people made by hand stays theirs; a project that Tieout took over may be billed already.
deals as (

    select won_deals.*
    from won_deals
    left join planned_projects
        on won_deals.project_id = planned_projects.project_id
    left join made_by_tieout
        on won_deals.source_id = made_by_tieout.opportunity_key
    where planned_projects.project_id is null or made_by_tieout.opportunity_key is not null

),

currencies as (

    select * from {{ ref('canonical__currency') }}

),

planned as (

    select * from {{ ref('int_project_milestones_planned') }}

),

final as (

    select
        deals.source_id || '-' || planned.milestone_no as milestone_key,
        stacks.psa_connection as _connection,
        cast(null as varchar) as _target_id,
        case when deals.client_id is null then 'its client is held: ' || deals.client_hold_reason end as _hold_reason,
        {{ source_refs([('deals', 'Opportunity')]) }} as _source_refs,
        deals.source_id as opportunity_key,
        case when deals.billing_type = 'fixed_fee' then planned.line_source_id end as task_key,
        planned.name as title,
        case
            when deals.billing_type = 'fixed_fee' and planned.line_source_id is not null then 'upon_completion'
            else 'fixed_date'
        end as billing_trigger,
        planned.currency,
        planned.amount,
        {{ minor_amount('planned.amount', 'coalesce(currencies.minor_units, 2)') }} as amount_in_minor_units,
        case
            when deals.billing_type != 'fixed_fee' or planned.line_source_id is null then planned.invoice_date
        end as invoice_date
    from planned
    inner join deals
        on planned.opportunity_id = deals.opportunity_id
    inner join stacks
        on deals.stack = stacks.stack
    left join currencies
        on stacks.accounting_connection = currencies.connection and planned.currency = currencies.currency

)

select * from final
