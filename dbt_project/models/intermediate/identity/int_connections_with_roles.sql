with

stacks as (

    select * from {{ ref('int_stacks') }}

),

connections as (

    select * from {{ ref('int_connections') }}

),

roles as (

    select
        stack,
        stack_group,
        crm_connection as connection,
        'crm' as role
    from stacks

    union all

    select
        stack,
        stack_group,
        psa_connection as connection,
        'psa' as role
    from stacks

    union all

    select
        stack,
        stack_group,
        accounting_connection as connection,
        'accounting' as role
    from stacks

),

-- One connection may fill several roles of its stack, as an ERP does, and serve several stacks of its group.
final as (

    select
        roles.connection,
        max(roles.stack_group) as stack_group,
        max(connections.platform) as platform,
        max(nullif(connections.link_base, '')) as link_base,
        coalesce(bool_or(roles.role = 'crm'), false) as has_crm_role,
        coalesce(bool_or(roles.role = 'psa'), false) as has_psa_role,
        coalesce(bool_or(roles.role = 'accounting'), false) as has_accounting_role,
        count(distinct roles.stack) as stack_count
    from roles
    left join connections
        on roles.connection = connections.connection
    where roles.connection is not null
    group by roles.connection

)

select * from final
