with

source as (

    select * from {{ source('raw_tieout', 'runs') }}

),

renamed as (

    select
        -- ids
        run_id,

        -- text
        kind,
        status,

        -- timestamps
        started_at,
        finished_at,

        -- loader
        _loaded_at as loaded_at
    from source

)

select * from renamed
