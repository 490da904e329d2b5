with

source as (

    select * from {{ source('raw_tieout', 'plans') }}

),

renamed as (

    select
        -- ids
        plan_id,
        run_id,

        -- text
        sync,
        state,

        -- timestamps
        created_at,

        -- loader
        _loaded_at as loaded_at
    from source

)

select * from renamed
