{{ config(enabled=is_connected('tryton')) }}

with

terms as (

    select * from {{ ref('stg_tryton__payment_terms') }}

),

lines as (

    select * from {{ ref('stg_tryton__payment_term_lines') }}
    where not is_deleted

),

deltas as (

    select * from {{ ref('stg_tryton__payment_term_deltas') }}
    where not is_deleted

),

-- Only a term of one part, due a number of days or weeks after the invoice, is a plain number of days.
parts as (

    select
        lines.payment_term_id,
        count(distinct lines.payment_term_line_id) as parts,
        sum(coalesce(deltas.days, 0) + 7 * coalesce(deltas.weeks, 0)) as net_days,
        bool_or(coalesce(deltas.months, 0) <> 0 or deltas.day is not null) as is_by_month
    from lines
    left join deltas
        on lines.payment_term_line_id = deltas.payment_term_line_id
    group by lines.payment_term_id

),

final as (

    select
        terms.payment_term_id,
        coalesce(terms.name, terms.source_id) as name,
        case when parts.parts = 1 and not parts.is_by_month then parts.net_days end as net_days,
        terms.is_active and not terms.is_deleted as is_active,
        -- provenance
        terms.connection,
        terms.source_id,
        terms.source_version,
        '/model/account.invoice.payment_term/' || terms.source_id as source_path,
        terms.is_deleted,
        terms.source_created_at,
        terms.source_updated_at,
        terms.loaded_at
    from terms
    left join parts
        on terms.payment_term_id = parts.payment_term_id

)

select * from final
