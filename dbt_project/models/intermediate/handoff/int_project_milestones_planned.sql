-- One row per billing milestone that a won deal asks for; per deal they sum exactly to its amount (H-7, B-11, B-12).

with

deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit and amount > 0

),

opportunity_lines as (

    select * from {{ ref('canonical__opportunity_line') }}
    where not is_deleted and amount > 0

),

minor_units as (

    select
        stack_group,
        currency,
        min(minor_units) as minor_units
    from {{ ref('canonical__currency') }}
    group by stack_group, currency

),

lines as (

    select
        *,
        row_number() over (partition by opportunity_id order by service_date asc, sort_order asc, opportunity_line_id asc) as line_no,
        row_number() over (partition by opportunity_id order by amount desc, opportunity_line_id asc) as size_rank,
        sum(amount) over (partition by opportunity_id) as lines_amount
    from opportunity_lines

),

-- Fixed fee and milestone deals: one per line. The largest line takes what the tolerance of H-4 and discounts leave.
by_line as (

    select
        deals.opportunity_id,
        lines.line_no as milestone_no,
        coalesce(lines.description, lines.product_name, 'Milestone ' || lines.line_no) as name,
        lines.source_id as line_source_id,
        case
            when lines.size_rank = 1 then lines.amount + deals.amount - lines.lines_amount
            else lines.amount
        end as amount,
        deals.currency,
        coalesce(lines.service_date, deals.contract_end_date) as invoice_date
    from deals
    inner join lines
        on deals.opportunity_id = lines.opportunity_id
    where deals.billing_type in ('fixed_fee', 'milestone')

),

without_lines as (

    select
        deals.opportunity_id,
        1 as milestone_no,
        deals.name || ' - fee' as name,
        cast(null as varchar) as line_source_id,
        deals.amount,
        deals.currency,
        deals.contract_end_date as invoice_date
    from deals
    left join lines
        on deals.opportunity_id = lines.opportunity_id
    where deals.billing_type in ('fixed_fee', 'milestone') and lines.opportunity_id is null

),

-- Retainers: one fee a month in whole subunits, all equal but the last, which takes the remainder.
retainers as (

    select
        deals.opportunity_id,
        deals.amount,
        deals.currency,
        deals.contract_start_date,
        deals.contract_end_date,
        coalesce(minor_units.minor_units, 2) as minor_units,
        {{ months_between('deals.contract_start_date', 'deals.contract_end_date') }} as month_count
    from deals
    left join minor_units
        on deals.stack_group = minor_units.stack_group and deals.currency = minor_units.currency
    where deals.billing_type = 'retainer'

),

fees as (

    select
        *,
        {{ money_from_subunits(integer_divide(minor_amount('amount', 'minor_units'), 'month_count'), base_unit_of('minor_units')) }} as equal_fee
    from retainers

),

months as (

    select
        *,
        unnest(range(1, month_count + 1)) as milestone_no
    from fees

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
        currency,
        least({{ add_months('contract_start_date', 'milestone_no') }} - 1, contract_end_date) as invoice_date
    from months

),

planned as (

    select * from by_line
    union all
    select * from without_lines
    union all
    select * from by_month

),

final as (

    select
        opportunity_id,
        cast(milestone_no as integer) as milestone_no,
        name,
        line_source_id,
        cast(amount as decimal(20, 4)) as amount,
        currency,
        invoice_date
    from planned
    where amount > 0

)

select * from final
