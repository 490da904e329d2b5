{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', '_observed') }}

),

renamed as (

    select
        -- text
        _connection as connection,

        -- timestamps
        max(observed_at) as observed_at,
        max(_loaded_at) as loaded_at
    from source
    group by _connection

)

select * from renamed
