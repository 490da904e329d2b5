with

accounts as (

    select * from {{ ref('canonical__account') }}

),

survivors as (

    select * from {{ ref('int_identity_account_survivors') }}

),

parties as (

    select * from {{ ref('int_identity_parties') }}
    where role = 'crm'

),

-- A company that stands twice in the CRM is one company when its tax id says so (C-1, step 2); the older account
-- stands for it. Names alone never make two accounts one.
represented as (

    select
        party_id,
        case
            when tax_number is not null and tax_country is not null
                then first_value(party_id) over (
                    partition by stack_group, tax_number, tax_country
                    order by source_created_at, party_id
                    rows between unbounded preceding and unbounded following
                )
            else party_id
        end as company_id
    from parties

),

final as (

    select
        accounts.account_id,
        coalesce(represented.company_id, survivors.survivor_id) as company_id,
        accounts.stack_group,
        accounts.source_id,
        accounts.account_id <> coalesce(represented.company_id, survivors.survivor_id) as is_alias,
        parties.party_id is not null as is_current
    from accounts
    inner join survivors
        on accounts.account_id = survivors.account_id
    left join represented
        on survivors.survivor_id = represented.party_id
    left join parties
        on accounts.account_id = parties.party_id

)

select * from final
