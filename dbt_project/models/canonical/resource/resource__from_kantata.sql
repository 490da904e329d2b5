{{ config(enabled=is_connected('kantata')) }}

with

users as (

    select * from {{ ref('stg_kantata__users') }}

),

memberships as (

    select * from {{ ref('stg_kantata__account_memberships') }}

),

-- A person who left and came back has two memberships: the one still on counts, else the latest.
ranked_memberships as (

    select
        *,
        row_number() over (
            partition by user_id
            order by case when disabled_at is null then 0 else 1 end, source_created_at desc, source_id desc
        ) as membership_rank
    from memberships
    where not is_deleted

),

current_memberships as (

    select * from ranked_memberships
    where membership_rank = 1

),

final as (

    select
        users.user_id as resource_id,
        current_memberships.default_role_id,
        coalesce(users.name, users.email, users.source_id) as name,
        users.email,
        users.title,
        current_memberships.currency,
        current_memberships.bill_rate,
        current_memberships.cost_rate,
        current_memberships.billable_target_percent,
        coalesce(current_memberships.disabled_at is null, false)
        and current_memberships.user_id is not null
        and not users.is_deleted as is_active,
        -- provenance
        users.connection,
        users.source_id,
        users.source_version,
        '/users/' || users.source_id as source_path,
        users.is_deleted,
        users.source_created_at,
        users.source_updated_at,
        users.loaded_at
    from users
    left join current_memberships
        on users.user_id = current_memberships.user_id

)

select * from final
