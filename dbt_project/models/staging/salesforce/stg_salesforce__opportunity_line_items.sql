{{ config(enabled=is_connected('salesforce')) }}

with

source as (

    select * from {{ source('raw_salesforce', 'opportunity_line_item') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as opportunity_line_id,
        {{ row_id('opportunity_id') }} as opportunity_id,
        {{ row_id('product2_id') }} as product_id,

        -- text
        {{ text_or_null('name') }} as name,
        {{ text_or_null('product_code') }} as product_code,
        {{ text_or_null('role__c') }} as role_name,
        {{ text_or_null('description') }} as description,
        {{ text_or_null('currency_iso_code') }} as currency,

        -- numbers
        quantity,
        unit_price,
        total_price as amount,
        hours__c as hours,
        sort_order,

        -- dates
        service_date,

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
