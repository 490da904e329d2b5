{{ config(enabled=is_connected('salesforce')) }}

with

contacts as (

    select * from {{ ref('stg_salesforce__contacts') }}

),

final as (

    select
        contacts.contact_id,
        contacts.account_id,
        coalesce(contacts.name, contacts.last_name, contacts.source_id) as name,
        contacts.first_name,
        contacts.last_name,
        contacts.email,
        contacts.title,
        contacts.phone,
        -- provenance
        contacts.connection,
        contacts.source_id,
        contacts.source_version,
        '/' || contacts.source_id as source_path,
        contacts.is_deleted,
        contacts.source_created_at,
        contacts.source_updated_at,
        contacts.loaded_at
    from contacts

)

select * from final
