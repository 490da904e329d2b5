{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'item') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as item_id,

        -- text
        {{ text_or_null('itemid') }} as code,
        {{ text_or_null('externalid') }} as external_key,
        {{ text_or_null('displayname') }} as name,
        {{ text_or_null('itemtype') }} as item_type,

        -- booleans
        {{ letter_flag('isinactive') }} as is_inactive,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('lastmodifieddate') }} as source_version,
        _deleted_at is not null as is_deleted,
        lastmodifieddate as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
