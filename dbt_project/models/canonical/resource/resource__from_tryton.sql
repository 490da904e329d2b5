{{ config(enabled=is_connected('tryton')) }}

with

employees as (

    select * from {{ ref('stg_tryton__employees') }}

),

parties as (

    select * from {{ ref('stg_tryton__parties') }}

),

mechanisms as (

    select * from {{ ref('stg_tryton__contact_mechanisms') }}
    where mechanism_type = 'email' and is_active and not is_deleted

),

companies as (

    select * from {{ ref('int_tryton_companies') }}

),

observations as (

    select * from {{ ref('stg_tryton__observations') }}

),

emails as (

    select
        party_id,
        lower(first(value order by sort_order nulls last, contact_mechanism_id)) as email
    from mechanisms
    group by party_id

),

final as (

    select
        employees.employee_id as resource_id,
        cast(null as text) as default_role_id,
        coalesce(parties.name, employees.source_id) as name,
        emails.email,
        cast(null as text) as title,
        companies.currency,
        cast(null as decimal(20, 4)) as bill_rate,
        employees.cost_rate,
        cast(null as decimal(9, 4)) as billable_target_percent,
        employees.is_active
        and not employees.is_deleted
        and coalesce(employees.end_date >= {{ business_date('observations.observed_at') }}, true) as is_active,
        -- provenance
        employees.connection,
        employees.source_id,
        employees.source_version,
        '/model/company.employee/' || employees.source_id as source_path,
        employees.is_deleted,
        employees.source_created_at,
        employees.source_updated_at,
        employees.loaded_at
    from employees
    left join parties
        on employees.party_id = parties.party_id
    left join emails
        on employees.party_id = emails.party_id
    left join companies
        on employees.company_id = companies.company_id
    left join observations
        on employees.connection = observations.connection

)

select * from final
