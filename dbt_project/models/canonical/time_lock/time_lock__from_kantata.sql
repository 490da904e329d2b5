{{ config(enabled=is_connected('kantata')) }}

with

locks as (

    select * from {{ ref('stg_kantata__line_item_locks') }}

),

final as (

    select
        locks.time_lock_id,
        locks.locked_to,
        -- provenance
        locks.connection,
        locks.source_id,
        locks.source_version,
        '/settings/time_lock' as source_path,
        locks.is_deleted,
        locks.source_created_at,
        locks.source_updated_at,
        locks.loaded_at
    from locks

)

select * from final
