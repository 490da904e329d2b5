with recursive

accounts as (

    select
        account_id,
        merged_into_account_id
    from {{ ref('canonical__account') }}

),

-- A survivor may lose a later merge: follow the chain to its end. Ten merges in a row end any loop of ids.
chain as (

    select
        account_id,
        account_id as survivor_id,
        0 as merge_count
    from accounts

    union all

    select
        chain.account_id,
        accounts.merged_into_account_id as survivor_id,
        chain.merge_count + 1 as merge_count
    from chain
    inner join accounts
        on chain.survivor_id = accounts.account_id
    where accounts.merged_into_account_id is not null and chain.merge_count < 10

),

ranked as (

    select
        account_id,
        survivor_id,
        merge_count,
        row_number() over (partition by account_id order by merge_count desc) as position_from_end
    from chain

),

final as (

    select
        account_id,
        survivor_id,
        merge_count
    from ranked
    where position_from_end = 1

)

select * from final
