{{ config(enabled=is_connected('netsuite')) }}

with

currencies as (

    select * from {{ ref('stg_netsuite__currencies') }}

),

final as (

    select
        currencies.currency_id,
        currencies.currency,
        currencies.name,
        currencies.minor_units,
        currencies.is_base,
        not currencies.is_inactive and not currencies.is_deleted as is_active,
        -- provenance
        currencies.connection,
        currencies.source_id,
        cast(null as text) as source_version,
        '/app/common/multicurrency/currency.nl?id=' || currencies.source_id as source_path,
        currencies.is_deleted,
        cast(null as timestamp with time zone) as source_created_at,
        cast(null as timestamp with time zone) as source_updated_at,
        currencies.loaded_at
    from currencies

)

select * from final
