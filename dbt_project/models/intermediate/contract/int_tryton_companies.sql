{{ config(enabled=is_connected('tryton')) }}

with

companies as (

    select * from {{ ref('stg_tryton__companies') }}

),

parties as (

    select * from {{ ref('stg_tryton__parties') }}

),

currencies as (

    select * from {{ ref('stg_tryton__currencies') }}

),

addresses as (

    select * from {{ ref('stg_tryton__party_addresses') }}
    where is_active and not is_deleted

),

countries as (

    select * from {{ ref('stg_tryton__countries') }}

),

first_countries as (

    select
        addresses.party_id,
        first(countries.country_code order by addresses.sort_order nulls last, addresses.source_id) as country_code
    from addresses
    inner join countries
        on addresses.country_id = countries.country_id
    group by addresses.party_id

),

final as (

    select
        companies.company_id,
        companies.party_id,
        parties.party_code as legal_entity_code,
        coalesce(parties.name, parties.party_code, companies.source_id) as name,
        first_countries.country_code,
        currencies.currency,
        currencies.minor_units,
        companies.connection,
        companies.source_id,
        companies.source_version,
        companies.is_deleted,
        companies.source_created_at,
        companies.source_updated_at,
        companies.loaded_at
    from companies
    left join parties
        on companies.party_id = parties.party_id
    left join currencies
        on companies.currency_id = currencies.currency_id
    left join first_countries
        on companies.party_id = first_countries.party_id

)

select * from final
