-- One row per won deal without a project: since when, why, and who acts next.

with

deals as (

    select * from {{ ref('int_won_opportunities') }}
    where project_id is null

),

as_of as (

    select * from {{ ref('canonical__as_of') }}

),

final as (

    select
        deals.opportunity_id,
        deals.account_id,
        deals.stack,
        deals.connection,
        deals.source_link,
        deals.name as opportunity_name,
        deals.owner_name,
        deals.owner_email,
        case
            when deals.is_fit and deals.client_hold_reason is null then 'project is being created'
            else 'held'
        end as waiting_for,
        coalesce(deals.blocking_reasons, deals.client_hold_reason, 'none: it is created in the next run') as reason,
        deals.warnings,
        deals.currency,
        deals.amount,
        {{ days_between(business_date('coalesce(deals.won_at, cast(deals.close_date as timestamptz))'), 'as_of.as_of_date') }} as days_waiting,
        coalesce(deals.won_at, cast(deals.close_date as timestamptz)) as won_at
    from deals
    left join as_of
        on deals.connection = as_of.connection

)

select * from final
