{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'external_references') }}

),

renamed as (

    select
        -- ids
        {{ row_id('subject_id') }} as subject_id,
        subject_id as subject_source_id,

        -- text
        {{ text_or_null('subject_type') }} as subject_type,
        {{ text_or_null('service_name') }} as service_name,
        {{ text_or_null('service_model') }} as service_model,
        {{ text_or_null('service_model_ref') }} as service_reference,
        {{ text_or_null('status') }} as status,
        {{ text_or_null('external_status') }} as external_status,
        {{ text_or_null('external_message') }} as external_message,
        {{ text_or_null('external_link') }} as external_link,

        -- booleans
        coalesce(locked, false) as is_locked,

        -- timestamps
        last_synced_at,

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
