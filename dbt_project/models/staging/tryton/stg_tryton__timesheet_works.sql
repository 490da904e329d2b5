{{ config(enabled=is_connected('tryton')) }}

with

source as (

    select * from {{ source('raw_tryton', 'timesheet_work') }}

),

renamed as (

    select
        -- ids
        {{ row_id('id') }} as timesheet_work_id,
        {{ row_id('company') }} as company_id,
        case when origin like 'project.work,%' then _connection || ':' || split_part(origin, ',', 2) end as work_id,

        -- text
        {{ text_or_null('name') }} as name,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('last_modified_at') }} as source_version,
        _deleted_at is not null as is_deleted,
        create_date as source_created_at,
        last_modified_at as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
