{{ config(enabled=is_connected('tryton')) }}

with

companies as (

    select * from {{ ref('int_tryton_companies') }}

),

final as (

    select
        companies.company_id as legal_entity_id,
        cast(null as text) as parent_legal_entity_id,
        companies.legal_entity_code as code,
        companies.name,
        companies.name as legal_name,
        companies.country_code,
        companies.currency,
        false as is_elimination,
        not companies.is_deleted as is_active,
        -- provenance
        companies.connection,
        companies.source_id,
        companies.source_version,
        '/model/company.company/' || companies.source_id as source_path,
        companies.is_deleted,
        companies.source_created_at,
        companies.source_updated_at,
        companies.loaded_at
    from companies

)

select * from final
