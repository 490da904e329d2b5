-- One row per billing milestone that a won deal asks for; per deal they sum exactly to its amount (H-7, B-11, B-12).

with deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

lines as (

    select
        *,
        row_number() over (partition by opportunity_id order by service_date, sort_order, opportunity_line_id) as line_no,
        sum(amount) over (partition by opportunity_id) as lines_amount,
        count(*) over (partition by opportunity_id) as line_count
    from {{ ref('canonical__opportunity_line') }}
    where not is_deleted and amount > 0

),

minor_units as (

    select
        stack,
        currency,
        min(minor_units) as minor_units
    from {{ ref('canonical__currency') }}
    group by stack, currency

),

-- fixed fee and milestone deals: one per line; the last line takes what the tolerance of H-4 leaves
by_line as (

    select
        deals.opportunity_id,
        lines.line_no as milestone_no,
        coalesce(lines.description, lines.product_name, 'Milestone ' || lines.line_no) as name,
        lines.source_id as line_source_id,
        case
            when lines.line_no = lines.line_count then lines.amount + deals.amount - lines.lines_amount
            else lines.amount
        end as amount,
        coalesce(lines.service_date, deals.contract_end_date) as invoice_date
    from deals
    inner join lines on deals.opportunity_id = lines.opportunity_id
    where deals.billing_type in ('fixed_fee', 'milestone')

),

without_lines as (

    select
        deals.opportunity_id,
        1 as milestone_no,
        deals.name || ' - fee' as name,
        cast(null as varchar) as line_source_id,
        deals.amount,
        deals.contract_end_date as invoice_date
    from deals
    where
        deals.billing_type in ('fixed_fee', 'milestone')
        and deals.amount > 0
        and deals.opportunity_id not in (select lines.opportunity_id from lines)

),

-- retainers: one fee a month, equal but for the last, which takes the remainder
months as (

    select
        deals.opportunity_id,
        deals.amount,
        deals.contract_end_date,
        coalesce(minor_units.minor_units, 2) as minor_units,
        unnest(range(1, 1 + {{ months_between('deals.contract_start_date', 'deals.contract_end_date') }})) as milestone_no,
        {{ months_between('deals.contract_start_date', 'deals.contract_end_date') }} as month_count,
        deals.contract_start_date
    from deals
    left join minor_units on deals.stack = minor_units.stack and deals.currency = minor_units.currency
    where deals.billing_type = 'retainer' and deals.amount > 0

),

retainer_fees as (

    select
        *,
        cast(round(amount / month_count, minor_units) as decimal(20, 4)) as equal_fee
    from months

),

by_month as (

    select
        opportunity_id,
        milestone_no,
        'Retainer ' || strftime({{ add_months('contract_start_date', 'milestone_no - 1') }}, '%Y-%m') as name,
        cast(null as varchar) as line_source_id,
        case
            when milestone_no = month_count then amount - equal_fee * (month_count - 1)
            else equal_fee
        end as amount,
        least(
            cast({{ add_months('contract_start_date', 'milestone_no') }} as date) - 1, contract_end_date
        ) as invoice_date
    from retainer_fees

),

final as (

    select * from by_line
    union all
    select * from without_lines
    union all
    select * from by_month

)

select
    final.opportunity_id,
    cast(final.milestone_no as integer) as milestone_no,
    final.name,
    final.line_source_id,
    cast(final.amount as decimal(20, 4)) as amount,
    deals.currency,
    final.invoice_date
from final
inner join deals on final.opportunity_id = deals.opportunity_id
where final.amount > 0
