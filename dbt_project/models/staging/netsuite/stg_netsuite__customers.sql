{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'customer') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as customer_id,
        {{ row_id('parent') }} as parent_customer_id,
        {{ row_id('subsidiary') }} as legal_entity_id,
        {{ row_id('currency') }} as currency_id,
        {{ row_id('terms') }} as payment_term_id,

        -- text
        {{ text_or_null('entityid') }} as customer_number,
        coalesce({{ text_or_null('companyname') }}, {{ text_or_null('altname') }}, trim(concat(firstname, ' ', lastname))) as name,
        lower({{ text_or_null('email') }}) as email,
        {{ text_or_null('phone') }} as phone,
        {{ text_or_null('vatregnumber') }} as tax_id,
        {{ text_or_null('externalid') }} as external_key,
        {{ text_or_null('custentity_tieout_account') }} as account_reference,

        -- booleans
        {{ letter_flag('isperson') }} as is_person,
        {{ letter_flag('isinactive') }} as is_inactive,

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
