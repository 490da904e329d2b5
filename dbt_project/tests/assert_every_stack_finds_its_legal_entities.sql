-- A legal entity of a stack that its ledger does not know can never be invoiced for, and one of the ledger that no stack
-- claims is invoiced by hand alone.
{{ config(severity='warn') }}

with

stacks as (

    select * from {{ ref('int_stack_legal_entities') }}
    where role = 'accounting' and legal_entity_code is not null

),

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}
    where is_active and not is_elimination

)

select
    coalesce(stacks.connection, legal_entities.connection) as connection,
    stacks.stack,
    stacks.legal_entity_code as code_of_the_stack,
    legal_entities.code as code_of_the_ledger
from stacks
full outer join legal_entities
    on stacks.connection = legal_entities.connection and stacks.legal_entity_code = legal_entities.code
where stacks.stack is null or legal_entities.code is null
