with

parties as (

    select * from {{ ref('int_identity_parties') }}

),

accounts as (

    select * from parties
    where role = 'crm'

),

others as (

    select * from parties
    where role <> 'crm'

),

companies as (

    select * from {{ ref('int_identity_companies') }}

),

references_to_accounts as (

    select
        entity_id,
        case entity when 'client' then 'psa' else 'accounting' end as role,
        stack_group,
        case when service_model = 'external_key' then {{ text_part('service_reference', '_', 2) }} else service_reference end as account_source_id
    from {{ ref('canonical__external_reference') }}
    where entity in ('client', 'customer') and service_name = 'tieout' and not is_deleted

),

decisions as (

    select * from {{ ref('int_identity_decisions') }}

),

-- Step 2 of 3: every pair that some rule finds, with the rule. C-1 gives the order, the confidences are ours.
stored as (

    select
        companies.account_id as left_id,
        others.party_id as right_id,
        others.role as right_role,
        'C-1.1' as rule,
        1 as rule_rank,
        1.0 as confidence
    from references_to_accounts
    inner join companies
        on
            references_to_accounts.account_source_id = companies.source_id
            and references_to_accounts.stack_group = companies.stack_group
    inner join others
        on references_to_accounts.entity_id = others.party_id and references_to_accounts.role = others.role

    union all

    -- one platform in several roles: the account and the other record are the same row of it
    select
        accounts.party_id as left_id,
        others.party_id as right_id,
        others.role as right_role,
        'C-1.1' as rule,
        1 as rule_rank,
        1.0 as confidence
    from accounts
    inner join others
        on accounts.party_id = others.party_id

),

decided as (

    select
        accounts.party_id as left_id,
        others.party_id as right_id,
        others.role as right_role,
        'C-4' as rule,
        2 as rule_rank,
        1.0 as confidence
    from decisions
    inner join accounts
        on decisions.left_id = accounts.party_id
    inner join others
        on decisions.right_id = others.party_id
    where decisions.decision = 'same'

),

same_tax_id as (

    select
        accounts.party_id as left_id,
        others.party_id as right_id,
        others.role as right_role,
        'C-1.2' as rule,
        3 as rule_rank,
        0.99 as confidence
    from accounts
    inner join others
        on
            accounts.stack_group = others.stack_group
            and accounts.tax_number = others.tax_number
            and coalesce(accounts.tax_country, others.tax_country, '') = coalesce(others.tax_country, accounts.tax_country, '')

),

same_domain as (

    select
        accounts.party_id as left_id,
        others.party_id as right_id,
        others.role as right_role,
        'C-1.3' as rule,
        4 as rule_rank,
        case when accounts.country_code = coalesce(others.country_code, others.tax_country) then 0.95 else 0.85 end as confidence
    from accounts
    inner join others
        on
            accounts.stack_group = others.stack_group
            and accounts.domain = others.domain

),

same_name as (

    select
        accounts.party_id as left_id,
        others.party_id as right_id,
        others.role as right_role,
        'C-1.4' as rule,
        5 as rule_rank,
        case when accounts.country_code = coalesce(others.country_code, others.tax_country) then 0.9 else 0.8 end as confidence
    from accounts
    inner join others
        on
            accounts.stack_group = others.stack_group
            and accounts.normalised_name = others.normalised_name

),

named_or_better as (

    select
        right_id,
        right_role
    from stored
    union
    select
        right_id,
        right_role
    from decided
    union
    select
        right_id,
        right_role
    from same_tax_id
    union
    select
        right_id,
        right_role
    from same_name

),

-- Names are compared one by one only for records that nothing better finds, and only with names that begin alike:
-- otherwise the work grows with the square of the customers. Three proposals for a record are enough to look at.
scored_names as (

    select
        accounts.party_id as left_id,
        others.party_id as right_id,
        others.role as right_role,
        cast({{ likeness('accounts.normalised_name', 'others.normalised_name') }} as decimal(9, 8)) as score
    from others
    left join named_or_better
        on others.party_id = named_or_better.right_id and others.role = named_or_better.right_role
    inner join accounts
        on
            others.stack_group = accounts.stack_group
            and substr(others.normalised_name, 1, 2) = substr(accounts.normalised_name, 1, 2)
    where
        named_or_better.right_id is null
        and {{ likeness('accounts.normalised_name', 'others.normalised_name') }} >= {{ var('identity_review_score') }}

),

ranked_names as (

    select
        *,
        row_number() over (partition by right_id, right_role order by score desc, left_id asc) as score_rank
    from scored_names

),

similar_name as (

    select
        left_id,
        right_id,
        right_role,
        'C-1.5' as rule,
        6 as rule_rank,
        round(0.75 * score, 4) as confidence
    from ranked_names
    where score_rank <= 3

),

found as (

    select * from stored
    union all
    select * from decided
    union all
    select * from same_tax_id
    union all
    select * from same_domain
    union all
    select * from same_name
    union all
    select * from similar_name

),

-- What speaks for one account of a company speaks for the company.
best as (

    select
        companies.company_id as left_id,
        found.right_id,
        found.right_role,
        found.rule,
        found.rule_rank,
        found.confidence,
        row_number() over (
            partition by companies.company_id, found.right_id, found.right_role
            order by found.rule_rank asc, found.confidence desc
        ) as preference
    from found
    inner join companies
        on found.left_id = companies.account_id

),

kept as (

    select * from best
    where preference = 1

),

separated as (

    select distinct
        companies.company_id as left_id,
        decisions.right_id
    from decisions
    inner join companies
        on decisions.left_id = companies.account_id
    where decisions.decision = 'not_same'

),

final as (

    select
        accounts.stack_group,
        kept.left_id,
        accounts.name as left_name,
        accounts.normalised_tax_id as left_tax_id,
        others.role as right_role,
        kept.right_id,
        others.name as right_name,
        others.normalised_tax_id as right_tax_id,
        others.legal_entity_code,
        others.currency,
        others.is_active as is_right_active,
        others.source_created_at as right_created_at,
        kept.rule,
        kept.rule_rank,
        cast(kept.confidence as decimal(5, 4)) as confidence,
        -- C-3: two tax ids that differ, or the same number of two countries.
        coalesce(
            accounts.tax_number <> others.tax_number
            or accounts.tax_country <> others.tax_country and accounts.tax_number is not null and others.tax_number is not null,
            false
        ) as has_conflicting_tax_ids,
        coalesce(accounts.country_code = coalesce(others.country_code, others.tax_country), false) as has_same_country,
        separated.right_id is not null as is_decided_not_same,
        count(*) over (partition by kept.right_id, kept.right_role, kept.rule_rank) as accounts_found_by_rule,
        count(*) over (
            partition by kept.left_id, others.role, others.legal_entity_code, others.currency, kept.rule_rank
        ) as others_found_by_rule
    from kept
    inner join accounts
        on kept.left_id = accounts.party_id
    inner join others
        on kept.right_id = others.party_id and kept.right_role = others.role
    left join separated
        on kept.left_id = separated.left_id and kept.right_id = separated.right_id

)

select * from final
