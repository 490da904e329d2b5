{{ config(enabled=is_connected('kantata')) }}

with

roles as (

    select * from {{ ref('stg_kantata__roles') }}

),

final as (

    select
        roles.role_id,
        coalesce(roles.name, roles.source_id) as name,
        -- provenance
        roles.connection,
        roles.source_id,
        roles.source_version,
        '/settings/roles/' || roles.source_id as source_path,
        roles.is_deleted,
        roles.source_created_at,
        roles.source_updated_at,
        roles.loaded_at
    from roles

)

select * from final
