{{ config(enabled=is_connected('kantata')) }}

-- One row per company with a fit won deal: the client group that its projects belong to.

with

deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

accounts as (

    select * from {{ ref('canonical__account') }}

),

clients as (

    select * from {{ ref('canonical__client') }}

),

stacks as (

    select * from {{ stacks_written('psa', 'kantata') }} as written

),

wanted as (

    select
        company_id,
        stack,
        min(client_id) as client_id,
        min(client_hold_reason) as client_hold_reason
    from deals
    group by company_id, stack

),

final as (

    select
        accounts.source_id as account_key,
        stacks.psa_connection as _connection,
        clients.source_id as _target_id,
        wanted.client_hold_reason as _hold_reason,
        {{ source_refs([('accounts', 'Account')]) }} as _source_refs,
        accounts.name,
        accounts.billing_email as email,
        accounts.phone as phone_number,
        accounts.website,
        accounts.tax_id as vat_number,
        accounts.currency,
        true as is_company
    from wanted
    inner join accounts
        on wanted.company_id = accounts.account_id
    inner join stacks
        on wanted.stack = stacks.stack
    left join clients
        on wanted.client_id = clients.client_id

)

select * from final
