with

pairs as (

    select * from {{ ref('int_identity_party_pairs') }}

),

-- Step 3 of 3: what may be linked without a person (C-1, C-3, C-4).
judged as (

    select
        *,
        case
            when is_decided_not_same then 'decided: not the same'
            when has_conflicting_tax_ids then 'tax ids differ'
            when rule in ('C-1.1', 'C-4') then 'linked'
            when rule = 'C-1.2' and accounts_found_by_rule > 1 then 'several accounts have this tax id'
            when rule = 'C-1.2' then 'linked'
            when rule = 'C-1.5' then 'names are only similar'
            when not has_same_country then 'the country is unknown on one side or differs'
            when accounts_found_by_rule > 1 then 'several accounts match'
            when others_found_by_rule > 1 then 'the account matches several records'
            else 'linked'
        end as judgement
    from pairs

),

-- One account for each record; for each account one client, and one customer per legal entity and currency (C-7).
ranked_by_record as (

    select
        *,
        row_number() over (partition by right_id, right_role order by rule_rank, left_id) as record_preference
    from judged
    where judgement = 'linked'

),

ranked_by_account as (

    select
        *,
        row_number() over (
            partition by left_id, right_role, legal_entity_code, currency
            order by
                rule_rank,
                case when is_right_active then 1 else 2 end,
                right_created_at,
                right_id
        ) as customer_preference,
        row_number() over (
            partition by left_id, right_role
            order by rule_rank, right_created_at, right_id
        ) as client_preference
    from ranked_by_record
    where record_preference = 1

),

chosen as (

    select
        left_id,
        right_id,
        right_role
    from ranked_by_account
    where (right_role = 'accounting' and customer_preference = 1) or (right_role = 'psa' and client_preference = 1)

),

final as (

    select
        judged.stack_group,
        judged.left_id,
        judged.left_name,
        judged.left_tax_id,
        judged.right_role,
        judged.right_id,
        judged.right_name,
        judged.right_tax_id,
        judged.legal_entity_code,
        judged.currency,
        judged.rule,
        judged.confidence,
        judged.has_conflicting_tax_ids,
        judged.is_decided_not_same,
        case
            when chosen.right_id is not null then 'linked'
            when judged.judgement = 'linked' then 'another record is already linked'
            else judged.judgement
        end as judgement
    from judged
    left join chosen
        on
            judged.left_id = chosen.left_id
            and judged.right_id = chosen.right_id
            and judged.right_role = chosen.right_role

)

select * from final
