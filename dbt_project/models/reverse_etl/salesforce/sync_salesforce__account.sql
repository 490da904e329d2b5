{{ config(enabled=is_connected('salesforce')) }}

-- One row per account whose invoiced, paid, open or overdue totals differ from what the account shows (S-10).

with

deals as (

    select * from {{ ref('int_won_opportunities') }}

),

project_figures as (

    select * from {{ ref('int_project_billing_figures') }}

),

accounts as (

    select * from {{ ref('canonical__account') }}
    where not is_deleted

),

figures as (

    select
        deals.account_id,
        project_figures.currency,
        sum(project_figures.invoiced_amount) as invoiced_amount,
        sum(project_figures.paid_amount) as paid_amount,
        sum(project_figures.open_amount) as open_amount,
        sum(project_figures.overdue_amount) as overdue_amount
    from project_figures
    inner join deals
        on project_figures.opportunity_id = deals.opportunity_id
    group by deals.account_id, project_figures.currency

),

-- Money of several currencies is never added up: what is not in the account's currency is told in words.
other_figures as (

    select
        figures.account_id,
        figures.currency,
        figures.currency || ' ' || cast(cast(figures.invoiced_amount as decimal(18, 2)) as varchar) || ' invoiced, '
        || cast(cast(figures.open_amount as decimal(18, 2)) as varchar) || ' open' as in_words
    from figures
    inner join accounts
        on figures.account_id = accounts.account_id
    where figures.currency is distinct from accounts.currency

),

other_currencies as (

    select
        account_id,
        left(string_agg(in_words, '; ' order by currency), 255) as in_words
    from other_figures
    group by account_id

),

connections as (

    select distinct crm_connection as connection
    from {{ stacks_written('crm', 'salesforce') }} as written

),

wanted as (

    select
        accounts.source_id as account_key,
        accounts.connection as _connection,
        {{ source_refs([('accounts', 'Account')]) }} as _source_refs,
        other_currencies.in_words as other_currencies,
        accounts.currency,
        cast(coalesce(figures.invoiced_amount, 0) as decimal(18, 2)) as invoiced_amount,
        cast(coalesce(figures.paid_amount, 0) as decimal(18, 2)) as paid_amount,
        cast(coalesce(figures.open_amount, 0) as decimal(18, 2)) as open_amount,
        cast(coalesce(figures.overdue_amount, 0) as decimal(18, 2)) as overdue_amount,
        accounts.reported_invoiced_amount,
        accounts.reported_paid_amount,
        accounts.reported_open_amount,
        accounts.reported_overdue_amount,
        accounts.reported_other_currencies
    from accounts
    inner join connections
        on accounts.connection = connections.connection
    left join figures
        on accounts.account_id = figures.account_id and accounts.currency = figures.currency
    left join other_currencies
        on accounts.account_id = other_currencies.account_id
    where figures.account_id is not null or other_currencies.account_id is not null

),

final as (

    select
        account_key,
        _connection,
        cast(null as varchar) as _target_id,
        cast(null as varchar) as _hold_reason,
        _source_refs,
        other_currencies,
        currency,
        invoiced_amount,
        paid_amount,
        open_amount,
        overdue_amount
    from wanted
    where
        invoiced_amount is distinct from reported_invoiced_amount
        or paid_amount is distinct from reported_paid_amount
        or open_amount is distinct from reported_open_amount
        or overdue_amount is distinct from reported_overdue_amount
        or other_currencies is distinct from reported_other_currencies

)

select * from final
