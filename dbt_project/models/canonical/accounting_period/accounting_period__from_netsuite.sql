{{ config(enabled=is_connected('netsuite')) }}

with

periods as (

    select * from {{ ref('stg_netsuite__accounting_periods') }}

),

final as (

    select
        periods.accounting_period_id,
        cast(null as text) as legal_entity_id,
        coalesce(periods.name, periods.source_id) as name,
        case
            when periods.is_year then 'year'
            when periods.is_quarter then 'quarter'
            else 'month'
        end as period_type,
        not periods.is_posting and not periods.is_year and not periods.is_quarter as is_adjustment,
        periods.is_closed,
        periods.is_receivables_locked or periods.is_fully_locked as is_receivables_locked,
        periods.is_posting
        and not periods.is_year
        and not periods.is_quarter
        and not periods.is_closed
        and not periods.is_receivables_locked
        and not periods.is_fully_locked
        and not periods.is_deleted as is_open_for_invoices,
        periods.start_date,
        periods.end_date,
        -- provenance
        periods.connection,
        periods.source_id,
        cast(null as text) as source_version,
        '/app/setup/period/fiscalperiod.nl?id=' || periods.source_id as source_path,
        periods.is_deleted,
        cast(null as timestamp with time zone) as source_created_at,
        cast(null as timestamp with time zone) as source_updated_at,
        periods.loaded_at
    from periods

)

select * from final
