-- One row per project and currency with approved work that is on no invoice: its value and its age (K-5, P-4).

with

unbilled as (

    select * from {{ ref('fct_unbilled_work') }}
    where reason_class in ('in time', 'held') and reason <> 'milestone not due'

),

final as (

    select
        project_id || '|' || currency as wip_id,
        project_id,
        stack,
        max(project_name) as project_name,
        currency,
        sum(amount) as wip_amount,
        coalesce(sum(amount) filter (where reason_class = 'held'), 0) as held_amount,
        count(*) as item_count,
        max(age_days) as oldest_days,
        cast(sum(amount * age_days) / nullif(sum(amount), 0) as decimal(9, 1)) as average_age_days,
        min(service_date) as oldest_service_date
    from unbilled
    group by project_id, stack, currency

)

select * from final
