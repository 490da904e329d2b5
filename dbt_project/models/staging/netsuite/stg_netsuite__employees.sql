{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'employee') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as employee_id,
        {{ row_id('subsidiary') }} as legal_entity_id,

        -- text
        trim(concat(firstname, ' ', lastname)) as name,
        lower({{ text_or_null('email') }}) as email,

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
