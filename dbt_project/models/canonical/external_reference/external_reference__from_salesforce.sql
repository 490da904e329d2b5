{{ config(enabled=is_connected('salesforce')) }}

with

opportunities as (

    select * from {{ ref('stg_salesforce__opportunities') }}

),

stored as (

    select
        opportunity_id || ':project' as external_reference_id,
        'opportunity' as entity,
        opportunity_id as entity_id,
        'Opportunity' as subject_type,
        'project' as service_model,
        tieout_project_id as service_reference,
        connection,
        source_id || ':project' as source_id,
        source_version,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from opportunities
    where tieout_project_id is not null

),

final as (

    select
        external_reference_id,
        entity,
        entity_id,
        subject_type,
        'tieout' as service_name,
        service_model,
        service_reference,
        cast(null as text) as status,
        cast(null as text) as external_status,
        cast(null as text) as external_message,
        cast(null as text) as external_link,
        false as is_locked,
        cast(null as timestamp with time zone) as last_synced_at,

        -- provenance
        connection,
        source_id,
        source_version,
        cast(null as text) as source_path,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from stored

)

select * from final
