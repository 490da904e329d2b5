{{ config(enabled=is_connected('salesforce')) }}

with

source as (

    select * from {{ source('raw_salesforce', 'user') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as user_id,

        -- text
        {{ text_or_null('name') }} as name,
        lower({{ text_or_null('email') }}) as email,

        -- booleans
        coalesce(is_active, false) as is_active,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('system_modstamp') }} as source_version,
        _deleted_at is not null as is_deleted,
        created_date as source_created_at,
        system_modstamp as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
