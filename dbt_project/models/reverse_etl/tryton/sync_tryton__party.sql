{{ config(enabled=is_connected('tryton')) }}

-- One row per company that a fit won deal needs as a party of a Tryton connection, be it PSA, ledger or both (C-5, C-7).

with

deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

accounts as (

    select * from {{ ref('canonical__account') }}

),

clients as (

    select * from {{ ref('canonical__client') }}

),

customers as (

    select * from {{ ref('canonical__customer') }}

),

payment_terms as (

    select * from {{ ref('canonical__payment_term') }}

),

conflicts as (

    select * from {{ ref('canonical__identity_conflict') }}
    where entity = 'customer'

),

psa_stacks as (

    select * from {{ stacks_written('psa', 'tryton') }} as written

),

ledger_stacks as (

    select * from {{ stacks_written('accounting', 'tryton') }} as written

),

needed as (

    select
        deals.company_id,
        deals.company_source_id,
        psa_stacks.psa_connection as connection,
        deals.client_id as linked_id,
        deals.client_hold_reason as hold_reason
    from deals
    inner join psa_stacks
        on deals.stack = psa_stacks.stack

    union all

    select
        deals.company_id,
        deals.company_source_id,
        ledger_stacks.accounting_connection as connection,
        deals.customer_id as linked_id,
        deals.customer_hold_reason as hold_reason
    from deals
    inner join ledger_stacks
        on deals.stack = ledger_stacks.stack

),

wanted as (

    select
        company_id,
        company_source_id,
        connection,
        min(linked_id) as linked_id,
        min(hold_reason) as hold_reason
    from needed
    group by company_id, company_source_id, connection

),

-- A party that is kept for this account under another tax id (C-3). To make a second one would be wrong too.
conflicting as (

    select
        wanted.company_id,
        wanted.connection,
        min(
            'C-3: account ' || accounts.name || ' (' || accounts.account_id || ') and the party '
            || coalesce(customers.name, clients.name) || ' (' || conflicts.right_id || ') carry different tax ids; finance decides'
        ) as reason
    from wanted
    inner join accounts
        on wanted.company_id = accounts.account_id
    inner join conflicts
        on wanted.company_id = conflicts.left_id
    left join customers
        on conflicts.right_id = customers.customer_id
    left join clients
        on conflicts.right_id = clients.client_id
    where wanted.connection = coalesce(customers.connection, clients.connection)
    group by wanted.company_id, wanted.connection

),

-- Where the CRM is this same Tryton, the account is the party: it becomes known under our key and nothing is made.
placed as (

    select
        wanted.*,
        case when accounts.connection = wanted.connection then accounts.account_id else wanted.linked_id end as party_id
    from wanted
    inner join accounts
        on wanted.company_id = accounts.account_id

),

final as (

    select
        'ACC_' || placed.company_source_id as party_key,
        placed.connection as _connection,
        {{ text_part('placed.party_id', ':', 2) }} as _target_id,
        case
            when placed.party_id is null then coalesce(conflicting.reason, placed.hold_reason)
            when not customers.is_active then 'C-9: the party is archived'
        end as _hold_reason,
        {{ source_refs([('accounts', 'Account')]) }} as _source_refs,
        coalesce(accounts.legal_name, accounts.name) as party_name,
        accounts.street,
        accounts.postal_code,
        accounts.city,
        accounts.country_code,
        accounts.billing_email as email,
        accounts.phone,
        accounts.website,
        accounts.tax_id as tax_number,
        payment_terms.name as payment_terms
    from placed
    inner join accounts
        on placed.company_id = accounts.account_id
    left join customers
        on placed.party_id = customers.customer_id
    left join conflicting
        on placed.company_id = conflicting.company_id and placed.connection = conflicting.connection
    left join payment_terms
        on placed.connection = payment_terms.connection and accounts.payment_terms = payment_terms.name and payment_terms.is_active

)

select * from final
