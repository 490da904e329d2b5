{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'billing_milestones') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as milestone_id,
        {{ row_id('workspace_id') }} as project_id,
        {{ row_id('story_id') }} as task_id,

        -- text
        {{ text_or_null('title') }} as title,
        {{ text_or_null('billing_type') }} as billing_type,
        {{ text_or_null('currency') }} as currency,

        -- numbers
        {{ money_from_subunits('amount_in_cents', 'currency_base_unit') }} as amount,

        -- dates
        date_to_invoice,

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
