{{ config(enabled=is_connected('tryton')) }}

with

currencies as (

    select * from {{ ref('stg_tryton__currencies') }}

),

companies as (

    select distinct currency_id
    from {{ ref('stg_tryton__companies') }}
    where not is_deleted

),

final as (

    select
        currencies.currency_id,
        currencies.currency,
        currencies.name,
        coalesce(currencies.minor_units, 2) as minor_units,
        companies.currency_id is not null as is_base,
        currencies.is_active and not currencies.is_deleted as is_active,
        -- provenance
        currencies.connection,
        currencies.source_id,
        currencies.source_version,
        '/model/currency.currency/' || currencies.source_id as source_path,
        currencies.is_deleted,
        currencies.source_created_at,
        currencies.source_updated_at,
        currencies.loaded_at
    from currencies
    left join companies
        on currencies.currency_id = companies.currency_id

)

select * from final
