{{ config(enabled=is_connected('tryton')) }}

-- One row per draft invoice to be made: customer x entity x currency x project x service period; its lines name every source.

with

drafts as (

    select * from {{ ref('int_invoice_drafts') }}

),

deals as (

    select * from {{ ref('int_won_opportunities') }}

),

items as (

    select * from {{ ref('int_billable_items') }}
    where billing_state = 'to bill'

),

projects as (

    select * from {{ ref('canonical__project') }}

),

currencies as (

    select * from {{ ref('canonical__currency') }}

),

parties as (

    select * from {{ ref('sync_tryton__party') }}

),

stacks as (

    select * from {{ stacks_written('accounting', 'tryton') }} as written

),

-- Tryton multiplies quantity and price itself and rounds halves to the even coin; an hour has two decimals there, a price
-- four. So hours go over in hundredths, and the rate as it is wherever Tryton then comes to the exact amount; elsewhere
-- the price that gives the amount (I-1, I-2). Everything is reckoned in whole numbers.
measured as (

    select
        items.*,
        case
            when items.source_entity <> 'time_entry' then cast(sign(items.amount) as bigint) * 100
            else cast(sign(items.quantity) as bigint) * greatest(1, {{ integer_divide('cast(abs(items.quantity) * 10000 as bigint) + 50', '100') }})
        end as hundredths,
        case coalesce(currencies.minor_units, 2) when 0 then 1000000 when 1 then 100000 when 2 then 10000 when 3 then 1000 else 100 end as coin
    from items
    inner join stacks
        on items.stack = stacks.stack
    left join currencies
        on stacks.accounting_connection = currencies.connection and items.currency = currencies.currency

),

priced as (

    select
        *,
        cast(cast(hundredths as decimal(12, 0)) * cast(0.01 as decimal(3, 2)) as decimal(14, 2)) as line_quantity,
        -- in millionths of the currency, as `coin` is: hundredths of hours times ten-thousandths of the price
        2 * abs(hundredths * cast(rate * 10000 as bigint) - cast(amount * 1000000 as bigint))
        - case when {{ integer_divide('cast(abs(amount) * 1000000 as bigint)', 'coin') }} % 2 = 0 then 1 else 0 end < coin as is_rate_exact,
        {{ money_from_ten_thousandths(integer_divide(
            '2 * cast(abs(amount) * 10000 as bigint) * 100 + abs(hundredths)', '2 * abs(hundredths)'
        )) }} as exact_price
    from measured

),

lines as (

    select
        opportunity_id,
        service_period,
        cast(to_json(list(
            {
                'product.code': item_key,
                'quantity': line_quantity,
                'unit_price': case when is_rate_exact and source_entity = 'time_entry' then rate else exact_price end,
                'amount': amount,
                'description': description,
                'note': source_reference,
                'currency.code': currency
            }
            order by service_date, source_reference
        )) as varchar) as lines,
        cast(to_json(list(
            connection || ':' || source_entity || ':' || source_id || '@' || coalesce(source_version, '')
            order by service_date, source_reference
        )) as varchar) as source_refs
    from priced
    group by opportunity_id, service_period

),

final as (

    select
        drafts.invoice_key,
        drafts.accounting_connection as _connection,
        cast(null as varchar) as _target_id,
        -- nothing waits without a reason: what a held customer or deal keeps back is held for theirs
        coalesce(
            drafts.hold_reason,
            'its customer is held: ' || parties._hold_reason,
            case when parties.party_key is null and drafts.customer_id is null then drafts.deal_hold_reason end
        ) as _hold_reason,
        lines.source_refs as _source_refs,
        'ACC_' || deals.company_source_id as party_key,
        projects.name || ', ' || left(drafts.service_period, 4) || '-' || right(drafts.service_period, 2) as memo,
        'PO: ' || drafts.po_number as comment,
        lines.lines,
        drafts.currency,
        cast(drafts.net_amount as decimal(20, 4)) as net_amount,
        drafts.invoice_date
    from drafts
    inner join stacks
        on drafts.stack = stacks.stack
    inner join deals
        on drafts.opportunity_id = deals.opportunity_id
    inner join lines
        on drafts.opportunity_id = lines.opportunity_id and drafts.service_period = lines.service_period
    left join parties
        on 'ACC_' || deals.company_source_id = parties.party_key and drafts.accounting_connection = parties._connection
    left join projects
        on drafts.project_id = projects.project_id

)

select * from final
