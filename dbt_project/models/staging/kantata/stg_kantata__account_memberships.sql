{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'account_memberships') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as account_membership_id,
        {{ row_id('user_id') }} as user_id,
        {{ row_id('default_role_id') }} as default_role_id,

        -- text
        {{ text_or_null('currency') }} as currency,

        -- numbers
        {{ money_from_subunits('bill_rate_in_cents', 'currency_base_unit') }} as bill_rate,
        {{ money_from_subunits('cost_rate_in_cents', 'currency_base_unit') }} as cost_rate,
        billability_target as billable_target_percent,

        -- timestamps
        disabled_at,

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
