-- One row per legal entity of a ledger: the stack whose work it invoices; null when no stack names it.

with

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}

),

stacks as (

    select * from {{ ref('int_stack_legal_entities') }}
    where role = 'accounting'

),

final as (

    select
        legal_entities.legal_entity_id,
        legal_entities.code as legal_entity_code,
        legal_entities.name as legal_entity_name,
        coalesce(stacks.stack, alone.stack) as stack
    from legal_entities
    left join stacks
        on legal_entities.connection = stacks.connection and legal_entities.code = stacks.legal_entity_code
    left join stacks as alone
        on legal_entities.connection = alone.connection and alone.legal_entity_code is null

)

select * from final
