{{ config(enabled=is_connected('kantata')) }}

with

workspaces as (

    select * from {{ ref('stg_kantata__workspaces') }}

),

field_values as (

    select * from {{ ref('stg_kantata__custom_field_values') }}

),

states as (

    select * from {{ mapped_values('kantata', 'project.state') }} as mappings

),

stages as (

    select * from {{ mapped_values('kantata', 'project.stage') }} as mappings

),

billing_types as (

    select * from {{ mapped_values('kantata', 'project.billing_type') }} as mappings

),

custom_fields as (

    select
        subject_id,
        max(case when field_name = 'Billing Type' then nullif(display_value, '') end) as billing_type,
        max(case when field_name = 'Legal Entity' then nullif(display_value, '') end) as legal_entity_code,
        max(case when field_name = 'Billing Status' then nullif(display_value, '') end) as billing_status,
        max(case when field_name = 'Invoiced' then {{ json_item('value_json', 0) }} end) as invoiced_subunits,
        max(case when field_name = 'Paid' then {{ json_item('value_json', 0) }} end) as paid_subunits,
        max(case when field_name = 'Open' then {{ json_item('value_json', 0) }} end) as open_subunits,
        max(case when field_name = 'Overdue' then {{ json_item('value_json', 0) }} end) as overdue_subunits
    from field_values
    where subject_type = 'Workspace' and not is_deleted
    group by subject_id

),

final as (

    select
        workspaces.project_id,
        workspaces.client_id,
        workspaces.lead_user_id as lead_resource_id,
        workspaces.rate_card_id,
        coalesce(workspaces.title, workspaces.source_id) as name,
        states.canonical_value as state,
        workspaces.status_key as source_state,
        workspaces.status_message as source_state_label,
        stages.canonical_value as stage,
        workspaces.stage as source_stage,
        -- Kantata has no field for it: a firm's own field says it, else the default of new tasks does.
        case
            when custom_fields.billing_type is not null then billing_types.canonical_value
            when workspaces.is_fixed_fee_by_default then 'fixed_fee'
            when not workspaces.is_non_billable_by_default then 'time_and_materials'
        end as billing_type,
        custom_fields.billing_type as source_billing_type,
        custom_fields.legal_entity_code,
        custom_fields.billing_status as reported_billing_status,
        workspaces.currency,
        workspaces.budget_amount,
        workspaces.budget_used_amount,
        {{ money_from_subunits('cast(custom_fields.invoiced_subunits as bigint)', 'workspaces.currency_base_unit') }} as reported_invoiced_amount,
        {{ money_from_subunits('cast(custom_fields.paid_subunits as bigint)', 'workspaces.currency_base_unit') }} as reported_paid_amount,
        {{ money_from_subunits('cast(custom_fields.open_subunits as bigint)', 'workspaces.currency_base_unit') }} as reported_open_amount,
        {{ money_from_subunits('cast(custom_fields.overdue_subunits as bigint)', 'workspaces.currency_base_unit') }} as reported_overdue_amount,
        workspaces.percent_complete,
        workspaces.is_budgeted,
        not workspaces.is_non_billable_by_default as is_billable,
        workspaces.is_time_approval_required,
        workspaces.is_expense_approval_required,
        workspaces.is_archived,
        workspaces.start_date,
        workspaces.due_date as end_date,
        -- provenance
        workspaces.connection,
        workspaces.source_id,
        workspaces.source_version,
        '/workspaces/' || workspaces.source_id as source_path,
        workspaces.is_deleted,
        workspaces.source_created_at,
        workspaces.source_updated_at,
        workspaces.loaded_at
    from workspaces
    left join custom_fields
        on workspaces.project_id = custom_fields.subject_id
    left join states
        on workspaces.status_key = states.source_value
    left join stages
        on workspaces.stage = stages.source_value
    left join billing_types
        on custom_fields.billing_type = billing_types.source_value

)

select * from final
