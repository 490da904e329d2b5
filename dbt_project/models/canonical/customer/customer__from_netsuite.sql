{{ config(enabled=is_connected('netsuite')) }}

with

customers as (

    select * from {{ ref('stg_netsuite__customers') }}

),

currencies as (

    select * from {{ ref('stg_netsuite__currencies') }}

),

final as (

    select
        customers.customer_id,
        customers.parent_customer_id,
        customers.legal_entity_id,
        customers.payment_term_id,
        customers.customer_number,
        coalesce(nullif(customers.name, ''), customers.customer_number, customers.source_id) as name,
        customers.tax_id,
        customers.email,
        cast(null as text) as website,
        {{ company_domain('cast(null as text)', 'customers.email') }} as domain,
        customers.phone,
        cast(null as text) as city,
        cast(null as text) as postal_code,
        cast(null as text) as country_code,
        customers.external_key,
        customers.account_reference,
        currencies.currency,
        customers.is_person,
        not customers.is_inactive and not customers.is_deleted as is_active,
        -- provenance
        customers.connection,
        customers.source_id,
        customers.source_version,
        '/app/common/entity/custjob.nl?id=' || customers.source_id as source_path,
        customers.is_deleted,
        customers.source_created_at,
        customers.source_updated_at,
        customers.loaded_at
    from customers
    left join currencies
        on customers.currency_id = currencies.currency_id

)

select * from final
