with

source as (

    select * from {{ source('raw_tieout', 'known_records') }}

),

renamed as (

    select
        -- ids
        target_id,
        entry_id,

        -- text
        sync,
        "connection" as connection,
        "key" as key,
        fields_json,
        target_version,

        -- timestamps
        written_at,

        -- loader
        _loaded_at as loaded_at
    from source

)

select * from renamed
