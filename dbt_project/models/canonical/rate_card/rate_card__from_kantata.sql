{{ config(enabled=is_connected('kantata')) }}

with

sets as (

    select * from {{ ref('stg_kantata__rate_card_sets') }}

),

cards as (

    select * from {{ ref('stg_kantata__rate_cards') }}

),

set_versions as (

    select * from {{ ref('stg_kantata__rate_card_set_versions') }}

),

versions as (

    select * from {{ ref('stg_kantata__rate_card_versions') }}

),

role_rates as (

    select * from {{ ref('stg_kantata__rate_card_roles') }}

),

-- A version counts once it is activated, from its day until the next version's (R-2).
spans as (

    select
        versions.rate_card_version_id,
        cards.rate_card_id,
        cards.rate_card_set_id,
        cards.connection,
        cards.currency,
        coalesce(sets.title, sets.source_id) as card_name,
        sets.is_account_default as is_default_card,
        set_versions.effective_date as effective_from,
        lead(set_versions.effective_date) over (
            partition by cards.rate_card_id
            order by set_versions.effective_date, versions.source_created_at, versions.source_id
        ) as effective_to
    from versions
    inner join cards
        on versions.rate_card_id = cards.rate_card_id
    inner join sets
        on cards.rate_card_set_id = sets.rate_card_set_id
    inner join set_versions
        on versions.rate_card_set_version_id = set_versions.rate_card_set_version_id
    where
        set_versions.is_active
        and set_versions.effective_date is not null
        and not versions.is_deleted
        and not set_versions.is_deleted
        and not cards.is_deleted

),

rates as (

    select
        role_rates.rate_card_version_id,
        role_rates.role_id,
        role_rates.rate,
        role_rates.source_id,
        role_rates.source_version,
        role_rates.is_deleted,
        role_rates.source_created_at,
        role_rates.source_updated_at,
        role_rates.loaded_at
    from role_rates
    where not role_rates.is_deleted and role_rates.role_id is not null

    union all

    select
        versions.rate_card_version_id,
        cast(null as text) as role_id,
        versions.default_rate as rate,
        versions.source_id,
        versions.source_version,
        versions.is_deleted,
        versions.source_created_at,
        versions.source_updated_at,
        versions.loaded_at
    from versions

),

final as (

    select
        spans.rate_card_id || ':' || split_part(spans.rate_card_version_id, ':', 2) || ':' || coalesce(split_part(rates.role_id, ':', 2), 'default') as rate_card_rate_id,
        spans.rate_card_id,
        spans.rate_card_set_id,
        spans.rate_card_version_id,
        rates.role_id,
        spans.card_name,
        spans.currency,
        rates.rate,
        spans.is_default_card,
        rates.role_id is null as is_default_rate,
        spans.effective_from,
        spans.effective_to,

        -- provenance
        spans.connection,
        rates.source_id,
        rates.source_version,
        '/rate_cards/' || split_part(spans.rate_card_id, ':', 2) as source_path,
        rates.is_deleted,
        rates.source_created_at,
        rates.source_updated_at,
        rates.loaded_at
    from spans
    inner join rates
        on spans.rate_card_version_id = rates.rate_card_version_id

)

select * from final
