with

links as (

    select * from {{ ref('int_identity_party_links') }}

),

linked as (

    select
        right_id,
        right_role,
        max(left_id) as left_id
    from links
    where judgement = 'linked'
    group by right_id, right_role

),

-- What is linked needs nobody; what a person parted or tax ids part is not proposed again (C-3, C-4).
final as (

    select
        links.left_id || '|' || links.right_role || '|' || links.right_id as identity_candidate_id,
        links.stack_group,
        'customer' as entity,
        'crm' as left_role,
        links.left_id,
        links.left_name,
        links.right_role,
        links.right_id,
        links.right_name,
        links.rule,
        links.judgement as reason,
        links.confidence
    from links
    left join linked
        on links.right_id = linked.right_id and links.right_role = linked.right_role
    where
        linked.right_id is null
        and links.judgement <> 'linked'
        and not links.is_decided_not_same
        and not links.has_conflicting_tax_ids

)

select * from final
