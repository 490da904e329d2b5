{{ config(enabled=is_connected('kantata')) }}

with

expenses as (

    select * from {{ ref('stg_kantata__expenses') }}

),

workspaces as (

    select * from {{ ref('stg_kantata__workspaces') }}

),

reports as (

    select * from {{ ref('stg_kantata__expense_report_submissions') }}

),

invoiced as (

    select * from {{ ref('int_kantata_billed_sources') }}

),

report_states as (

    select * from {{ mapped_values('kantata', 'timesheet.state') }} as mappings

),

final as (

    select
        expenses.expense_id,
        expenses.project_id,
        expenses.user_id as resource_id,
        expenses.task_id,
        invoiced.psa_invoice_id,
        case
            when expenses.is_approved then 'approved'
            when report_states.canonical_value in ('submitted', 'approved') then 'submitted'
            when report_states.canonical_value = 'rejected' then 'rejected'
            else 'captured'
        end as approval_state,
        expenses.category,
        expenses.notes,
        coalesce(expenses.currency, workspaces.currency) as currency,
        coalesce(expenses.amount, 0) as amount,
        case when expenses.is_billable then coalesce(expenses.amount, 0) else 0 end as billable_amount,
        expenses.is_billable,
        expenses.is_reimbursable,
        expenses.is_approved,
        coalesce(workspaces.is_expense_approval_required, true) as is_approval_required,
        expenses.is_invoiced,
        expenses.is_taxable,
        expenses.expense_date,
        -- provenance
        expenses.connection,
        expenses.source_id,
        expenses.source_version,
        '/expenses/' || expenses.source_id as source_path,
        expenses.is_deleted,
        expenses.source_created_at,
        expenses.source_updated_at,
        expenses.loaded_at
    from expenses
    left join workspaces
        on expenses.project_id = workspaces.project_id
    left join reports
        on expenses.active_submission_id = reports.expense_report_id
    left join report_states
        on reports.status = report_states.source_value
    left join invoiced
        on
            expenses.expense_id = invoiced.source_entity_id
            and invoiced.source_entity = 'expense'
            and invoiced.is_latest

)

select * from final
