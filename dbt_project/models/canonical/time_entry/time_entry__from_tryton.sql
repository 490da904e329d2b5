{{ config(enabled=is_connected('tryton')) }}

with

lines as (

    select * from {{ ref('stg_tryton__timesheet_lines') }}

),

timesheet_works as (

    select * from {{ ref('stg_tryton__timesheet_works') }}

),

works as (

    select * from {{ ref('int_tryton_works') }}

),

companies as (

    select * from {{ ref('int_tryton_companies') }}

),

-- A project that Tryton bills by its own button is Tryton's to bill, and what is done for nobody is billed to nobody.
entries as (

    select
        lines.*,
        works.work_id,
        works.work_type,
        works.project_id,
        works.hourly_rate,
        companies.currency,
        {{ integer_divide('lines.duration_seconds + 30', '60') }} as minutes,
        {{ base_unit_of('companies.minor_units') }} as base_unit,
        coalesce(works.project_party_id is not null and works.invoice_method = 'manual', false) as is_billable
    from lines
    left join timesheet_works
        on lines.timesheet_work_id = timesheet_works.timesheet_work_id
    left join works
        on timesheet_works.work_id = works.work_id
    left join companies
        on lines.company_id = companies.company_id

),

final as (

    select
        entries.timesheet_line_id as time_entry_id,
        entries.project_id,
        entries.employee_id as resource_id,
        case when entries.work_type = 'task' then entries.work_id end as task_id,
        cast(null as text) as role_id,
        cast(null as text) as timesheet_id,
        cast(null as text) as psa_invoice_id,
        'approved' as approval_state,
        entries.notes,
        entries.currency,
        entries.hourly_rate as rate,
        {{ time_amount('entries.minutes', 'entries.hourly_rate', 'entries.base_unit') }} as amount,
        case
            when not entries.is_billable then 0
            else {{ time_amount('entries.minutes', 'entries.hourly_rate', 'entries.base_unit') }}
        end as billable_amount,
        entries.cost_rate,
        coalesce(entries.minutes, 0) as minutes,
        entries.is_billable,
        true as is_approved,
        false as is_approval_required,
        entries.invoice_line_id is not null as is_invoiced,
        true as is_taxable,
        entries.work_date,
        -- It may be billed from the moment it is logged.
        entries.source_created_at as submitted_at,
        entries.source_created_at as approved_at,
        -- provenance
        entries.connection,
        entries.source_id,
        entries.source_version,
        '/model/timesheet.line/' || entries.source_id as source_path,
        entries.is_deleted,
        entries.source_created_at,
        entries.source_updated_at,
        entries.loaded_at
    from entries

)

select * from final
