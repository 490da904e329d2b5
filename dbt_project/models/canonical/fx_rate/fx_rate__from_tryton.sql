{{ config(enabled=is_connected('tryton')) }}

with

rates as (

    select * from {{ ref('stg_tryton__currency_rates') }}
    where not is_deleted and rate > 0

),

currencies as (

    select * from {{ ref('stg_tryton__currencies') }}

),

companies as (

    select distinct
        connection,
        currency
    from {{ ref('int_tryton_companies') }}
    where not is_deleted and currency is not null

),

dated as (

    select
        rates.*,
        currencies.currency
    from rates
    inner join currencies
        on rates.currency_id = currencies.currency_id

),

-- All rates are towards one reference currency: between two others the later of their two days counts.
crossed as (

    select
        dated.connection,
        dated.source_id,
        dated.source_version,
        dated.currency,
        companies.currency as base_currency,
        dated.rate,
        coalesce(bases.rate, 1) as base_rate,
        dated.effective_date,
        dated.is_deleted,
        dated.source_created_at,
        dated.source_updated_at,
        dated.loaded_at,
        row_number() over (
            partition by dated.connection, companies.currency, dated.currency, dated.effective_date
            order by bases.effective_date desc nulls last, dated.source_id asc
        ) as preference
    from dated
    inner join companies
        on dated.connection = companies.connection and dated.currency <> companies.currency
    left join dated as bases
        on
            dated.connection = bases.connection
            and companies.currency = bases.currency
            and dated.effective_date >= bases.effective_date

),

final as (

    select
        connection || ':' || base_currency || ':' || currency || ':' || cast(effective_date as text) as fx_rate_id,
        currency,
        base_currency,
        -- ten decimal places, in integers throughout
        cast(
            cast(
                {{ integer_divide(
                    'cast(base_rate * 10000000000 as hugeint) * 10000000000 + cast(rate * 5000000000 as hugeint)',
                    'cast(rate * 10000000000 as hugeint)'
                ) }} as decimal(20, 0)
            ) * cast(0.0000000001 as decimal(10, 10)) as decimal(20, 10)
        ) as rate,
        'daily' as rate_type,
        effective_date,

        -- provenance
        connection,
        source_id,
        source_version,
        '/model/currency.currency.rate/' || source_id as source_path,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from crossed
    where preference = 1

)

select * from final
