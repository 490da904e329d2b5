{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'workspace_groups') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as client_id,

        -- text
        {{ text_or_null('name') }} as name,
        {{ text_or_null('contact_name') }} as contact_name,
        lower({{ text_or_null('email') }}) as email,
        {{ text_or_null('phone_number') }} as phone,
        {{ text_or_null('address') }} as address,
        {{ text_or_null('website') }} as website,

        -- booleans
        coalesce(company, false) as is_company,

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
