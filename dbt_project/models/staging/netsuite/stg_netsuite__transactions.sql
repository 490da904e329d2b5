{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'transaction') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as transaction_id,
        {{ row_id('entity') }} as entity_id,
        {{ row_id('currency') }} as currency_id,
        {{ row_id('postingperiod') }} as accounting_period_id,

        -- text
        {{ text_or_null('type') }} as transaction_type,
        {{ text_or_null('status') }} as status,
        {{ text_or_null('approvalstatus') }} as approval_status,
        {{ text_or_null('externalid') }} as external_key,
        {{ text_or_null('otherrefnum') }} as po_number,
        {{ text_or_null('custbody_tieout_project') }} as project_reference,
        {{ text_or_null('custbody_tieout_period') }} as service_period,
        {{ text_or_null('memo') }} as memo,

        -- numbers
        coalesce({{ text_or_null('tranid') }}, {{ text_or_null('transactionnumber') }}) as document_number,
        exchangerate as exchange_rate,
        abs(foreigntotal) as amount,

        -- booleans
        {{ letter_flag('posting') }} as is_posting,
        {{ letter_flag('voided') }} as is_voided,

        -- dates
        trandate as transaction_date,
        duedate as due_date,
        closedate as closed_date,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('lastmodifieddate') }} as source_version,
        _deleted_at is not null as is_deleted,
        createddate as source_created_at,
        lastmodifieddate as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
