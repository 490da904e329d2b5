{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'quarantine') }}

),

renamed as (

    select
        -- ids
        record_id,

        -- text
        _connection as connection,
        table_name,
        rule,
        reason,

        -- loader
        _loaded_at as loaded_at
    from source
    where _deleted_at is null

)

select * from renamed
