{{ config(enabled=is_connected('tryton')) }}

with

periods as (

    select * from {{ ref('stg_tryton__periods') }}

),

final as (

    select
        periods.accounting_period_id,
        periods.company_id as legal_entity_id,
        coalesce(periods.name, periods.source_id) as name,
        -- Invoices are dated in standard periods, whatever their length; a firm may close by the quarter.
        'month' as period_type,
        coalesce(periods.period_type <> 'standard', true) as is_adjustment,
        coalesce(periods.state <> 'open', true) as is_closed,
        coalesce(periods.state = 'locked', true) as is_receivables_locked,
        coalesce(periods.period_type = 'standard' and periods.state = 'open', false) and not periods.is_deleted as is_open_for_invoices,
        periods.start_date,
        periods.end_date,
        -- provenance
        periods.connection,
        periods.source_id,
        periods.source_version,
        '/model/account.period/' || periods.source_id as source_path,
        periods.is_deleted,
        periods.source_created_at,
        periods.source_updated_at,
        periods.loaded_at
    from periods

)

select * from final
