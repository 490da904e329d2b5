{{ config(enabled=is_connected('tryton')) }}

with

parties as (

    select * from {{ ref('int_tryton_parties') }}
    where party_code like 'ACC|_%' escape '|'

),

works as (

    select * from {{ ref('int_tryton_works') }}
    where comment_key like 'PRJ|_%' escape '|' or comment_key like 'TSK|_%' escape '|'

),

invoices as (

    select * from {{ ref('stg_tryton__invoices') }}
    where reference like 'INV|_%' escape '|'

),

-- One party is the client of the PSA and the customer of the ledger, where Tryton plays those roles.
roles as (

    select unnest(['client', 'customer']) as entity

),

stored as (

    select
        parties.connection || ':' || roles.entity || ':' || parties.source_id || ':external_key' as external_reference_id,
        roles.entity,
        parties.party_id as entity_id,
        'party.party' as subject_type,
        'external_key' as service_model,
        parties.party_code as service_reference,
        parties.connection,
        roles.entity || ':' || parties.source_id as source_id,
        '/model/party.party/' || parties.source_id as source_path,
        parties.source_version,
        parties.is_deleted,
        parties.source_created_at,
        parties.source_updated_at,
        parties.loaded_at
    from parties
    cross join roles

    union all

    -- what follows the underscore is the id of the deal, or of its line
    select
        works.connection || ':' || works.work_type || ':' || works.source_id || ':external_key' as external_reference_id,
        works.work_type as entity,
        works.work_id as entity_id,
        'project.work' as subject_type,
        'external_key' as service_model,
        {{ text_part('works.comment_key', '_', 2) }} as service_reference,
        works.connection,
        works.work_type || ':' || works.source_id as source_id,
        '/model/project.work/' || works.source_id as source_path,
        works.source_version,
        works.is_deleted,
        works.source_created_at,
        works.source_updated_at,
        works.loaded_at
    from works

    union all

    select
        invoices.connection || ':invoice:' || invoices.source_id || ':external_key' as external_reference_id,
        'invoice' as entity,
        invoices.invoice_id as entity_id,
        'account.invoice' as subject_type,
        'external_key' as service_model,
        invoices.reference as service_reference,
        invoices.connection,
        'invoice:' || invoices.source_id as source_id,
        '/model/account.invoice/' || invoices.source_id as source_path,
        invoices.source_version,
        invoices.is_deleted,
        invoices.source_created_at,
        invoices.source_updated_at,
        invoices.loaded_at
    from invoices

),

final as (

    select
        external_reference_id,
        entity,
        entity_id,
        subject_type,
        'tieout' as service_name,
        service_model,
        service_reference,
        cast(null as text) as status,
        cast(null as text) as external_status,
        cast(null as text) as external_message,
        cast(null as text) as external_link,
        false as is_locked,
        cast(null as timestamp with time zone) as last_synced_at,

        -- provenance
        connection,
        source_id,
        source_version,
        source_path,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from stored

)

select * from final
