{{ config(enabled=is_connected('netsuite')) }}

with

items as (

    select * from {{ ref('stg_netsuite__items') }}

),

final as (

    select
        items.item_id,
        coalesce(items.code, items.source_id) as code,
        items.external_key,
        items.name,
        items.item_type,
        not items.is_inactive and not items.is_deleted as is_active,
        -- provenance
        items.connection,
        items.source_id,
        items.source_version,
        '/app/common/item/item.nl?id=' || items.source_id as source_path,
        items.is_deleted,
        cast(null as timestamp with time zone) as source_created_at,
        items.source_updated_at,
        items.loaded_at
    from items

)

select * from final
