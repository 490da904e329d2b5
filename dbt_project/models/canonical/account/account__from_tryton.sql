{{ config(enabled=is_connected('tryton')) }}

with

parties as (

    select * from {{ ref('int_tryton_parties') }}

),

final as (

    select
        parties.party_id as account_id,
        cast(null as text) as parent_account_id,
        parties.replaced_by_party_id as merged_into_account_id,
        parties.name,
        parties.name as legal_name,
        cast(null as text) as account_type,
        cast(null as text) as industry,
        parties.tax_id,
        parties.website,
        parties.domain,
        parties.email as billing_email,
        parties.phone,
        parties.street,
        parties.city,
        parties.region,
        parties.postal_code,
        parties.country_code,
        parties.payment_terms,
        cast(null as text) as owner_name,
        cast(null as text) as owner_email,
        cast(null as text) as reported_other_currencies,
        cast(null as text) as currency,
        cast(null as decimal(20, 4)) as reported_invoiced_amount,
        cast(null as decimal(20, 4)) as reported_paid_amount,
        cast(null as decimal(20, 4)) as reported_open_amount,
        cast(null as decimal(20, 4)) as reported_overdue_amount,
        payment_terms.net_days as payment_terms_days,
        false as is_po_required,
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
    left join {{ ref('payment_term__from_tryton') }} as payment_terms
        on parties.payment_term_id = payment_terms.payment_term_id

)

select * from final
