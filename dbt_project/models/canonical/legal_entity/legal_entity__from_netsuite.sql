{{ config(enabled=is_connected('netsuite')) }}

with

subsidiaries as (

    select * from {{ ref('stg_netsuite__subsidiaries') }}

),

currencies as (

    select * from {{ ref('stg_netsuite__currencies') }}

),

final as (

    select
        subsidiaries.legal_entity_id,
        subsidiaries.parent_legal_entity_id,
        subsidiaries.code,
        coalesce(subsidiaries.name, subsidiaries.source_id) as name,
        coalesce(subsidiaries.legal_name, subsidiaries.name) as legal_name,
        subsidiaries.country_code,
        currencies.currency,
        subsidiaries.is_elimination,
        not subsidiaries.is_inactive and not subsidiaries.is_deleted as is_active,
        -- provenance
        subsidiaries.connection,
        subsidiaries.source_id,
        subsidiaries.source_version,
        '/app/common/otherlists/subsidiarytype.nl?id=' || subsidiaries.source_id as source_path,
        subsidiaries.is_deleted,
        cast(null as timestamp with time zone) as source_created_at,
        subsidiaries.source_updated_at,
        subsidiaries.loaded_at
    from subsidiaries
    left join currencies
        on subsidiaries.currency_id = currencies.currency_id

)

select * from final
