-- One row per account, legal entity and currency that a fit won deal needs in the ledger (C-5, C-7).

with deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

accounts as (

    select * from {{ ref('canonical__account') }}

),

wanted as (

    select
        customer_key,
        min(account_id) as account_id,
        min(customer_id) as customer_id,
        min(stack) as stack,
        min(legal_entity_code) as legal_entity_code,
        min(currency) as currency
    from deals
    group by customer_key

),

conflicts as (

    select distinct right_id as customer_id from {{ ref('canonical__identity_conflict') }}
    where entity = 'customer'

),

final as (

    select
        wanted.customer_key,
        stacks.accounting_connection as _connection,
        customers.source_id as _target_id,
        case
            when conflicts.customer_id is not null
                then 'C-3: the ledger''s customer carries another tax id than the account; finance decides'
            when customers.customer_id is not null and not customers.is_active
                then 'C-9: the ledger''s customer is inactive'
            when entities.source_id is null then 'C-5: legal entity ' || wanted.legal_entity_code || ' is not in the ledger'
        end as _hold_reason,
        {{ source_refs([('accounts', 'Account')]) }} as _source_refs,
        left(coalesce(accounts.legal_name, accounts.name), 83) as company_name,
        entities.source_id as subsidiary_id,
        currencies.source_id as currency_id,
        terms.source_id as terms_id,
        accounts.tax_id as vat_number,
        accounts.billing_email as email,
        accounts.phone,
        accounts.source_id as account_reference,
        false as is_person
    from wanted
    inner join accounts on wanted.account_id = accounts.account_id
    left join {{ ref('stacks') }} as stacks on wanted.stack = stacks.stack
    left join {{ ref('canonical__customer') }} as customers on wanted.customer_id = customers.customer_id
    left join conflicts on wanted.customer_id = conflicts.customer_id
    left join {{ ref('canonical__legal_entity') }} as entities
        on stacks.accounting_connection = entities.connection and wanted.legal_entity_code = entities.code
    left join {{ ref('canonical__currency') }} as currencies
        on stacks.accounting_connection = currencies.connection and wanted.currency = currencies.currency
    left join {{ ref('canonical__payment_term') }} as terms
        on stacks.accounting_connection = terms.connection and accounts.payment_terms = terms.name

)

select * from final
