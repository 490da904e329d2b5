{{ config(enabled=is_connected('netsuite')) }}

with

rates as (

    select * from {{ ref('stg_netsuite__currency_rates') }}

),

currencies as (

    select * from {{ ref('stg_netsuite__currencies') }}

),

observations as (

    select * from {{ ref('stg_netsuite__observations') }}

),

dated as (

    select
        rates.connection,
        rates.source_id,
        converted.currency,
        base.currency as base_currency,
        rates.exchange_rate as rate,
        'daily' as rate_type,
        rates.effective_date,
        rates.is_deleted,
        rates.loaded_at
    from rates
    inner join currencies as converted
        on rates.currency_id = converted.currency_id
    inner join currencies as base
        on rates.base_currency_id = base.currency_id

),

-- The rate each currency shows today, for accounts whose daily rates cannot be read.
latest as (

    select
        converted.connection,
        converted.source_id,
        converted.currency,
        base.currency as base_currency,
        converted.exchange_rate as rate,
        'current' as rate_type,
        {{ business_date('observations.observed_at') }} as effective_date,
        converted.is_deleted,
        converted.loaded_at
    from currencies as converted
    inner join currencies as base
        on converted.connection = base.connection and base.is_base
    inner join observations
        on converted.connection = observations.connection
    where converted.exchange_rate is not null

),

ranked as (

    select
        *,
        row_number() over (
            partition by connection, base_currency, currency, effective_date
            order by case rate_type when 'daily' then 1 else 2 end, source_id desc
        ) as preference
    from (
        select * from dated
        union all
        select * from latest
    ) as both_kinds

),

final as (

    select
        connection || ':' || base_currency || ':' || currency || ':' || cast(effective_date as text) as fx_rate_id,
        currency,
        base_currency,
        rate,
        rate_type,
        effective_date,

        -- provenance
        connection,
        source_id,
        cast(null as text) as source_version,
        '/app/common/multicurrency/currencyrate.nl' as source_path,
        is_deleted,
        cast(null as timestamp with time zone) as source_created_at,
        cast(null as timestamp with time zone) as source_updated_at,
        loaded_at
    from ranked
    where preference = 1

)

select * from final
