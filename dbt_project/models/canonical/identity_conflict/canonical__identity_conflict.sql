with

links as (

    select * from {{ ref('int_identity_party_links') }}

),

-- One record may be both client and customer: the conflict is one.
final as (

    select distinct
        left_id || '|' || right_role || '|' || right_id as identity_conflict_id,
        stack_group,
        'customer' as entity,
        left_id,
        right_id,
        rule,
        left_tax_id,
        right_tax_id
    from links
    -- Names and domains of groups are often alike; only a link that somebody stored or decided is worth a person's time.
    where has_conflicting_tax_ids and rule in ('C-1.1', 'C-4')

)

select * from final
