{{ config(enabled=is_connected('tryton')) }}

with recursive

works as (

    select * from {{ ref('stg_tryton__works') }}

),

companies as (

    select * from {{ ref('int_tryton_companies') }}

),

statuses as (

    select * from {{ ref('stg_tryton__work_statuses') }}

),

products as (

    select * from {{ ref('int_tryton_products') }}

),

fees as (

    select * from {{ mapped_values('tryton', 'opportunity.billing_type') }} as mappings

),

-- From each record up to the project that it belongs to: itself, or what stands above it. Thirty steps end any loop.
chain as (

    select
        work_id,
        work_id as at_work_id,
        0 as steps
    from works

    union all

    select
        chain.work_id,
        works.parent_work_id as at_work_id,
        chain.steps + 1 as steps
    from chain
    inner join works
        on chain.at_work_id = works.work_id
    where works.work_type <> 'project' and works.parent_work_id is not null and chain.steps < 30

),

belonging as (

    select
        chain.work_id,
        projects.work_id as project_id,
        projects.party_id,
        projects.invoice_method
    from chain
    inner join works as projects
        on chain.at_work_id = projects.work_id and projects.work_type = 'project'

),

-- Tryton bills an hour at the price of the task; where that is left empty, at the price of its product, if that is sold by the hour.
final as (

    select
        works.work_id,
        works.parent_work_id,
        belonging.project_id,
        belonging.party_id as project_party_id,
        belonging.invoice_method,
        works.work_type,
        coalesce(works.name, works.work_number, works.source_id) as name,
        works.comment_key,
        statuses.name as status_name,
        coalesce(works.progress, statuses.progress, 0) as progress,
        coalesce(statuses.progress = 1, false) as is_done,
        works.effort_seconds,
        products.code as product_code,
        fees.canonical_value as fee_type,
        works.list_price,
        works.invoice_date,
        case
            when fees.canonical_value is null then coalesce(works.list_price, case when products.is_hourly then products.list_price end)
        end as hourly_rate,
        companies.legal_entity_code,
        companies.currency,
        companies.minor_units,
        works.connection,
        works.source_id,
        works.source_version,
        works.is_deleted,
        works.source_created_at,
        works.source_updated_at,
        works.loaded_at
    from works
    left join belonging
        on works.work_id = belonging.work_id
    left join companies
        on works.company_id = companies.company_id
    left join statuses
        on works.work_status_id = statuses.work_status_id
    left join products
        on works.product_id = products.product_id
    left join fees
        on products.code = fees.source_value

)

select * from final
