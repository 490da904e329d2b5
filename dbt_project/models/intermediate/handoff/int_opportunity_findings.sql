-- One row per won opportunity and rule of the handover that it does not meet (H-1 to H-5).

with opportunities as (

    select * from {{ ref('canonical__opportunity') }}
    where state = 'won' and not is_deleted

),

accounts as (

    select * from {{ ref('canonical__account') }}

),

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}
    where is_active and not is_deleted

),

currencies as (

    select * from {{ ref('canonical__currency') }}
    where is_active and not is_deleted

),

resources as (

    select
        stack,
        email,
        count(*) as people
    from {{ ref('canonical__resource') }}
    where is_active and not is_deleted and email is not null
    group by all

),

line_totals as (

    select
        opportunity_id,
        sum(amount) as lines_amount
    from {{ ref('canonical__opportunity_line') }}
    where not is_deleted
    group by opportunity_id

),

facts as (

    select
        opportunities.*,
        accounts.account_id is not null and not accounts.is_deleted as has_account,
        accounts.country_code,
        accounts.is_po_required,
        accounts.payment_terms as account_payment_terms,
        legal_entities.legal_entity_id is not null as has_legal_entity,
        currencies.currency_id is not null as has_ledger_currency,
        resources.people as delivery_leads,
        line_totals.lines_amount
    from opportunities
    left join accounts on opportunities.account_id = accounts.account_id
    left join legal_entities
        on
            opportunities.stack = legal_entities.stack
            and opportunities.legal_entity_code = legal_entities.code
    left join currencies
        on
            opportunities.stack = currencies.stack
            and opportunities.currency = currencies.currency
    left join resources
        on
            opportunities.stack = resources.stack
            and opportunities.delivery_lead_email = resources.email
    left join line_totals on opportunities.opportunity_id = line_totals.opportunity_id

),

findings as (

    select opportunity_id, 'H-1' as rule, 'blocking' as severity, 'the deal''s probability is below the gate' as reason
    from facts where coalesce(probability_percent, 100) < {{ var('handoff_min_probability') }}
    union all
    select opportunity_id, 'H-4', 'blocking', 'the deal has no account'
    from facts where not coalesce(has_account, false)
    union all
    select opportunity_id, 'C-5', 'blocking', 'the account has no billing country'
    from facts where has_account and country_code is null
    union all
    select opportunity_id, 'H-4', 'blocking', 'no legal entity is set on the deal'
    from facts where legal_entity_code is null
    union all
    select opportunity_id, 'H-4', 'blocking', 'legal entity ' || legal_entity_code || ' is not in the ledger'
    from facts where legal_entity_code is not null and not has_legal_entity
    union all
    select opportunity_id, 'H-4', 'blocking', 'currency ' || coalesce(currency, '(none)') || ' is not in the ledger'
    from facts where not has_ledger_currency
    union all
    select opportunity_id, 'H-4', 'blocking', 'billing type is not set'
    from facts where billing_type is null
    union all
    select opportunity_id, 'H-4', 'blocking', 'contract start or end is missing'
    from facts where contract_start_date is null or contract_end_date is null
    union all
    select opportunity_id, 'H-4', 'blocking', 'contract starts after it ends'
    from facts where contract_start_date > contract_end_date
    union all
    select opportunity_id, 'H-4', 'blocking', 'the deal has no amount, or a negative one'
    from facts where amount is null or amount < 0
    union all
    select
        opportunity_id,
        'H-4',
        'blocking',
        'amount ' || cast(cast(amount as decimal(18, 2)) as varchar) || ' is not the sum of its lines '
        || cast(cast(lines_amount as decimal(18, 2)) as varchar)
    from facts where abs(amount - lines_amount) > {{ var('handoff_amount_tolerance') }}
    union all
    select opportunity_id, 'H-4', 'blocking', 'the customer requires a purchase order number and the deal has none'
    from facts where is_po_required and po_number is null
    union all
    select opportunity_id, 'H-5', 'warning', 'no delivery lead is named; the fallback lead is used'
    from facts where delivery_lead_email is null
    union all
    select opportunity_id, 'H-5', 'warning', 'delivery lead ' || delivery_lead_email || ' is not an active person of the PSA'
    from facts where delivery_lead_email is not null and coalesce(delivery_leads, 0) = 0
    union all
    select opportunity_id, 'H-5', 'warning', 'the account has no payment terms; the ledger''s default is used'
    from facts where account_payment_terms is null

)

select * from findings
