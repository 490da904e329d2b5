-- A legal entity named in the seed stacks that the ledger does not know can never be invoiced for.
{{ config(severity='warn') }}

with

stacks as (

    select * from {{ ref('stacks') }}

),

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}

)

select
    stacks.stack,
    stacks.legal_entities,
    legal_entities.code as code_of_the_ledger
from legal_entities
inner join stacks
    on legal_entities.stack = stacks.stack
where
    legal_entities.is_active
    and not legal_entities.is_elimination
    and '|' || stacks.legal_entities || '|' not like '%|' || coalesce(legal_entities.code, '') || '|%'
