{{ config(enabled=is_connected('kantata')) }}

with

recorded as (

    select * from {{ ref('stg_kantata__time_entries') }}

),

-- Kantata shows 0 for billable work that no rate was found for; free work is not billable. Unresolved is never zero (R-1).
entries as (

    select
        *,
        case when not is_billable or rate <> 0 then rate end as resolved_rate
    from recorded

),

workspaces as (

    select * from {{ ref('stg_kantata__workspaces') }}

),

timesheets as (

    select * from {{ ref('timesheet__from_kantata') }}

),

memberships as (

    select * from {{ ref('resource__from_kantata') }}

),

invoiced as (

    select * from {{ ref('int_kantata_billed_sources') }}

),

-- A rejection takes the entries out of their submission, so that the entry alone no longer tells. It was rejected when
-- the last submission of that person and project around its day was, and it has not been in another one since.
rejections as (

    select
        entries.time_entry_id,
        max(timesheets.timesheet_id) as timesheet_id
    from entries
    inner join timesheets
        on
            entries.project_id = timesheets.project_id
            and entries.user_id = timesheets.resource_id
            and entries.work_date between timesheets.start_date and timesheets.end_date
            and entries.source_created_at <= timesheets.submitted_at
    where
        entries.active_submission_id is null
        and timesheets.state = 'rejected'
        and not timesheets.is_deleted
    group by entries.time_entry_id

),

final as (

    select
        entries.time_entry_id,
        entries.project_id,
        entries.user_id as resource_id,
        entries.task_id,
        coalesce(entries.role_id, memberships.default_role_id) as role_id,
        coalesce(entries.active_submission_id, rejections.timesheet_id) as timesheet_id,
        invoiced.psa_invoice_id,
        case
            when entries.is_approved then 'approved'
            -- A submission that says approved over an entry that does not is still waiting: money goes by the entry.
            when timesheets.state in ('submitted', 'approved') then 'submitted'
            when timesheets.state = 'rejected' or rejections.timesheet_id is not null then 'rejected'
            else 'captured'
        end as approval_state,
        entries.notes,
        coalesce(entries.currency, workspaces.currency) as currency,
        entries.resolved_rate as rate,
        {{ time_amount('entries.minutes', 'entries.resolved_rate', 'entries.currency_base_unit') }} as amount,
        case
            when not entries.is_billable then 0
            else {{ time_amount('entries.minutes', 'entries.resolved_rate', 'entries.currency_base_unit') }}
        end as billable_amount,
        entries.cost_rate,
        coalesce(entries.minutes, 0) as minutes,
        entries.is_billable,
        entries.is_approved,
        coalesce(workspaces.is_time_approval_required, true) as is_approval_required,
        entries.is_invoiced,
        entries.is_taxable,
        entries.work_date,
        case when entries.active_submission_id is not null then timesheets.submitted_at end as submitted_at,
        case when entries.is_approved then timesheets.resolved_at end as approved_at,
        -- provenance
        entries.connection,
        entries.source_id,
        entries.source_version,
        '/time_entries/' || entries.source_id as source_path,
        entries.is_deleted,
        entries.source_created_at,
        entries.source_updated_at,
        entries.loaded_at
    from entries
    left join workspaces
        on entries.project_id = workspaces.project_id
    left join memberships
        on entries.user_id = memberships.resource_id
    left join timesheets
        on entries.active_submission_id = timesheets.timesheet_id
    left join rejections
        on entries.time_entry_id = rejections.time_entry_id
    left join invoiced
        on
            entries.time_entry_id = invoiced.source_entity_id
            and invoiced.source_entity = 'time_entry'
            and invoiced.is_latest

)

select * from final
