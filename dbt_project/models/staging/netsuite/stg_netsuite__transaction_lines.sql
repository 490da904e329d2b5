{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'transactionline') }}

),

renamed as (

    select
        -- ids
        _connection || ':' || "transaction" || ':' || id as transaction_line_id,
        {{ row_id('"transaction"') }} as transaction_id,
        {{ row_id('item') }} as item_id,
        {{ row_id('entity') }} as entity_id,
        {{ row_id('subsidiary') }} as legal_entity_id,

        -- text
        {{ text_or_null('memo') }} as memo,
        {{ text_or_null('custcol_tieout_source') }} as source_reference,

        -- numbers
        linesequencenumber as line_number,
        quantity,
        rate,
        foreignamount as amount,
        foreignamountpaid as paid_amount,
        foreignamountunpaid as unpaid_amount,

        -- booleans
        {{ letter_flag('mainline') }} as is_main_line,
        {{ letter_flag('taxline') }} as is_tax_line,

        -- loader
        _connection as connection,
        {{ utc_text('linelastmodifieddate') }} as source_version,
        _deleted_at is not null as is_deleted,
        linelastmodifieddate as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
