{{ config(enabled=is_connected('tryton')) }}

with

works as (

    select * from {{ ref('int_tryton_works') }}
    where work_type = 'project'

),

billing_types as (

    select * from {{ mapped_values('tryton', 'project.billing_type') }} as mappings

),

final as (

    select
        works.work_id as project_id,
        works.project_party_id as client_id,
        cast(null as text) as lead_resource_id,
        cast(null as text) as rate_card_id,
        works.name,
        -- A firm names its statuses as it likes; what they say is how much of the work they stand for.
        case when works.is_done then 'completed' else 'active' end as state,
        works.status_name as source_state,
        works.status_name as source_state_label,
        'project' as stage,
        works.work_type as source_stage,
        -- Tieout names the way of billing by the product of the project; one that people made is billed by the hour.
        coalesce(billing_types.canonical_value, 'time_and_materials') as billing_type,
        works.product_code as source_billing_type,
        works.legal_entity_code,
        cast(null as text) as reported_billing_status,
        works.currency,
        cast(null as decimal(20, 4)) as budget_amount,
        cast(null as decimal(20, 4)) as budget_used_amount,
        cast(null as decimal(20, 4)) as reported_invoiced_amount,
        cast(null as decimal(20, 4)) as reported_paid_amount,
        cast(null as decimal(20, 4)) as reported_open_amount,
        cast(null as decimal(20, 4)) as reported_overdue_amount,
        works.progress * 100 as percent_complete,
        false as is_budgeted,
        works.project_party_id is not null as is_billable,
        -- There is no approval of hours in Tryton: what is logged may be billed.
        false as is_time_approval_required,
        false as is_expense_approval_required,
        false as is_archived,
        cast(null as date) as start_date,
        cast(null as date) as end_date,
        -- provenance
        works.connection,
        works.source_id,
        works.source_version,
        '/model/project.work/' || works.source_id as source_path,
        works.is_deleted,
        works.source_created_at,
        works.source_updated_at,
        works.loaded_at
    from works
    left join billing_types
        on works.product_code = billing_types.source_value

)

select * from final
