{{ config(enabled=is_connected('netsuite')) }}

with

jobs as (

    select * from {{ ref('stg_netsuite__jobs') }}

),

currencies as (

    select * from {{ ref('stg_netsuite__currencies') }}

),

final as (

    select
        jobs.ledger_project_id,
        jobs.customer_id,
        jobs.legal_entity_id,
        jobs.project_number,
        coalesce(jobs.name, jobs.source_id) as name,
        jobs.external_key,
        currencies.currency,
        not jobs.is_inactive and not jobs.is_deleted as is_active,
        jobs.start_date,
        jobs.projected_end_date as end_date,
        -- provenance
        jobs.connection,
        jobs.source_id,
        jobs.source_version,
        '/app/accounting/project/project.nl?id=' || jobs.source_id as source_path,
        jobs.is_deleted,
        jobs.source_created_at,
        jobs.source_updated_at,
        jobs.loaded_at
    from jobs
    left join currencies
        on jobs.currency_id = currencies.currency_id

)

select * from final
