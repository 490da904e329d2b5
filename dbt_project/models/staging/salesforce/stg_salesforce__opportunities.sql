{{ config(enabled=is_connected('salesforce')) }}

with

source as (

    select * from {{ source('raw_salesforce', 'opportunity') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as opportunity_id,
        {{ row_id('account_id') }} as account_id,
        {{ row_id('owner_id') }} as owner_user_id,

        -- text
        {{ text_or_null('name') }} as name,
        {{ text_or_null('stage_name') }} as stage_name,
        {{ text_or_null('type') }} as opportunity_type,
        {{ text_or_null('billing_type__c') }} as billing_type,
        {{ text_or_null('legal_entity__c') }} as legal_entity_code,
        {{ text_or_null('po_number__c') }} as po_number,
        lower({{ text_or_null('delivery_lead_email__c') }}) as delivery_lead_email,
        {{ text_or_null('tieout_project_id__c') }} as tieout_project_id,
        {{ text_or_null('tieout_project_link__c') }} as tieout_project_link,
        {{ text_or_null('tieout_project_status__c') }} as tieout_project_status,
        {{ text_or_null('tieout_sync_status__c') }} as tieout_sync_status,
        {{ text_or_null('tieout_sync_reason__c') }} as tieout_sync_reason,
        {{ text_or_null('currency_iso_code') }} as currency,

        -- numbers
        amount,
        probability as probability_percent,
        tieout_invoiced__c as tieout_invoiced_amount,
        tieout_paid__c as tieout_paid_amount,
        tieout_open__c as tieout_open_amount,
        tieout_overdue__c as tieout_overdue_amount,
        tieout_percent_complete__c as tieout_percent_complete,

        -- booleans
        coalesce(is_closed, false) as is_closed,
        coalesce(is_won, false) as is_won,

        -- dates
        close_date,
        contract_start__c as contract_start_date,
        contract_end__c as contract_end_date,
        tieout_last_payment_date__c as tieout_last_payment_date,

        -- timestamps
        last_stage_change_date as stage_changed_at,

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
