{{ config(enabled=is_connected('salesforce')) }}

with

source as (

    select * from {{ source('raw_salesforce', 'contact') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as contact_id,
        {{ row_id('account_id') }} as account_id,

        -- text
        {{ text_or_null('name') }} as name,
        {{ text_or_null('first_name') }} as first_name,
        {{ text_or_null('last_name') }} as last_name,
        lower({{ text_or_null('email') }}) as email,
        {{ text_or_null('title') }} as title,
        coalesce({{ text_or_null('phone') }}, {{ text_or_null('mobile_phone') }}) as phone,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('system_modstamp') }} as source_version,
        _deleted_at is not null or coalesce(is_deleted, false) as is_deleted,
        created_date as source_created_at,
        system_modstamp as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
