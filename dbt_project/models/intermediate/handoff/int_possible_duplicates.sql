-- One row per pair of an account and a record of the PSA or the ledger that might be it: nothing is made until a person decides (C-1).

with

candidates as (

    select * from {{ ref('canonical__identity_candidate') }}
    where entity = 'customer'

),

customers as (

    select * from {{ ref('canonical__customer') }}

),

clients as (

    select * from {{ ref('canonical__client') }}

),

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}

),

final as (

    select
        candidates.identity_candidate_id as possible_duplicate_id,
        candidates.left_id as company_id,
        candidates.right_id as record_id,
        candidates.right_role as role,
        coalesce(customers.connection, clients.connection) as connection,
        candidates.stack_group,
        legal_entities.code as legal_entity_code,
        customers.currency,
        candidates.rule || ': account ' || coalesce(candidates.left_name, '?') || ' (' || candidates.left_id || ') may be '
        || case candidates.right_role when 'psa' then 'the PSA''s client ' else 'the ledger''s customer ' end
        || coalesce(candidates.right_name, '?') || ' (' || candidates.right_id || '): ' || candidates.reason || '; a person decides' as reason
    from candidates
    left join customers
        on candidates.right_role = 'accounting' and candidates.right_id = customers.customer_id
    left join clients
        on candidates.right_role = 'psa' and candidates.right_id = clients.client_id
    left join legal_entities
        on customers.legal_entity_id = legal_entities.legal_entity_id

)

select * from final
