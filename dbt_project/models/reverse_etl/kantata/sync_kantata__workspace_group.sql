-- One row per account with a fit won deal: the client group that its projects belong to.

with deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

wanted as (

    select
        account_id,
        min(client_id) as client_id,
        min(stack) as stack
    from deals
    group by account_id

),

final as (

    select
        accounts.source_id as account_key,
        stacks.psa_connection as _connection,
        clients.source_id as _target_id,
        cast(null as varchar) as _hold_reason,
        {{ source_refs([('accounts', 'Account')]) }} as _source_refs,
        accounts.name,
        accounts.billing_email as email,
        accounts.phone as phone_number,
        accounts.website,
        accounts.tax_id as vat_number,
        accounts.currency,
        true as is_company
    from wanted
    inner join {{ ref('canonical__account') }} as accounts on wanted.account_id = accounts.account_id
    left join {{ ref('stacks') }} as stacks on wanted.stack = stacks.stack
    left join {{ ref('canonical__client') }} as clients on wanted.client_id = clients.client_id

)

select * from final
