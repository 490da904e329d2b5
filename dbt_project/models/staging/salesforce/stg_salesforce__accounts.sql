{{ config(enabled=is_connected('salesforce')) }}

with

source as (

    select * from {{ source('raw_salesforce', 'account') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as account_id,
        {{ row_id('parent_id') }} as parent_account_id,
        {{ row_id('master_record_id') }} as merged_into_account_id,
        {{ row_id('owner_id') }} as owner_user_id,

        -- text
        {{ text_or_null('name') }} as name,
        {{ text_or_null('legal_name__c') }} as legal_name,
        {{ text_or_null('type') }} as account_type,
        {{ text_or_null('industry') }} as industry,
        {{ text_or_null('vat_number__c') }} as tax_id,
        {{ text_or_null('website') }} as website,
        lower({{ text_or_null('billing_email__c') }}) as billing_email,
        {{ text_or_null('phone') }} as phone,
        {{ text_or_null('billing_street') }} as street,
        {{ text_or_null('billing_city') }} as city,
        {{ text_or_null('billing_state') }} as region,
        {{ text_or_null('billing_postal_code') }} as postal_code,
        upper({{ text_or_null('billing_country_code') }}) as country_code,
        {{ text_or_null('currency_iso_code') }} as currency,
        {{ text_or_null('payment_terms__c') }} as payment_terms,
        {{ text_or_null('tieout_other_currencies__c') }} as tieout_other_currencies,

        -- numbers
        tieout_invoiced__c as tieout_invoiced_amount,
        tieout_paid__c as tieout_paid_amount,
        tieout_open__c as tieout_open_amount,
        tieout_overdue__c as tieout_overdue_amount,

        -- booleans
        coalesce(po_required__c, false) as is_po_required,

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
