-- One row per time entry, expense or milestone that stands on no invoice: the reason, its value and its age (B-1).

with

-- Chargeable work of unknown value belongs here too; free work without a value does not.
items as (

    select * from {{ ref('int_billable_items') }}
    where billing_state not in ('billed', 'deleted at the source') and (amount is not null or is_billable)

),

as_of as (

    select * from {{ ref('canonical__as_of') }}

),

final as (

    select
        items.source_reference,
        items.source_entity,
        items.source_entity_id,
        items.project_id,
        items.opportunity_id,
        items.stack,
        items.project_name,
        items.description,
        items.approval_state,
        items.billing_state as reason,
        case
            when items.billing_state in ('covered by the fixed fee', 'covered by the retainer', 'not billable', 'zero amount') then 'not charged'
            when items.billing_state in ('not submitted', 'submitted, not approved', 'rejected') then 'waiting for approval'
            when items.billing_state in ('to bill', 'period not ended', 'milestone not due') then 'in time'
            else 'held'
        end as reason_class,
        items.currency,
        items.quantity,
        coalesce(items.amount, 0) as amount,
        items.service_date,
        {{ days_between('items.service_date', 'as_of.as_of_date') }} as age_days
    from items
    left join as_of
        on items.connection = as_of.connection

)

select * from final
