-- One row per customer identity that does not agree between platforms, or that a person has to decide (C-1 to C-4).

with

conflicts as (

    select
        'conflict' as kind,
        identity_conflict_id as mismatch_id,
        stack_group,
        left_id,
        right_id,
        cast(null as varchar) as left_name,
        cast(null as varchar) as right_name,
        rule,
        'tax ids differ: ' || coalesce(left_tax_id, '(none)') || ' and ' || coalesce(right_tax_id, '(none)') as reason,
        cast(null as decimal(5, 4)) as confidence
    from {{ ref('canonical__identity_conflict') }}
    where entity = 'customer'

),

candidates as (

    select
        'to decide' as kind,
        identity_candidate_id as mismatch_id,
        stack_group,
        left_id,
        right_id,
        left_name,
        right_name,
        rule,
        reason,
        confidence
    from {{ ref('canonical__identity_candidate') }}
    where entity = 'customer'

),

customers as (

    select * from {{ ref('canonical__customer') }}
    where account_reference is not null

),

identities as (

    select * from {{ ref('canonical__identity') }}
    where entity = 'customer' and company_id is not null and not is_alias

),

companies as (

    select * from {{ ref('int_identity_companies') }}

),

accounts as (

    select * from {{ ref('canonical__account') }}

),

-- The reference that is stored in the ledger names another company than the identity says.
stray_references as (

    select
        'stray reference' as kind,
        customers.customer_id as mismatch_id,
        customers.stack_group,
        identities.company_id as left_id,
        customers.customer_id as right_id,
        accounts.name as left_name,
        customers.name as right_name,
        'C-1' as rule,
        'the ledger names account ' || customers.account_reference || ', the identity is ' || accounts.source_id as reason,
        cast(null as decimal(5, 4)) as confidence
    from customers
    inner join identities
        on customers.customer_id = identities.accounting_id
    inner join accounts
        on identities.company_id = accounts.account_id
    left join companies
        on customers.stack_group = companies.stack_group and customers.account_reference = companies.source_id
    where companies.company_id is null or companies.company_id <> identities.company_id

),

final as (

    select * from conflicts
    union all
    select * from candidates
    union all
    select * from stray_references

)

select * from final
