{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'workspaces') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as project_id,
        _connection || ':' || coalesce(nullif(primary_workspace_group_id, ''), {{ json_item('workspace_group_ids', 0) }}) as client_id,
        {{ row_id('primary_maven_id') }} as lead_user_id,
        {{ row_id('rate_card_id') }} as rate_card_id,

        -- text
        {{ text_or_null('title') }} as title,
        {{ text_or_null('stage') }} as stage,
        {{ text_or_null('status_key') }} as status_key,
        {{ text_or_null('status_message') }} as status_message,
        {{ text_or_null('currency') }} as currency,

        -- numbers
        {{ money_from_subunits('price_in_cents', 'currency_base_unit') }} as budget_amount,
        {{ money_from_subunits('budget_used_in_cents', 'currency_base_unit') }} as budget_used_amount,
        percentage_complete as percent_complete,
        currency_base_unit,

        -- booleans
        coalesce(archived, false) as is_archived,
        coalesce(budgeted, false) as is_budgeted,
        coalesce(tasks_default_non_billable, false) as is_non_billable_by_default,
        coalesce(stories_are_fixed_fee_by_default, false) as is_fixed_fee_by_default,
        coalesce(require_time_approvals, false) as is_time_approval_required,
        coalesce(require_expense_approvals, false) as is_expense_approval_required,

        -- dates
        start_date,
        due_date,

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
