-- One row per person and month: hours worked, billable hours, hours available (weekdays), billable utilization (K-1).

{%- set minutes_per_day = (var('hours_per_day') * 60) | int %}

with

resources as (

    select * from {{ ref('canonical__resource') }}
    where not is_deleted

),

time_entries as (

    select
        resource_id,
        {{ month_of('work_date') }} as month_start,
        minutes,
        case when is_billable then minutes else 0 end as billable_minutes
    from {{ ref('canonical__time_entry') }}
    where not is_deleted

),

worked as (

    select
        resource_id,
        month_start,
        cast(sum(minutes) as bigint) as minutes,
        cast(sum(billable_minutes) as bigint) as billable_minutes
    from time_entries
    group by resource_id, month_start

),

bounds as (

    select
        min(month_start) as first_day,
        {{ add_months('max(month_start)', '1') }} - 1 as last_day
    from worked

),

days as (

    select cast(unnest(generate_series(first_day, last_day, interval 1 day)) as date) as calendar_date
    from bounds

),

-- Weekdays of each month; holidays and time off are the PSA's calendar, which is not read yet.
months as (

    select
        {{ month_of('calendar_date') }} as month_start,
        count(*) * {{ minutes_per_day }} as available_minutes
    from days
    where isodow(calendar_date) <= 5
    group by {{ month_of('calendar_date') }}

),

-- Percent in hundredths, as an integer, so that the rounding is exact.
measured as (

    select
        worked.resource_id,
        worked.month_start,
        worked.minutes,
        worked.billable_minutes,
        months.available_minutes,
        {{ integer_divide('20000 * worked.billable_minutes + months.available_minutes', '2 * months.available_minutes') }} as utilization_hundredths
    from worked
    inner join months
        on worked.month_start = months.month_start

),

final as (

    select
        measured.resource_id || '|' || cast(measured.month_start as varchar) as utilization_id,
        measured.resource_id,
        resources.stack_group,
        resources.name as resource_name,
        {{ hours_of('measured.minutes') }} as worked_hours,
        {{ hours_of('measured.billable_minutes') }} as billable_hours,
        {{ hours_of('measured.available_minutes') }} as available_hours,
        cast(cast(measured.utilization_hundredths as decimal(9, 0)) * cast(0.01 as decimal(3, 2)) as decimal(9, 2)) as billable_utilization_percent,
        resources.billable_target_percent,
        measured.month_start
    from measured
    inner join resources
        on measured.resource_id = resources.resource_id

)

select * from final
