-- One row per won opportunity and rule of the handover that it does not meet (H-1 to H-5).

{%- set rules = [
    ('H-1', 'blocking', "coalesce(probability_percent, 100) < " ~ var('handoff_min_probability'), "'the deal''s probability is below the gate'"),
    ('H-4', 'blocking', "not has_account", "'the deal has no account'"),
    ('C-5', 'blocking', "has_account and country_code is null", "'the account has no billing country'"),
    ('H-4', 'blocking', "legal_entity_code is null", "'no legal entity is set on the deal'"),
    ('H-4', 'blocking', "legal_entity_code is not null and not has_legal_entity", "'legal entity ' || legal_entity_code || ' is not in the ledger'"),
    ('H-4', 'blocking', "not has_ledger_currency", "'currency ' || coalesce(currency, '(none)') || ' is not in the ledger'"),
    ('H-4', 'blocking', "billing_type is null and source_billing_type is null", "'billing type is not set'"),
    ('H-4', 'blocking', "billing_type is null and source_billing_type is not null", "'billing type ' || source_billing_type || ' is not known'"),
    ('H-4', 'blocking', "contract_start_date is null or contract_end_date is null", "'contract start or end is missing'"),
    ('H-4', 'blocking', "contract_start_date > contract_end_date", "'contract starts after it ends'"),
    ('H-4', 'blocking', "amount is null or amount < 0", "'the deal has no amount, or a negative one'"),
    ('H-4', 'blocking', "abs(amount - lines_amount) > " ~ var('handoff_amount_tolerance'), "'amount ' || amount_text || ' is not the sum of its lines ' || lines_amount_text"),
    ('H-4', 'blocking', "is_po_required and po_number is null", "'the customer requires a purchase order number and the deal has none'"),
    ('H-5', 'warning', "delivery_lead_email is null", "'no delivery lead is named; the fallback lead is used'"),
    ('H-5', 'warning', "delivery_lead_email is not null and delivery_leads = 0", "'delivery lead ' || delivery_lead_email || ' is not an active person of the PSA'"),
    ('H-5', 'warning', "account_payment_terms is null", "'the account has no payment terms; the ledger''s default is used'"),
] %}

with

opportunities as (

    select * from {{ ref('canonical__opportunity') }}
    where state = 'won' and not is_deleted

),

companies as (

    select * from {{ ref('int_identity_companies') }}

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

stacks as (

    select * from {{ ref('int_stacks') }}

),

resources as (

    select
        connection,
        email,
        count(*) as people
    from {{ ref('canonical__resource') }}
    where is_active and not is_deleted and email is not null
    group by connection, email

),

line_totals as (

    select
        opportunity_id,
        sum(amount) as lines_amount
    from {{ ref('canonical__opportunity_line') }}
    where not is_deleted
    group by opportunity_id

),

-- The customer is made from the account that stands for the company: the survivor of a merge, the older of two twins.
facts as (

    select
        opportunities.opportunity_id,
        opportunities.probability_percent,
        opportunities.legal_entity_code,
        opportunities.billing_type,
        opportunities.source_billing_type,
        opportunities.contract_start_date,
        opportunities.contract_end_date,
        opportunities.po_number,
        opportunities.delivery_lead_email,
        opportunities.currency,
        opportunities.amount,
        line_totals.lines_amount,
        cast(cast(opportunities.amount as decimal(18, 2)) as varchar) as amount_text,
        cast(cast(line_totals.lines_amount as decimal(18, 2)) as varchar) as lines_amount_text,
        coalesce(not accounts.is_deleted, false) as has_account,
        accounts.country_code,
        coalesce(own_accounts.is_po_required, false) or coalesce(accounts.is_po_required, false) as is_po_required,
        accounts.payment_terms as account_payment_terms,
        legal_entities.legal_entity_id is not null as has_legal_entity,
        currencies.currency_id is not null as has_ledger_currency,
        coalesce(resources.people, 0) as delivery_leads
    from opportunities
    left join accounts as own_accounts
        on opportunities.account_id = own_accounts.account_id
    left join companies
        on opportunities.account_id = companies.account_id
    left join accounts
        on companies.company_id = accounts.account_id
    left join stacks
        on opportunities.stack = stacks.stack
    left join legal_entities
        on
            stacks.accounting_connection = legal_entities.connection
            and opportunities.legal_entity_code = legal_entities.code
    left join currencies
        on
            stacks.accounting_connection = currencies.connection
            and opportunities.currency = currencies.currency
    left join resources
        on
            stacks.psa_connection = resources.connection
            and opportunities.delivery_lead_email = resources.email
    left join line_totals
        on opportunities.opportunity_id = line_totals.opportunity_id

),

findings as (
    {% for rule, severity, broken_when, reason in rules %}
    select
        opportunity_id,
        '{{ rule }}' as rule,
        '{{ severity }}' as severity,
        {{ reason }} as reason
    from facts
    where {{ broken_when }}
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- endfor %}

)

select * from findings
