-- One row per won opportunity: is it fit to become a project, does it have one, and how do the platforms spell its references.

with opportunities as (

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

projects as (

    select
        crm_id as opportunity_id,
        min(psa_id) as project_id,
        min(accounting_id) as ledger_project_id
    from {{ ref('canonical__identity') }}
    where entity = 'project' and crm_id is not null
    group by crm_id

),

clients as (

    select
        crm_id as account_id,
        min(psa_id) as client_id
    from {{ ref('canonical__identity') }}
    where entity = 'customer' and crm_id is not null
    group by crm_id

),

customers as (

    select
        crm_id as account_id,
        legal_entity_code,
        currency,
        min(accounting_id) as customer_id
    from {{ ref('canonical__identity') }}
    where entity = 'customer' and crm_id is not null and accounting_id is not null
    group by crm_id, legal_entity_code, currency

),

accounts as (

    select * from {{ ref('canonical__account') }}

),

final as (

    select
        opportunities.opportunity_id,
        opportunities.account_id,
        projects.project_id,
        projects.ledger_project_id,
        clients.client_id,
        customers.customer_id,
        'ACC_' || accounts.source_id || '_' || opportunities.legal_entity_code || '_'
        || opportunities.currency as customer_key,
        'PRJ_' || opportunities.source_id as ledger_project_key,
        accounts.source_id as account_source_id,
        findings.blocking_reasons,
        findings.warnings,
        opportunities.* exclude (opportunity_id, account_id),
        findings.blocking_reasons is null as is_fit
    from opportunities
    left join findings on opportunities.opportunity_id = findings.opportunity_id
    left join projects on opportunities.opportunity_id = projects.opportunity_id
    left join clients on opportunities.account_id = clients.account_id
    left join accounts on opportunities.account_id = accounts.account_id
    left join customers
        on
            opportunities.account_id = customers.account_id
            and opportunities.legal_entity_code = customers.legal_entity_code
            and opportunities.currency = customers.currency

)

select * from final
