{{ config(enabled=is_connected('tryton')) }}

with

parties as (

    select * from {{ ref('stg_tryton__parties') }}

),

companies as (

    select * from {{ ref('stg_tryton__companies') }}

),

employees as (

    select * from {{ ref('stg_tryton__employees') }}

),

identifiers as (

    select * from {{ ref('stg_tryton__party_identifiers') }}
    where is_active and not is_deleted

),

addresses as (

    select * from {{ ref('stg_tryton__party_addresses') }}
    where is_active and not is_deleted

),

mechanisms as (

    select * from {{ ref('stg_tryton__contact_mechanisms') }}
    where is_active and not is_deleted

),

countries as (

    select * from {{ ref('stg_tryton__countries') }}

),

subdivisions as (

    select * from {{ ref('stg_tryton__subdivisions') }}

),

payment_terms as (

    select * from {{ ref('stg_tryton__payment_terms') }}

),

-- A firm keeps itself and its people as parties too; nobody sells to those.
own as (

    select party_id from companies
    union
    select party_id from employees

),

-- Tryton reads `vat` off the kind of number; the first number of another kind stands in where there is none.
tax_ids as (

    select
        party_id,
        first(code order by coalesce(identifier_type like '%vat%', false) desc, sort_order asc nulls last, source_id asc) as tax_id
    from identifiers
    group by party_id

),

-- What is meant for invoices goes before the rest, and then the order that people gave.
ranked_addresses as (

    select
        *,
        row_number() over (partition by party_id order by is_for_invoices desc, sort_order asc nulls last, source_id asc) as preference
    from addresses

),

reached as (

    select
        party_id,
        lower(first(value order by is_for_invoices desc, sort_order asc nulls last, source_id asc) filter (where mechanism_type = 'email')) as email,
        first(value order by (mechanism_type = 'phone') desc, sort_order asc nulls last, source_id asc) filter (where mechanism_type in ('phone', 'mobile')) as phone,
        first(value order by sort_order nulls last, source_id) filter (where mechanism_type = 'website') as website
    from mechanisms
    group by party_id

),

final as (

    select
        parties.party_id,
        parties.replaced_by_party_id,
        parties.payment_term_id,
        coalesce(parties.name, parties.party_code, parties.source_id) as name,
        parties.party_code,
        tax_ids.tax_id,
        reached.email,
        reached.phone,
        reached.website,
        {{ company_domain('reached.website', 'reached.email') }} as domain,
        ranked_addresses.street,
        ranked_addresses.city,
        subdivisions.name as region,
        ranked_addresses.postal_code,
        countries.country_code,
        payment_terms.name as payment_terms,
        parties.is_active,
        parties.connection,
        parties.source_id,
        parties.source_version,
        parties.is_deleted,
        parties.source_created_at,
        parties.source_updated_at,
        parties.loaded_at
    from parties
    left join own
        on parties.party_id = own.party_id
    left join tax_ids
        on parties.party_id = tax_ids.party_id
    left join reached
        on parties.party_id = reached.party_id
    left join ranked_addresses
        on parties.party_id = ranked_addresses.party_id and ranked_addresses.preference = 1
    left join countries
        on ranked_addresses.country_id = countries.country_id
    left join subdivisions
        on ranked_addresses.subdivision_id = subdivisions.subdivision_id
    left join payment_terms
        on parties.payment_term_id = payment_terms.payment_term_id
    where own.party_id is null

)

select * from final
