with

source as (

    select * from {{ source('raw_tieout', 'entries') }}

),

renamed as (

    select
        -- ids
        entry_id,
        plan_id,
        run_id,
        target_id,

        -- text
        sync,
        platform,
        "connection" as connection,
        object,
        "key" as key,
        verb,
        state,
        reason,
        "owner" as owner,
        fields_json,
        before_json,
        source_refs,
        currency,

        -- numbers
        amount,
        attempts,

        -- timestamps
        created_at,
        sent_at,
        confirmed_at,
        settled_at,
        updated_at,

        -- loader
        _loaded_at as loaded_at
    from source

)

select * from renamed
