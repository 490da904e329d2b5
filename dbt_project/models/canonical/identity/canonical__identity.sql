with

parties as (

    select * from {{ ref('int_identity_parties') }}

),

companies as (

    select * from {{ ref('int_identity_companies') }}
    where is_current

),

party_links as (

    select * from {{ ref('int_identity_party_links') }}
    where judgement = 'linked'

),

opportunities as (

    select * from {{ ref('canonical__opportunity') }}
    where not is_deleted

),

projects as (

    select * from {{ ref('canonical__project') }}
    where not is_deleted

),

ledger_projects as (

    select * from {{ ref('canonical__ledger_project') }}
    where not is_deleted

),

project_links as (

    select * from {{ ref('int_identity_project_links') }}

),

psa_invoices as (

    select * from {{ ref('canonical__psa_invoice') }}
    where not is_deleted

),

invoices as (

    select * from {{ ref('canonical__invoice') }}
    where not is_deleted

),

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}

),

invoice_links as (

    select * from {{ ref('int_identity_invoice_links') }}

),

customers as (

    select
        companies.stack_group,
        'customer' as entity,
        companies.account_id as crm_id,
        companies.company_id,
        companies.is_alias,
        clients.right_id as psa_id,
        customers.right_id as accounting_id,
        customers.legal_entity_code,
        customers.currency,
        clients.rule as psa_rule,
        clients.confidence as psa_confidence,
        customers.rule as accounting_rule,
        customers.confidence as accounting_confidence
    from companies
    left join party_links as clients
        on companies.company_id = clients.left_id and clients.right_role = 'psa'
    left join party_links as customers
        on companies.company_id = customers.left_id and customers.right_role = 'accounting'

    union all

    select
        parties.stack_group,
        'customer' as entity,
        cast(null as text) as crm_id,
        cast(null as text) as company_id,
        false as is_alias,
        case when parties.role = 'psa' then parties.party_id end as psa_id,
        case when parties.role = 'accounting' then parties.party_id end as accounting_id,
        parties.legal_entity_code,
        case when parties.role = 'accounting' then parties.currency end as currency,
        cast(null as text) as psa_rule,
        cast(null as decimal(5, 4)) as psa_confidence,
        cast(null as text) as accounting_rule,
        cast(null as decimal(5, 4)) as accounting_confidence
    from parties
    left join party_links
        on parties.party_id = party_links.right_id and parties.role = party_links.right_role
    where parties.role <> 'crm' and party_links.right_id is null

),

project_identities as (

    select
        opportunities.stack_group,
        'project' as entity,
        opportunities.opportunity_id as crm_id,
        psa_links.record_id as psa_id,
        accounting_links.record_id as accounting_id,
        psa_links.rule as psa_rule,
        psa_links.confidence as psa_confidence,
        accounting_links.rule as accounting_rule,
        accounting_links.confidence as accounting_confidence
    from opportunities
    left join project_links as psa_links
        on opportunities.opportunity_id = psa_links.opportunity_id and psa_links.role = 'psa'
    left join project_links as accounting_links
        on opportunities.opportunity_id = accounting_links.opportunity_id and accounting_links.role = 'accounting'

),

projects_all as (

    select * from project_identities

    union all

    select
        projects.stack_group,
        'project' as entity,
        cast(null as text) as crm_id,
        projects.project_id as psa_id,
        cast(null as text) as accounting_id,
        cast(null as text) as psa_rule,
        cast(null as decimal(5, 4)) as psa_confidence,
        cast(null as text) as accounting_rule,
        cast(null as decimal(5, 4)) as accounting_confidence
    from projects
    left join project_identities
        on projects.project_id = project_identities.psa_id
    where project_identities.psa_id is null

    union all

    select
        ledger_projects.stack_group,
        'project' as entity,
        cast(null as text) as crm_id,
        cast(null as text) as psa_id,
        ledger_projects.ledger_project_id as accounting_id,
        cast(null as text) as psa_rule,
        cast(null as decimal(5, 4)) as psa_confidence,
        cast(null as text) as accounting_rule,
        cast(null as decimal(5, 4)) as accounting_confidence
    from ledger_projects
    left join project_identities
        on ledger_projects.ledger_project_id = project_identities.accounting_id
    where project_identities.accounting_id is null

),

invoices_all as (

    select
        coalesce(invoices.stack_group, psa_invoices.stack_group) as stack_group,
        'invoice' as entity,
        psa_invoices.psa_invoice_id as psa_id,
        invoices.invoice_id as accounting_id,
        legal_entities.code as legal_entity_code,
        invoices.currency,
        case when invoices.invoice_id is not null then invoice_links.rule end as psa_rule,
        case when invoices.invoice_id is not null then invoice_links.confidence end as psa_confidence
    from invoices
    left join invoice_links
        on invoices.invoice_id = invoice_links.invoice_id
    full outer join psa_invoices
        on invoice_links.psa_invoice_id = psa_invoices.psa_invoice_id
    left join legal_entities
        on invoices.legal_entity_id = legal_entities.legal_entity_id

),

every_entity as (

    select
        stack_group,
        entity,
        crm_id,
        company_id,
        is_alias,
        psa_id,
        accounting_id,
        legal_entity_code,
        currency,
        psa_rule,
        psa_confidence,
        accounting_rule,
        accounting_confidence,
        crm_id is not null and psa_id is not null and accounting_id is not null as is_complete
    from customers

    union all

    select
        projects_all.stack_group,
        projects_all.entity,
        projects_all.crm_id,
        cast(null as text) as company_id,
        false as is_alias,
        projects_all.psa_id,
        projects_all.accounting_id,
        legal_entities.code as legal_entity_code,
        ledger_projects.currency,
        projects_all.psa_rule,
        projects_all.psa_confidence,
        projects_all.accounting_rule,
        projects_all.accounting_confidence,
        projects_all.crm_id is not null
        and projects_all.psa_id is not null
        and projects_all.accounting_id is not null as is_complete
    from projects_all
    left join ledger_projects
        on projects_all.accounting_id = ledger_projects.ledger_project_id
    left join legal_entities
        on ledger_projects.legal_entity_id = legal_entities.legal_entity_id

    union all

    select
        stack_group,
        entity,
        cast(null as text) as crm_id,
        cast(null as text) as company_id,
        false as is_alias,
        psa_id,
        accounting_id,
        legal_entity_code,
        currency,
        psa_rule,
        psa_confidence,
        psa_rule as accounting_rule,
        psa_confidence as accounting_confidence,
        psa_id is not null and accounting_id is not null as is_complete
    from invoices_all

),

final as (

    select
        entity || '|' || coalesce(crm_id, '') || '|' || coalesce(psa_id, '') || '|' || coalesce(accounting_id, '') as identity_id,
        stack_group,
        entity,
        crm_id,
        company_id,
        psa_id,
        accounting_id,
        legal_entity_code,
        currency,
        psa_rule,
        psa_confidence,
        accounting_rule,
        accounting_confidence,
        is_alias,
        is_complete
    from every_entity

)

select * from final
