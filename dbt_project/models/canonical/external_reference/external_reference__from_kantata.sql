{{ config(enabled=is_connected('kantata')) }}

with

refs as (

    select * from {{ ref('stg_kantata__external_references') }}

),

entities as (

    select * from {{ mapped_values('kantata', 'external_reference.entity') }} as mappings

),

final as (

    select
        refs.connection || ':' || refs.source_id as external_reference_id,
        entities.canonical_value as entity,
        refs.subject_id as entity_id,
        refs.subject_type,
        refs.service_name,
        refs.service_model,
        refs.service_reference,
        refs.status,
        refs.external_status,
        refs.external_message,
        refs.external_link,
        refs.is_locked,
        refs.last_synced_at,
        -- provenance
        refs.connection,
        refs.source_id,
        refs.source_version,
        '/external_references/' || refs.source_id as source_path,
        refs.is_deleted,
        refs.source_created_at,
        refs.source_updated_at,
        refs.loaded_at
    from refs
    left join entities
        on refs.subject_type = entities.source_value
    where refs.service_reference is not null and refs.subject_id is not null

)

select * from final
