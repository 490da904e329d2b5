{{ config(enabled=is_connected('kantata')) }}

with

sources as (

    select * from {{ ref('int_kantata_billed_sources') }}

),

invoices as (

    select * from {{ ref('stg_kantata__invoices') }}

),

time_entries as (

    select * from {{ ref('canonical__time_entry') }}

),

expenses as (

    select * from {{ ref('canonical__expense') }}

),

milestones as (

    select * from {{ ref('canonical__milestone') }}

),

final as (

    select
        sources.psa_invoice_id || ':' || sources.source_entity || ':' || split_part(sources.source_entity_id, ':', 2) as psa_invoice_line_id,
        sources.psa_invoice_id,
        sources.source_entity,
        sources.source_entity_id,
        invoices.currency,
        case sources.source_entity
            when 'time_entry' then time_entries.billable_amount
            when 'expense' then expenses.billable_amount
            when 'milestone' then milestones.amount
        end as amount,

        -- provenance
        invoices.connection,
        invoices.source_id || ':' || sources.source_entity || ':' || split_part(sources.source_entity_id, ':', 2) as source_id,
        invoices.source_version,
        '/invoices/' || invoices.source_id as source_path,
        invoices.is_deleted,
        invoices.source_created_at,
        invoices.source_updated_at,
        sources.loaded_at
    from sources
    inner join invoices
        on sources.psa_invoice_id = invoices.psa_invoice_id
    left join time_entries
        on sources.source_entity_id = time_entries.time_entry_id and sources.source_entity = 'time_entry'
    left join expenses
        on sources.source_entity_id = expenses.expense_id and sources.source_entity = 'expense'
    left join milestones
        on sources.source_entity_id = milestones.milestone_id and sources.source_entity = 'milestone'

)

select * from final
