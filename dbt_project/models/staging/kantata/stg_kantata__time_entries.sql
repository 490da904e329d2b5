{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'time_entries') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as time_entry_id,
        {{ row_id('workspace_id') }} as project_id,
        {{ row_id('user_id') }} as user_id,
        {{ row_id('story_id') }} as task_id,
        {{ row_id('role_id') }} as role_id,
        {{ row_id('active_submission_id') }} as active_submission_id,

        -- text
        {{ text_or_null('notes') }} as notes,
        {{ text_or_null('currency') }} as currency,

        -- numbers
        {{ money_from_subunits('rate_in_cents', 'currency_base_unit') }} as rate,
        {{ money_from_subunits('cost_rate_in_cents', 'currency_base_unit') }} as cost_rate,
        currency_base_unit,
        time_in_minutes as minutes,

        -- booleans
        coalesce(billable, false) as is_billable,
        coalesce(approved, false) as is_approved,
        coalesce(is_invoiced, false) as is_invoiced,
        coalesce(taxable, false) as is_taxable,

        -- dates
        date_performed as work_date,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('updated_at') }} as source_version,
        _deleted_at is not null as is_deleted,
        created_at as source_created_at,
        updated_at as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
