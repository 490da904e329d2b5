{{ config(enabled=is_connected('salesforce')) }}

-- One row per won deal whose project, hand-over or billing figures differ from what the deal shows (H-2, H-13, S-10).

with

deals as (

    select * from {{ ref('int_won_opportunities') }}

),

projects as (

    select * from {{ ref('canonical__project') }}

),

figures as (

    select * from {{ ref('int_project_billing_figures') }}

),

connections as (

    select distinct crm_connection as connection
    from {{ stacks_written('crm', 'salesforce') }} as written

),

wanted as (

    select
        deals.source_id as opportunity_key,
        deals.connection as _connection,
        {{ source_refs([('deals', 'Opportunity')]) }} as _source_refs,
        projects.source_id as project_id,
        projects.source_link as project_link,
        projects.source_state_label as project_status,
        case
            when deals.project_id is not null then 'Project created'
            when deals.is_fit and deals.client_hold_reason is null then 'Waiting'
            else 'Held'
        end as sync_status,
        left(case
            when deals.project_id is not null then coalesce(deals.customer_hold_reason, deals.warnings)
            else coalesce(deals.blocking_reasons, deals.client_hold_reason)
        end, 255) as sync_reason,
        deals.currency,
        cast(coalesce(figures.invoiced_amount, 0) as decimal(18, 2)) as invoiced_amount,
        cast(coalesce(figures.paid_amount, 0) as decimal(18, 2)) as paid_amount,
        cast(coalesce(figures.open_amount, 0) as decimal(18, 2)) as open_amount,
        cast(coalesce(figures.overdue_amount, 0) as decimal(18, 2)) as overdue_amount,
        cast(projects.percent_complete as decimal(9, 2)) as percent_complete,
        figures.last_payment_date,
        deals.reported_project_id,
        deals.reported_project_link,
        deals.reported_project_status,
        deals.reported_sync_status,
        deals.reported_sync_reason,
        deals.reported_invoiced_amount,
        deals.reported_paid_amount,
        deals.reported_open_amount,
        deals.reported_overdue_amount,
        deals.reported_percent_complete,
        deals.reported_last_payment_date
    from deals
    inner join connections
        on deals.connection = connections.connection
    left join projects
        on deals.project_id = projects.project_id
    left join figures
        on deals.project_id = figures.project_id and deals.currency = figures.currency

),

-- A project that is on its way needs no note: the next run writes that it is there.
final as (

    select
        opportunity_key,
        _connection,
        cast(null as varchar) as _target_id,
        cast(null as varchar) as _hold_reason,
        _source_refs,
        project_id,
        project_link,
        project_status,
        sync_status,
        sync_reason,
        currency,
        invoiced_amount,
        paid_amount,
        open_amount,
        overdue_amount,
        percent_complete,
        last_payment_date
    from wanted
    where
        sync_status <> 'Waiting'
        and (
            project_id is distinct from reported_project_id
            or project_link is distinct from reported_project_link
            or project_status is distinct from reported_project_status
            or sync_status is distinct from reported_sync_status
            or sync_reason is distinct from reported_sync_reason
            or invoiced_amount is distinct from reported_invoiced_amount
            or paid_amount is distinct from reported_paid_amount
            or open_amount is distinct from reported_open_amount
            or overdue_amount is distinct from reported_overdue_amount
            or percent_complete is distinct from reported_percent_complete
            or last_payment_date is distinct from reported_last_payment_date
        )

)

select * from final
