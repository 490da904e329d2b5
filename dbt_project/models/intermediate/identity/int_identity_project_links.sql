with

opportunities as (

    select * from {{ ref('canonical__opportunity') }}

),

projects as (

    select * from {{ ref('canonical__project') }}

),

ledger_projects as (

    select * from {{ ref('canonical__ledger_project') }}

),

stored_references as (

    select * from {{ ref('canonical__external_reference') }}
    where service_name = 'tieout' and not is_deleted

),

-- The project keeps the deal's id (H-10); the deal keeps the project's (H-13), which counts when the project keeps none.
found as (

    select
        opportunities.stack_group,
        opportunities.opportunity_id,
        'psa' as role,
        projects.project_id as record_id,
        'H-10' as rule,
        1 as rule_rank,
        projects.source_created_at
    from stored_references
    inner join projects
        on stored_references.entity_id = projects.project_id
    inner join opportunities
        on
            stored_references.service_reference = opportunities.source_id
            and projects.stack_group = opportunities.stack_group
    where stored_references.entity = 'project' and not projects.is_deleted

    union all

    select
        opportunities.stack_group,
        opportunities.opportunity_id,
        'psa' as role,
        projects.project_id as record_id,
        'H-13' as rule,
        2 as rule_rank,
        projects.source_created_at
    from opportunities
    inner join projects
        on
            opportunities.reported_project_id = projects.source_id
            and opportunities.stack_group = projects.stack_group
    where not projects.is_deleted

    union all

    select
        opportunities.stack_group,
        opportunities.opportunity_id,
        'accounting' as role,
        ledger_projects.ledger_project_id as record_id,
        'H-10' as rule,
        1 as rule_rank,
        ledger_projects.source_created_at
    from ledger_projects
    inner join opportunities
        on
            {{ text_part('ledger_projects.external_key', '_', 2) }} = opportunities.source_id
            and ledger_projects.stack_group = opportunities.stack_group
    where ledger_projects.external_key like 'PRJ|_%' escape '|' and not ledger_projects.is_deleted

),

ranked_by_record as (

    select
        *,
        row_number() over (partition by role, record_id order by rule_rank, opportunity_id) as record_preference
    from found

),

-- Exactly one project for a deal: should there be two, the older one is it, and the other stands alone.
ranked as (

    select
        *,
        row_number() over (
            partition by opportunity_id, role
            order by rule_rank, source_created_at, record_id
        ) as preference
    from ranked_by_record
    where record_preference = 1

),

final as (

    select
        stack_group,
        opportunity_id,
        role,
        record_id,
        rule,
        cast(case rule when 'H-10' then 1.0 else 0.98 end as decimal(5, 4)) as confidence
    from ranked
    where preference = 1

)

select * from final
