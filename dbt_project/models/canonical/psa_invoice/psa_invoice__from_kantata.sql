{{ config(enabled=is_connected('kantata')) }}

with

invoices as (

    select * from {{ ref('stg_kantata__invoices') }}

),

sources as (

    select * from {{ ref('int_kantata_billed_sources') }}

),

states as (

    select * from {{ mapped_values('kantata', 'psa_invoice.state') }} as mappings

),

held as (

    select
        psa_invoice_id,
        count(*) as line_count
    from sources
    group by psa_invoice_id

),

final as (

    select
        invoices.psa_invoice_id,
        invoices.invoice_number,
        invoices.title,
        case when invoices.is_draft and states.canonical_value = 'issued' then 'draft' else states.canonical_value end as state,
        invoices.status as source_state,
        invoices.currency,
        coalesce(invoices.total_amount, 0) as total_amount,
        invoices.tax_rate_percent,
        coalesce(held.line_count, 0) as line_count,
        invoices.po_number,
        invoices.invoice_date,
        invoices.due_date,
        -- provenance
        invoices.connection,
        invoices.source_id,
        invoices.source_version,
        '/invoices/' || invoices.source_id as source_path,
        invoices.is_deleted,
        invoices.source_created_at,
        invoices.source_updated_at,
        invoices.loaded_at
    from invoices
    left join held
        on invoices.psa_invoice_id = held.psa_invoice_id
    left join states
        on invoices.status = states.source_value

)

select * from final
