-- One row per won deal whose project, hand-over or billing figures differ from what the deal shows (H-2, H-13, S-10).

with deals as (

    select * from {{ ref('int_won_opportunities') }}

),

figures as (

    select * from {{ ref('int_project_billing_figures') }}

),

wanted as (

    select
        deals.*,
        projects.source_id as project_source_id,
        projects.source_link as project_link,
        projects.source_state_label as project_status,
        projects.percent_complete,
        figures.last_payment_date,
        coalesce(figures.invoiced_amount, 0) as invoiced_amount,
        coalesce(figures.paid_amount, 0) as paid_amount,
        coalesce(figures.open_amount, 0) as open_amount,
        coalesce(figures.overdue_amount, 0) as overdue_amount,
        case
            when deals.project_id is not null then 'Project created'
            when deals.is_fit then 'Waiting'
            else 'Held'
        end as sync_status,
        left(case
            when deals.project_id is not null then coalesce(deals.warnings, '')
            when deals.is_fit then 'The project is being created'
            else deals.blocking_reasons
        end, 255) as sync_reason
    from deals
    left join {{ ref('canonical__project') }} as projects on deals.project_id = projects.project_id
    left join figures
        on deals.opportunity_id = figures.opportunity_id and deals.currency = figures.currency

),

final as (

    select
        source_id as opportunity_key,
        connection as _connection,
        cast(null as varchar) as _target_id,
        cast(null as varchar) as _hold_reason,
        {{ source_refs([('wanted', 'Opportunity')]) }} as _source_refs,
        project_source_id as project_id,
        project_link,
        project_status,
        sync_status,
        nullif(sync_reason, '') as sync_reason,
        currency,
        cast(invoiced_amount as decimal(18, 2)) as invoiced_amount,
        cast(paid_amount as decimal(18, 2)) as paid_amount,
        cast(open_amount as decimal(18, 2)) as open_amount,
        cast(overdue_amount as decimal(18, 2)) as overdue_amount,
        cast(percent_complete as decimal(9, 2)) as percent_complete,
        last_payment_date
    from wanted
    where
        sync_status != 'Waiting'
        and (
            project_source_id is distinct from reported_project_id
            or project_link is distinct from reported_project_link
            or project_status is distinct from reported_project_status
            or sync_status is distinct from reported_sync_status
            or nullif(sync_reason, '') is distinct from reported_sync_reason
            or invoiced_amount is distinct from reported_invoiced_amount
            or paid_amount is distinct from reported_paid_amount
            or open_amount is distinct from reported_open_amount
            or overdue_amount is distinct from reported_overdue_amount
            or percent_complete is distinct from reported_percent_complete
            or last_payment_date is distinct from reported_last_payment_date
        )

)

select * from final
