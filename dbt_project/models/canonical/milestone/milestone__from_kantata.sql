{{ config(enabled=is_connected('kantata')) }}

with

milestones as (

    select * from {{ ref('stg_kantata__billing_milestones') }}

),

stories as (

    select * from {{ ref('stg_kantata__stories') }}

),

invoiced as (

    select * from {{ ref('int_kantata_billed_sources') }}

),

task_states as (

    select * from {{ mapped_values('kantata', 'task.state') }} as mappings

),

triggers as (

    select * from {{ mapped_values('kantata', 'milestone.billing_trigger') }} as mappings

),

final as (

    select
        milestones.milestone_id,
        milestones.project_id,
        milestones.task_id,
        invoiced.psa_invoice_id,
        coalesce(milestones.title, milestones.source_id) as name,
        triggers.canonical_value as billing_trigger,
        milestones.billing_type as source_billing_trigger,
        milestones.currency,
        milestones.amount,
        coalesce(task_states.canonical_value = 'completed' and not stories.is_deleted, false) as is_completed,
        invoiced.psa_invoice_id is not null as is_invoiced,
        milestones.date_to_invoice as invoice_date,
        -- provenance
        milestones.connection,
        milestones.source_id,
        milestones.source_version,
        '/workspaces/' || split_part(milestones.project_id, ':', 2) || '/billing_milestones' as source_path,
        milestones.is_deleted,
        milestones.source_created_at,
        milestones.source_updated_at,
        milestones.loaded_at
    from milestones
    left join stories
        on milestones.task_id = stories.task_id
    left join task_states
        on stories.state = task_states.source_value
    left join triggers
        on milestones.billing_type = triggers.source_value
    left join invoiced
        on
            milestones.milestone_id = invoiced.source_entity_id
            and invoiced.source_entity = 'milestone'
            and invoiced.is_latest

)

select * from final
