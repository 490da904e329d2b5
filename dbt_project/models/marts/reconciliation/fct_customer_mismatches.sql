-- One row per customer identity that does not agree between platforms, or that a person has to decide (C-1 to C-4).

with conflicts as (

    select
        'conflict' as kind,
        identity_conflict_id as mismatch_id,
        stack,
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
        stack,
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

-- the reference stored in one platform names another account than the identity says
stray_references as (

    select
        'stray reference' as kind,
        customers.customer_id as mismatch_id,
        customers.stack,
        identity.crm_id as left_id,
        customers.customer_id as right_id,
        accounts.name as left_name,
        customers.name as right_name,
        'C-1' as rule,
        'the ledger names account ' || customers.account_reference || ', the identity is ' || accounts.source_id as reason,
        cast(null as decimal(5, 4)) as confidence
    from {{ ref('canonical__customer') }} as customers
    inner join {{ ref('canonical__identity') }} as identity
        on customers.customer_id = identity.accounting_id and identity.entity = 'customer'
    inner join {{ ref('canonical__account') }} as accounts on identity.crm_id = accounts.account_id
    where customers.account_reference is not null and customers.account_reference != accounts.source_id

)

select * from conflicts
union all
select * from candidates
union all
select * from stray_references
