{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'users') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as user_id,

        -- text
        {{ text_or_null('full_name') }} as name,
        lower({{ text_or_null('email_address') }}) as email,
        {{ text_or_null('headline') }} as title,

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
