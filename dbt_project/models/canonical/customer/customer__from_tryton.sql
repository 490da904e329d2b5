{{ config(enabled=is_connected('tryton')) }}

with

parties as (

    select * from {{ ref('int_tryton_parties') }}

),

-- One party is the customer of every company and in every currency.
final as (

    select
        parties.party_id as customer_id,
        cast(null as text) as parent_customer_id,
        cast(null as text) as legal_entity_id,
        parties.payment_term_id,
        parties.party_code as customer_number,
        parties.name,
        parties.tax_id,
        parties.email,
        parties.website,
        parties.domain,
        parties.phone,
        parties.city,
        parties.postal_code,
        parties.country_code,
        case when parties.party_code like 'ACC|_%' escape '|' then parties.party_code end as external_key,
        cast(null as text) as account_reference,
        cast(null as text) as currency,
        false as is_person,
        parties.is_active and not parties.is_deleted as is_active,
        -- provenance
        parties.connection,
        parties.source_id,
        parties.source_version,
        '/model/party.party/' || parties.source_id as source_path,
        parties.is_deleted,
        parties.source_created_at,
        parties.source_updated_at,
        parties.loaded_at
    from parties

)

select * from final
