-- One row per amount that a fit won deal bills by date or completion, on projects that Tieout makes (H-7).

-- projects that Tieout made; one that it took over was set up, and perhaps billed, by people
with made as (

    select distinct key from {{ ref('stg_tieout__entries') }}
    where sync = 'sync_kantata__workspace' and verb = 'create' and state in ('confirmed', 'settled')

),

deals as (

    select deals.*
    from {{ ref('int_won_opportunities') }} as deals
    left join {{ ref('canonical__milestone') }} as milestones
        on deals.project_id = milestones.project_id and not milestones.is_deleted
    left join made on deals.source_id = made.key
    where
        deals.is_fit
        -- a schedule that people made by hand stays theirs
        and (milestones.milestone_id is null or made.key is not null)
    qualify row_number() over (partition by deals.opportunity_id order by milestones.milestone_id) = 1

),

planned as (

    select * from {{ ref('int_project_milestones_planned') }}

),

final as (

    select
        deals.source_id || '-' || planned.milestone_no as milestone_key,
        stacks.psa_connection as _connection,
        cast(null as varchar) as _target_id,
        cast(null as varchar) as _hold_reason,
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
        cast(
            round(planned.amount * power(10, coalesce(currencies.minor_units, 2))) as bigint
        ) as amount_in_minor_units,
        case
            when deals.billing_type != 'fixed_fee' or planned.line_source_id is null then planned.invoice_date
        end as invoice_date
    from planned
    inner join deals on planned.opportunity_id = deals.opportunity_id
    left join {{ ref('stacks') }} as stacks on deals.stack = stacks.stack
    left join {{ ref('canonical__currency') }} as currencies
        on stacks.accounting_connection = currencies.connection and planned.currency = currencies.currency

)

select * from final
