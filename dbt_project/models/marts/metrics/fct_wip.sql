-- One row per project and currency with approved work that is on no invoice: its value and its age (K-5, P-4).

with unbilled as (

    select * from {{ ref('fct_unbilled_work') }}
    where reason_class in ('in time', 'held') and reason != 'milestone not due' and approval_state = 'approved'

)

select
    unbilled.project_id || '|' || unbilled.currency as wip_id,
    unbilled.project_id,
    unbilled.stack,
    max(unbilled.project_name) as project_name,
    unbilled.currency,
    sum(unbilled.amount) as wip_amount,
    coalesce(sum(unbilled.amount) filter (where unbilled.reason_class = 'held'), 0) as held_amount,
    count(*) as item_count,
    max(unbilled.age_days) as oldest_days,
    cast(sum(unbilled.amount * unbilled.age_days) / nullif(sum(unbilled.amount), 0) as decimal(9, 1)) as average_age_days,
    min(unbilled.service_date) as oldest_service_date
from unbilled
group by unbilled.project_id, unbilled.stack, unbilled.currency
