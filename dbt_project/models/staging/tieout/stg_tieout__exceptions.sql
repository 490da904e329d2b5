with

source as (

    select * from {{ source('raw_tieout', 'exceptions') }}

),

renamed as (

    select
        -- ids
        exception_id,

        -- text
        sync,
        "connection" as connection,
        "key" as key,
        kind,
        reason,
        "owner" as owner,
        decision,
        decided_by,

        -- timestamps
        opened_at,
        closed_at,

        -- loader
        _loaded_at as loaded_at
    from source

)

select * from renamed
