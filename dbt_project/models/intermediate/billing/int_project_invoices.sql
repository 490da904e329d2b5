-- One row per ledger document of a PSA project: by the ledger's project, else by the references that Tieout put on it.

with

invoices as (

    select * from {{ ref('canonical__invoice') }}

),

identities as (

    select * from {{ ref('canonical__identity') }}
    where entity = 'project'

),

projects as (

    select * from {{ ref('canonical__project') }}

),

opportunities as (

    select * from {{ ref('canonical__opportunity') }}

),

by_ledger_project as (

    select
        accounting_id as ledger_project_id,
        min(psa_id) as project_id,
        min(crm_id) as opportunity_id
    from identities
    where accounting_id is not null and psa_id is not null
    group by accounting_id

),

by_project as (

    select
        psa_id as project_id,
        min(accounting_id) as ledger_project_id,
        min(crm_id) as opportunity_id
    from identities
    where psa_id is not null
    group by psa_id

),

by_opportunity as (

    select
        opportunities.stack_group,
        opportunities.source_id,
        min(identities.psa_id) as project_id
    from opportunities
    inner join identities
        on opportunities.opportunity_id = identities.crm_id
    where identities.psa_id is not null
    group by opportunities.stack_group, opportunities.source_id

),

-- A ledger that keeps the project on lines of its own making alone leaves the header without one; the reference that
-- Tieout wrote beside it, and the key, name the same project.
found as (

    select
        invoices.*,
        coalesce(by_ledger_project.project_id, projects.project_id, by_opportunity.project_id) as project_id
    from invoices
    left join by_ledger_project
        on invoices.ledger_project_id = by_ledger_project.ledger_project_id
    left join projects
        on invoices.stack_group = projects.stack_group and invoices.project_reference = projects.source_id
    left join by_opportunity
        on
            invoices.stack_group = by_opportunity.stack_group
            and invoices.external_key like 'INV|_%' escape '|'
            and {{ text_part('invoices.external_key', '_', 2) }} = by_opportunity.source_id

),

final as (

    select
        found.invoice_id,
        found.project_id,
        by_project.opportunity_id,
        coalesce(found.ledger_project_id, by_project.ledger_project_id) as ledger_project_id,
        found.legal_entity_id,
        found.invoice_type,
        found.invoice_number,
        found.state,
        found.external_key,
        found.po_number,
        found.currency,
        found.net_amount,
        found.tax_amount,
        found.total_amount,
        found.paid_amount,
        found.credited_amount,
        found.written_off_amount,
        found.open_amount,
        found.source_open_amount,
        found.is_posted,
        found.is_voided,
        found.is_overdue,
        found.invoice_date,
        found.due_date,
        found.connection,
        found_projects.stack,
        found.source_id,
        found.source_version,
        found.is_deleted
    from found
    left join projects as found_projects
        on found.project_id = found_projects.project_id
    left join by_project
        on found.project_id = by_project.project_id
    where found.project_id is not null

)

select * from final
