{{ config(enabled=is_connected('kantata')) }}

with

groups as (

    select * from {{ ref('stg_kantata__workspace_groups') }}

),

field_values as (

    select * from {{ ref('stg_kantata__custom_field_values') }}

),

custom_fields as (

    select
        subject_id,
        max(case when field_name = 'VAT Number' then nullif(display_value, '') end) as tax_id,
        max(case when field_name = 'Currency' then nullif(display_value, '') end) as currency
    from field_values
    where subject_type = 'WorkspaceGroup' and not is_deleted
    group by subject_id

),

final as (

    select
        groups.client_id,
        coalesce(groups.name, groups.source_id) as name,
        custom_fields.tax_id,
        groups.email,
        groups.website,
        {{ company_domain('groups.website', 'groups.email') }} as domain,
        groups.phone,
        groups.address,
        custom_fields.currency,
        groups.is_company,
        -- provenance
        groups.connection,
        groups.source_id,
        groups.source_version,
        '/workspace_groups/' || groups.source_id as source_path,
        groups.is_deleted,
        groups.source_created_at,
        groups.source_updated_at,
        groups.loaded_at
    from groups
    left join custom_fields
        on groups.client_id = custom_fields.subject_id

)

select * from final
