{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'participations') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as participation_id,
        {{ row_id('workspace_id') }} as project_id,
        {{ row_id('user_id') }} as user_id,

        -- text
        {{ text_or_null('role') }} as side,

        -- numbers
        rate_in_cents as rate_subunits,

        -- booleans
        coalesce(is_team_lead, false) as is_lead,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('updated_at') }} as source_version,
        _deleted_at is not null as is_deleted,
        created_at as source_created_at,
        updated_at as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
