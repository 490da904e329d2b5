with

source as (

    select * from {{ source('raw_tieout', 'attempts') }}

),

renamed as (

    select
        -- ids
        attempt_id,
        entry_id,
        run_id,

        -- text
        outcome,
        reason,

        -- timestamps
        started_at,
        finished_at,

        -- loader
        _loaded_at as loaded_at
    from source

)

select * from renamed
