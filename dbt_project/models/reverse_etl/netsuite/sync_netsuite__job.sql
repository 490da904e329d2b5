{{ config(enabled=is_connected('netsuite')) }}

-- One row per fit won deal: the ledger's project, to which its invoices point (H-10).

with

deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

ledger_projects as (

    select * from {{ ref('canonical__ledger_project') }}

),

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}

),

currencies as (

    select * from {{ ref('canonical__currency') }}

),

stacks as (

    select * from {{ stacks_written('accounting', 'netsuite') }} as written

),

-- What waits for a held customer is held for the customer's reason, and counted as held.
held_customers as (

    select
        customer_key,
        'its customer is held: ' || _hold_reason as reason
    from {{ ref('sync_netsuite__customer') }}
    where _hold_reason is not null

),

final as (

    select
        deals.ledger_project_key,
        stacks.accounting_connection as _connection,
        ledger_projects.source_id as _target_id,
        held_customers.reason as _hold_reason,
        {{ source_refs([('deals', 'Opportunity')]) }} as _source_refs,
        deals.customer_key,
        left(deals.name, 83) as project_name,
        legal_entities.source_id as subsidiary_id,
        currencies.source_id as currency_id,
        deals.contract_start_date as start_date,
        deals.contract_end_date as projected_end_date
    from deals
    inner join stacks
        on deals.stack = stacks.stack
    left join held_customers
        on deals.customer_key = held_customers.customer_key
    left join ledger_projects
        on deals.ledger_project_id = ledger_projects.ledger_project_id
    left join legal_entities
        on stacks.accounting_connection = legal_entities.connection and deals.legal_entity_code = legal_entities.code
    left join currencies
        on stacks.accounting_connection = currencies.connection and deals.currency = currencies.currency

)

select * from final
