-- One row per won deal with a project: how long from won to project, to ready, to the first billable hour (K-7).

with

deals as (

    select * from {{ ref('int_won_opportunities') }}
    where project_id is not null

),

projects as (

    select * from {{ ref('canonical__project') }}

),

first_hours as (

    select
        project_id,
        min(work_date) as first_billable_date
    from {{ ref('canonical__time_entry') }}
    where is_billable and not is_deleted
    group by project_id

),

final as (

    select
        deals.opportunity_id,
        deals.project_id,
        deals.stack,
        deals.name as opportunity_name,
        deals.legal_entity_code,
        deals.currency,
        deals.amount,
        date_diff('minute', deals.won_at, projects.source_created_at) as minutes_to_project,
        {{ days_between(business_date('deals.won_at'), 'first_hours.first_billable_date') }} as days_to_first_billable_hour,
        projects.lead_resource_id is not null and projects.is_budgeted and projects.billing_type is not null as is_ready,
        first_hours.first_billable_date,
        deals.won_at,
        projects.source_created_at as project_created_at
    from deals
    inner join projects
        on deals.project_id = projects.project_id
    left join first_hours
        on deals.project_id = first_hours.project_id
    where deals.won_at is not null

)

select * from final
