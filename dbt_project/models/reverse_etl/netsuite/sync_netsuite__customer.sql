{{ config(enabled=is_connected('netsuite')) }}

-- One row per company, legal entity and currency that a fit won deal needs in the ledger (C-5, C-7).

with

deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

accounts as (

    select * from {{ ref('canonical__account') }}

),

customers as (

    select * from {{ ref('canonical__customer') }}

),

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}

),

currencies as (

    select * from {{ ref('canonical__currency') }}

),

payment_terms as (

    select * from {{ ref('canonical__payment_term') }}

),

stacks as (

    select * from {{ stacks_written('accounting', 'netsuite') }} as written

),

wanted as (

    select
        customer_key,
        company_id,
        stack,
        legal_entity_code,
        currency,
        min(customer_id) as customer_id,
        min(customer_hold_reason) as customer_hold_reason
    from deals
    group by customer_key, company_id, stack, legal_entity_code, currency

),

-- A customer that the ledger keeps for this account under another tax id (C-3). To make a second one would be wrong too.
tax_conflicts as (

    select
        left_id as company_id,
        right_id as customer_id
    from {{ ref('canonical__identity_conflict') }}
    where entity = 'customer'

),

conflicts as (

    select
        wanted.customer_key,
        min(
            'C-3: account ' || accounts.name || ' (' || accounts.account_id || ') and the ledger''s customer '
            || customers.name || ' (' || customers.customer_id || ') carry different tax ids; finance decides'
        ) as reason
    from wanted
    inner join accounts
        on wanted.company_id = accounts.account_id
    inner join tax_conflicts
        on wanted.company_id = tax_conflicts.company_id
    inner join customers
        on tax_conflicts.customer_id = customers.customer_id
    left join legal_entities
        on customers.legal_entity_id = legal_entities.legal_entity_id
    where
        coalesce(legal_entities.code, wanted.legal_entity_code) = wanted.legal_entity_code
        and coalesce(customers.currency, wanted.currency) = wanted.currency
    group by wanted.customer_key

),

final as (

    select
        wanted.customer_key,
        stacks.accounting_connection as _connection,
        customers.source_id as _target_id,
        case
            when customers.customer_id is null and conflicts.customer_key is not null
                then conflicts.reason
            when customers.customer_id is null and wanted.customer_hold_reason is not null then wanted.customer_hold_reason
            when not customers.is_active then 'C-9: the ledger''s customer is inactive'
            when legal_entities.source_id is null then 'C-5: legal entity ' || wanted.legal_entity_code || ' is not in the ledger'
        end as _hold_reason,
        {{ source_refs([('accounts', 'Account')]) }} as _source_refs,
        left(coalesce(accounts.legal_name, accounts.name), 83) as company_name,
        legal_entities.source_id as subsidiary_id,
        currencies.source_id as currency_id,
        payment_terms.source_id as terms_id,
        accounts.tax_id as vat_number,
        accounts.billing_email as email,
        accounts.phone,
        accounts.source_id as account_reference,
        false as is_person
    from wanted
    inner join accounts
        on wanted.company_id = accounts.account_id
    inner join stacks
        on wanted.stack = stacks.stack
    left join customers
        on wanted.customer_id = customers.customer_id
    left join conflicts
        on wanted.customer_key = conflicts.customer_key
    left join legal_entities
        on stacks.accounting_connection = legal_entities.connection and wanted.legal_entity_code = legal_entities.code
    left join currencies
        on stacks.accounting_connection = currencies.connection and wanted.currency = currencies.currency
    left join payment_terms
        on stacks.accounting_connection = payment_terms.connection and accounts.payment_terms = payment_terms.name

)

select * from final
