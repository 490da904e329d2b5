{{ config(enabled=is_connected('tryton')) }}

-- One row per won deal: its project, hand-over and billing figures, as a note on the opportunity (H-2, H-13, S-10).

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

stacks as (

    select * from {{ stacks_written('crm', 'tryton') }} as written

),

described as (

    select
        deals.source_id as opportunity_key,
        deals.connection as _connection,
        {{ source_refs([('deals', 'Opportunity')]) }} as _source_refs,
        case
            when deals.project_id is not null then 'Project created'
            when deals.is_fit and deals.client_hold_reason is null then 'Waiting'
            else 'Held'
        end as sync_status,
        case
            when deals.project_id is not null then coalesce(deals.customer_hold_reason, deals.warnings)
            else coalesce(deals.blocking_reasons, deals.client_hold_reason)
        end as sync_reason,
        projects.name as project_name,
        projects.source_id as project_number,
        projects.source_state_label as project_status,
        deals.currency,
        cast(coalesce(figures.invoiced_amount, 0) as decimal(18, 2)) as invoiced_amount,
        cast(coalesce(figures.paid_amount, 0) as decimal(18, 2)) as paid_amount,
        cast(coalesce(figures.open_amount, 0) as decimal(18, 2)) as open_amount,
        cast(coalesce(figures.overdue_amount, 0) as decimal(18, 2)) as overdue_amount,
        figures.billing_status,
        figures.last_payment_date
    from deals
    inner join stacks
        on deals.stack = stacks.stack
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
        concat_ws(
            chr(10),
            sync_status || coalesce(': ' || sync_reason, ''),
            'Project: ' || project_name || ' (' || project_number || '), ' || coalesce(project_status, 'no status'),
            'Billing: ' || billing_status,
            'Invoiced ' || currency || ' ' || cast(invoiced_amount as varchar) || ', paid ' || cast(paid_amount as varchar)
            || ', open ' || cast(open_amount as varchar) || ', overdue ' || cast(overdue_amount as varchar),
            'Last payment: ' || cast(last_payment_date as varchar)
        ) as note,
        currency,
        invoiced_amount
    from described
    where sync_status <> 'Waiting'

)

select * from final
