{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'sale_opportunity') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as opportunity_id,
        {{ row_id('party') }} as party_id,
        {{ row_id('company') }} as company_id,
        {{ row_id('employee') }} as employee_id,
        {{ row_id('payment_term') }} as payment_term_id,
        {{ row_id('currency') }} as currency_id,

        -- text
        {{ text_or_null('number') }} as opportunity_number,
        {{ text_or_null('description') }} as name,
        {{ text_or_null('reference') }} as customer_reference,
        {{ text_or_null('state') }} as state,
        {{ text_or_null('lost_reason') }} as lost_reason,

        -- numbers
        amount,
        conversion_probability as probability,

        -- dates
        start_date,
        end_date,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('last_modified_at') }} as source_version,
        _deleted_at is not null as is_deleted,
        create_date as source_created_at,
        last_modified_at as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
