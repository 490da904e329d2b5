{{ config(enabled=is_connected('kantata')) }}

-- One row per PSA project whose billing figures differ from what it shows: invoiced, paid, open, overdue, status (S-8).

with

figures as (

    select * from {{ ref('int_project_billing_figures') }}
    where project_id is not null

),

projects as (

    select * from {{ ref('canonical__project') }}
    where not is_deleted and not is_archived

),

stacks as (

    select * from {{ stacks_written('psa', 'kantata') }} as written

),

currencies as (

    select * from {{ ref('canonical__currency') }}

),

compared as (

    select
        projects.*,
        figures.billing_status,
        figures.invoiced_amount,
        figures.paid_amount,
        figures.open_amount,
        figures.overdue_amount,
        coalesce(currencies.minor_units, 2) as minor_units
    from figures
    inner join projects
        on figures.project_id = projects.project_id and figures.currency = projects.currency
    inner join stacks
        on projects.stack = stacks.stack
    left join currencies
        on stacks.accounting_connection = currencies.connection and projects.currency = currencies.currency
    where
        projects.reported_billing_status is distinct from figures.billing_status
        or projects.reported_invoiced_amount is distinct from figures.invoiced_amount
        or projects.reported_paid_amount is distinct from figures.paid_amount
        or projects.reported_open_amount is distinct from figures.open_amount
        or projects.reported_overdue_amount is distinct from figures.overdue_amount

),

final as (

    select
        compared.source_id as workspace_id,
        compared.connection as _connection,
        cast(null as varchar) as _target_id,
        cast(null as varchar) as _hold_reason,
        {{ source_refs([('compared', 'workspace')]) }} as _source_refs,
        compared.billing_status,
        {{ money_pair('compared.invoiced_amount', 'compared.currency', 'compared.minor_units') }} as invoiced,
        {{ money_pair('compared.paid_amount', 'compared.currency', 'compared.minor_units') }} as paid,
        {{ money_pair('compared.open_amount', 'compared.currency', 'compared.minor_units') }} as open,
        {{ money_pair('compared.overdue_amount', 'compared.currency', 'compared.minor_units') }} as overdue,
        compared.currency,
        cast(compared.invoiced_amount as decimal(20, 4)) as invoiced_amount
    from compared

)

select * from final
