{{ config(enabled=is_connected('tryton')) }}

with

parties as (

    select * from {{ ref('int_tryton_parties') }}

),

final as (

    select
        parties.party_id as client_id,
        parties.name,
        parties.tax_id,
        parties.email,
        parties.website,
        parties.domain,
        parties.phone,
        nullif(concat_ws(', ', parties.street, concat_ws(' ', parties.postal_code, parties.city), parties.country_code), '') as address,
        cast(null as text) as currency,
        true as is_company,
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
