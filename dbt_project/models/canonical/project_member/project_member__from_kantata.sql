{{ config(enabled=is_connected('kantata')) }}

with

participations as (

    select * from {{ ref('stg_kantata__participations') }}

),

workspaces as (

    select * from {{ ref('stg_kantata__workspaces') }}

),

final as (

    select
        participations.participation_id as project_member_id,
        participations.project_id,
        participations.user_id as resource_id,
        participations.side as membership_role,
        workspaces.currency,
        {{ money_from_subunits('participations.rate_subunits', 'workspaces.currency_base_unit') }} as bill_rate,
        participations.is_lead,
        -- provenance
        participations.connection,
        participations.source_id,
        participations.source_version,
        '/workspaces/' || workspaces.source_id as source_path,
        participations.is_deleted,
        participations.source_created_at,
        participations.source_updated_at,
        participations.loaded_at
    from participations
    left join workspaces
        on participations.project_id = workspaces.project_id

)

select * from final
