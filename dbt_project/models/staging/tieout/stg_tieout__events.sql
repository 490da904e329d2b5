with

source as (

    select * from {{ source('raw_tieout', 'events') }}

),

renamed as (

    select
        -- ids
        event_id,
        entry_id,
        run_id,

        -- text
        from_state,
        to_state,
        reason,

        -- timestamps
        "at" as occurred_at,

        -- loader
        _loaded_at as loaded_at
    from source

)

select * from renamed
