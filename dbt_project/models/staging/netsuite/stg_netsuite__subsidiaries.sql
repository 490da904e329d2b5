{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'subsidiary') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as legal_entity_id,
        {{ row_id('parent') }} as parent_legal_entity_id,
        {{ row_id('currency') }} as currency_id,

        -- text
        {{ text_or_null('externalid') }} as code,
        {{ text_or_null('name') }} as name,
        {{ text_or_null('legalname') }} as legal_name,
        upper({{ text_or_null('country') }}) as country_code,

        -- booleans
        {{ letter_flag('iselimination') }} as is_elimination,
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
