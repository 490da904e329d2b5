-- One row per won opportunity: is it fit to become a project, does it have one, and how do the platforms spell its references.

with

opportunities as (

    select * from {{ ref('canonical__opportunity') }}
    where state = 'won' and not is_deleted

),

findings as (

    select
        opportunity_id,
        string_agg(reason, '; ' order by reason) filter (where severity = 'blocking') as blocking_reasons,
        string_agg(reason, '; ' order by reason) filter (where severity = 'warning') as warnings
    from {{ ref('int_opportunity_findings') }}
    group by opportunity_id

),

survivors as (

    select * from {{ ref('int_identity_account_survivors') }}

),

companies as (

    select * from {{ ref('int_identity_companies') }}

),

accounts as (

    select * from {{ ref('canonical__account') }}

),

projects as (

    select
        crm_id as opportunity_id,
        min(psa_id) as project_id,
        min(accounting_id) as ledger_project_id
    from {{ ref('canonical__identity') }}
    where entity = 'project' and crm_id is not null
    group by crm_id

),

stacks as (

    select * from {{ ref('int_stacks') }}

),

-- A company is one client of a PSA and, per legal entity and currency, one customer of a ledger, however often it stands in
-- the CRM (C-6, C-7). A ledger that keeps one customer for all entities or currencies names none.
clients as (

    select
        identities.company_id,
        clients.connection,
        min(identities.psa_id) as client_id
    from {{ ref('canonical__identity') }} as identities
    inner join {{ ref('canonical__client') }} as clients
        on identities.psa_id = clients.client_id
    where identities.entity = 'customer' and identities.company_id is not null
    group by identities.company_id, clients.connection

),

customers as (

    select
        identities.company_id,
        identities.legal_entity_code,
        identities.currency,
        identities.accounting_id as customer_id,
        customers.connection
    from {{ ref('canonical__identity') }} as identities
    inner join {{ ref('canonical__customer') }} as customers
        on identities.accounting_id = customers.customer_id
    where identities.entity = 'customer' and identities.company_id is not null

),

customers_of_deals as (

    select
        opportunities.opportunity_id,
        customers.customer_id,
        row_number() over (
            partition by opportunities.opportunity_id
            order by
                case when customers.legal_entity_code is not null then 1 else 2 end,
                case when customers.currency is not null then 1 else 2 end,
                customers.customer_id
        ) as preference
    from opportunities
    inner join companies
        on opportunities.account_id = companies.account_id
    inner join stacks
        on opportunities.stack = stacks.stack
    inner join customers
        on
            companies.company_id = customers.company_id
            and stacks.accounting_connection = customers.connection
            and coalesce(customers.legal_entity_code, opportunities.legal_entity_code) = opportunities.legal_entity_code
            and coalesce(customers.currency, opportunities.currency) = opportunities.currency

),

possible_duplicates as (

    select * from {{ ref('int_possible_duplicates') }}

),

client_doubts as (

    select
        company_id,
        connection,
        string_agg(reason, '; ' order by record_id) as reasons
    from possible_duplicates
    where role = 'psa'
    group by company_id, connection

),

-- A ledger customer of another legal entity or currency is another customer, and so no duplicate (C-7).
customer_doubts as (

    select
        opportunities.opportunity_id,
        string_agg(possible_duplicates.reason, '; ' order by possible_duplicates.record_id) as reasons
    from opportunities
    inner join companies
        on opportunities.account_id = companies.account_id
    inner join stacks
        on opportunities.stack = stacks.stack
    inner join possible_duplicates
        on
            companies.company_id = possible_duplicates.company_id
            and possible_duplicates.role = 'accounting'
            and stacks.accounting_connection = possible_duplicates.connection
            and coalesce(possible_duplicates.legal_entity_code, opportunities.legal_entity_code) = opportunities.legal_entity_code
            and coalesce(possible_duplicates.currency, opportunities.currency) = opportunities.currency
    group by opportunities.opportunity_id

),

final as (

    select
        opportunities.opportunity_id,
        coalesce(survivors.survivor_id, opportunities.account_id) as account_id,
        companies.company_id,
        projects.project_id,
        projects.ledger_project_id,
        clients.client_id,
        customers_of_deals.customer_id,
        'ACC_' || accounts.source_id || '_' || opportunities.legal_entity_code || '_' || opportunities.currency as customer_key,
        'PRJ_' || opportunities.source_id as ledger_project_key,
        accounts.source_id as company_source_id,
        findings.blocking_reasons,
        findings.warnings,
        case when clients.client_id is null then client_doubts.reasons end as client_hold_reason,
        case when customers_of_deals.customer_id is null then customer_doubts.reasons end as customer_hold_reason,
        opportunities.name,
        opportunities.state,
        opportunities.stage_name,
        opportunities.opportunity_type,
        opportunities.billing_type,
        opportunities.source_billing_type,
        opportunities.legal_entity_code,
        opportunities.po_number,
        opportunities.owner_name,
        opportunities.owner_email,
        opportunities.delivery_lead_email,
        opportunities.reported_project_id,
        opportunities.reported_project_link,
        opportunities.reported_project_status,
        opportunities.reported_sync_status,
        opportunities.reported_sync_reason,
        opportunities.currency,
        opportunities.amount,
        opportunities.probability_percent,
        opportunities.reported_invoiced_amount,
        opportunities.reported_paid_amount,
        opportunities.reported_open_amount,
        opportunities.reported_overdue_amount,
        opportunities.reported_percent_complete,
        findings.blocking_reasons is null as is_fit,
        opportunities.close_date,
        opportunities.contract_start_date,
        opportunities.contract_end_date,
        opportunities.reported_last_payment_date,
        opportunities.stage_changed_at,
        opportunities.won_at,
        opportunities.connection,
        opportunities.stack_group,
        opportunities.stack,
        opportunities.source_id,
        opportunities.source_version,
        opportunities.source_link,
        opportunities.is_deleted,
        opportunities.source_created_at,
        opportunities.source_updated_at,
        opportunities.loaded_at
    from opportunities
    left join findings
        on opportunities.opportunity_id = findings.opportunity_id
    left join projects
        on opportunities.opportunity_id = projects.opportunity_id
    left join survivors
        on opportunities.account_id = survivors.account_id
    left join companies
        on opportunities.account_id = companies.account_id
    left join accounts
        on companies.company_id = accounts.account_id
    left join stacks
        on opportunities.stack = stacks.stack
    left join clients
        on companies.company_id = clients.company_id and stacks.psa_connection = clients.connection
    left join customers_of_deals
        on opportunities.opportunity_id = customers_of_deals.opportunity_id and customers_of_deals.preference = 1
    left join client_doubts
        on companies.company_id = client_doubts.company_id and stacks.psa_connection = client_doubts.connection
    left join customer_doubts
        on opportunities.opportunity_id = customer_doubts.opportunity_id

)

select * from final
