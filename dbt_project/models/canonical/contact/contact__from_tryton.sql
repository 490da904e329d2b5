{{ config(enabled=is_connected('tryton')) }}

with

mechanisms as (

    select * from {{ ref('stg_tryton__contact_mechanisms') }}
    where contact_name is not null

),

parties as (

    select * from {{ ref('int_tryton_parties') }}

),

-- Tryton has no contact of its own: a telephone number or an e-mail may say whom it reaches, and whoever several of them name is one person.
people as (

    select
        party_id,
        lower(contact_name) as person,
        first(contact_name order by sort_order nulls last, contact_mechanism_id) as name,
        lower(first(value order by sort_order nulls last, contact_mechanism_id) filter (where mechanism_type = 'email')) as email,
        first(value order by sort_order nulls last, contact_mechanism_id) filter (where mechanism_type in ('phone', 'mobile')) as phone,
        first(source_id order by cast(source_id as bigint)) as source_id,
        max(source_version) as source_version,
        bool_and(is_deleted or not is_active) as is_deleted,
        min(source_created_at) as source_created_at,
        max(source_updated_at) as source_updated_at,
        max(loaded_at) as loaded_at
    from mechanisms
    group by party_id, lower(contact_name)

),

final as (

    select
        parties.connection || ':' || people.source_id as contact_id,
        people.party_id as account_id,
        people.name,
        cast(null as text) as first_name,
        cast(null as text) as last_name,
        people.email,
        cast(null as text) as title,
        people.phone,
        -- provenance
        parties.connection,
        people.source_id,
        people.source_version,
        '/model/party.party/' || parties.source_id as source_path,
        people.is_deleted or parties.is_deleted as is_deleted,
        people.source_created_at,
        people.source_updated_at,
        people.loaded_at
    from people
    inner join parties
        on people.party_id = parties.party_id

)

select * from final
