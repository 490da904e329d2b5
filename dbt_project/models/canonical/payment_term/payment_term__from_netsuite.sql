{{ config(enabled=is_connected('netsuite')) }}

with

terms as (

    select * from {{ ref('stg_netsuite__terms') }}

),

final as (

    select
        terms.payment_term_id,
        coalesce(terms.name, terms.source_id) as name,
        terms.net_days,
        not terms.is_inactive and not terms.is_deleted as is_active,
        -- provenance
        terms.connection,
        terms.source_id,
        cast(null as text) as source_version,
        '/app/common/accounting/term.nl?id=' || terms.source_id as source_path,
        terms.is_deleted,
        cast(null as timestamp with time zone) as source_created_at,
        cast(null as timestamp with time zone) as source_updated_at,
        terms.loaded_at
    from terms

)

select * from final
