-- One row per account whose invoiced, paid, open or overdue totals differ from what the account shows (S-10).

with figures as (

    select
        deals.account_id,
        figures.currency,
        sum(figures.invoiced_amount) as invoiced_amount,
        sum(figures.paid_amount) as paid_amount,
        sum(figures.open_amount) as open_amount,
        sum(figures.overdue_amount) as overdue_amount
    from {{ ref('int_project_billing_figures') }} as figures
    inner join {{ ref('int_won_opportunities') }} as deals on figures.opportunity_id = deals.opportunity_id
    group by deals.account_id, figures.currency

),

other_currencies as (

    select
        figures.account_id,
        string_agg(
            figures.currency || ' ' || cast(cast(figures.invoiced_amount as decimal(18, 2)) as varchar) || ' invoiced, '
            || cast(cast(figures.open_amount as decimal(18, 2)) as varchar) || ' open',
            '; ' order by figures.currency
        ) as other_currencies
    from figures
    inner join {{ ref('canonical__account') }} as accounts on figures.account_id = accounts.account_id
    where figures.currency is distinct from accounts.currency
    group by figures.account_id

),

wanted as (

    select
        accounts.*,
        other_currencies.other_currencies,
        coalesce(figures.invoiced_amount, 0) as invoiced_amount,
        coalesce(figures.paid_amount, 0) as paid_amount,
        coalesce(figures.open_amount, 0) as open_amount,
        coalesce(figures.overdue_amount, 0) as overdue_amount
    from {{ ref('canonical__account') }} as accounts
    left join figures on accounts.account_id = figures.account_id and accounts.currency = figures.currency
    left join other_currencies on accounts.account_id = other_currencies.account_id
    where
        not accounts.is_deleted
        and (figures.account_id is not null or other_currencies.account_id is not null)

),

final as (

    select
        source_id as account_key,
        connection as _connection,
        cast(null as varchar) as _target_id,
        cast(null as varchar) as _hold_reason,
        {{ source_refs([('wanted', 'Account')]) }} as _source_refs,
        left(other_currencies, 255) as other_currencies,
        currency,
        cast(invoiced_amount as decimal(18, 2)) as invoiced_amount,
        cast(paid_amount as decimal(18, 2)) as paid_amount,
        cast(open_amount as decimal(18, 2)) as open_amount,
        cast(overdue_amount as decimal(18, 2)) as overdue_amount
    from wanted
    where
        invoiced_amount is distinct from reported_invoiced_amount
        or paid_amount is distinct from reported_paid_amount
        or open_amount is distinct from reported_open_amount
        or overdue_amount is distinct from reported_overdue_amount
        or left(other_currencies, 255) is distinct from reported_other_currencies

)

select * from final
