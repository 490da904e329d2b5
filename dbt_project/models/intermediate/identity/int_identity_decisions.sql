with

seeded as (

    select
        left_id,
        right_id,
        decision,
        cast(decided_on as timestamp with time zone) as decided_at
    from {{ ref('identity_decisions') }}

),

-- The exceptions desk keeps the pair as its key: left id, vertical bar, right id.
taken as (

    select
        {{ text_part('key', '|', 1) }} as left_id,
        {{ text_part('key', '|', 2) }} as right_id,
        decision,
        closed_at as decided_at
    from {{ ref('stg_tieout__exceptions') }}
    where kind = 'identity' and decision in ('same', 'not_same')

),

ranked as (

    select
        *,
        row_number() over (
            partition by left_id, right_id
            -- "Not the same" is permanent (C-4), whatever was said later.
            order by case decision when 'not_same' then 1 else 2 end, decided_at desc
        ) as preference
    from (
        select * from seeded
        union all
        select * from taken
    ) as both_kinds

),

final as (

    select
        left_id,
        right_id,
        decision
    from ranked
    where preference = 1

)

select * from final
