{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'rate_card_roles') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as rate_card_role_id,
        {{ row_id('rate_card_version_id') }} as rate_card_version_id,
        {{ row_id('role_id') }} as role_id,

        -- numbers
        rate,

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
