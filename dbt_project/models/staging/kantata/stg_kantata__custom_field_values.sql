{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'custom_field_values') }}

),

renamed as (

    select
        -- ids
        {{ row_id('custom_field_id') }} as custom_field_id,
        {{ row_id('subject_id') }} as subject_id,

        -- text
        {{ text_or_null('subject_type') }} as subject_type,
        {{ text_or_null('custom_field_name') }} as field_name,
        {{ text_or_null('display_value') }} as display_value,
        {{ text_or_null('value') }} as value_json,

        -- loader
        _connection as connection,
        id as source_id,
        {{ utc_text('updated_at') }} as source_version,
        _deleted_at is not null as is_deleted,
        created_at as source_created_at,
        updated_at as source_updated_at,
        _loaded_at as loaded_at
    from source

)

select * from renamed
