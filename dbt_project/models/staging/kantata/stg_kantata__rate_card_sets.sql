{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'rate_card_sets') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as rate_card_set_id,

        -- text
        {{ text_or_null('title') }} as title,

        -- booleans
        coalesce(account_default, false) as is_account_default,

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
