{{ config(enabled=is_connected('netsuite')) }}

with

source as (

    select * from {{ source('raw_netsuite', 'accountingperiod') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as accounting_period_id,

        -- text
        {{ text_or_null('periodname') }} as name,

        -- booleans
        {{ letter_flag('closed') }} as is_closed,
        {{ letter_flag('arlocked') }} as is_receivables_locked,
        {{ letter_flag('alllocked') }} as is_fully_locked,
        {{ letter_flag('isposting') }} as is_posting,
        {{ letter_flag('isquarter') }} as is_quarter,
        {{ letter_flag('isyear') }} as is_year,

        -- dates
        startdate as start_date,
        enddate as end_date,

        -- loader
        _connection as connection,
        id as source_id,
        _deleted_at is not null as is_deleted,
        _loaded_at as loaded_at
    from source

)

select * from renamed
