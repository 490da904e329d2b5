{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'job') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as ledger_project_id,
        _connection || ':' || coalesce(nullif(customer, ''), nullif(parent, '')) as customer_id,
        {{ row_id('subsidiary') }} as legal_entity_id,
        {{ row_id('currency') }} as currency_id,

        -- text
        {{ text_or_null('entityid') }} as project_number,
        coalesce({{ text_or_null('companyname') }}, {{ text_or_null('altname') }}, {{ text_or_null('entityid') }}) as name,
        {{ text_or_null('externalid') }} as external_key,

        -- booleans
        {{ letter_flag('isinactive') }} as is_inactive,

        -- dates
        startdate as start_date,
        projectedenddate as projected_end_date,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('lastmodifieddate') }} as source_version,
        _deleted_at is not null as is_deleted,
        datecreated as source_created_at,
        lastmodifieddate as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
