-- One row per person and month: hours worked, billable hours, hours available (weekdays), billable utilization (K-1).

with resources as (

    select * from {{ ref('canonical__resource') }}
    where not is_deleted

),

worked as (

    select
        resource_id,
        {{ month_of('work_date') }} as month_start,
        sum(minutes) as minutes,
        coalesce(sum(minutes) filter (where is_billable), 0) as billable_minutes
    from {{ ref('canonical__time_entry') }}
    where not is_deleted
    group by 1, 2

),

-- weekdays of each month; holidays and time off are the PSA's calendar, which is not read yet
months as (

    select
        month_start,
        count(*) as weekdays
    from (
        select
            {{ month_of('day') }} as month_start,
            day
        from (
            select unnest(generate_series(bounds.first_month, {{ add_months('bounds.last_month', '1') }} - 1, interval 1 day)) as day
            from (select min(month_start) as first_month, max(month_start) as last_month from worked) as bounds
        ) as days
        where isodow(day) <= 5
    ) as calendar
    group by month_start

)

select
    worked.resource_id || '|' || cast(worked.month_start as varchar) as utilization_id,
    worked.resource_id,
    resources.stack,
    resources.name as resource_name,
    cast(worked.minutes / 60.0 as decimal(12, 2)) as worked_hours,
    cast(worked.billable_minutes / 60.0 as decimal(12, 2)) as billable_hours,
    cast(months.weekdays * {{ var('hours_per_day') }} as decimal(12, 2)) as available_hours,
    cast(worked.billable_minutes / 60.0 / (months.weekdays * {{ var('hours_per_day') }}) * 100 as decimal(9, 2))
        as billable_utilization_percent,
    resources.billable_target_percent,
    worked.month_start
from worked
inner join resources on worked.resource_id = resources.resource_id
inner join months on worked.month_start = months.month_start
