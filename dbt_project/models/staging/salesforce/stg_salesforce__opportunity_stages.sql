{{ config(enabled=is_connected('salesforce')) }}

with

source as (

    select * from {{ source('raw_salesforce', 'opportunity_stage') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as opportunity_stage_id,

        -- text
        coalesce({{ text_or_null('api_name') }}, {{ text_or_null('master_label') }}) as stage_name,

        -- numbers
        sort_order,
        default_probability as probability_percent,

        -- booleans
        coalesce(is_active, false) as is_active,
        coalesce(is_closed, false) as is_closed,
        coalesce(is_won, false) as is_won,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('system_modstamp') }} as source_version,
        _deleted_at is not null as is_deleted,
        system_modstamp as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
