{{ config(enabled=is_connected('kantata')) }}

-- One row per issued ledger invoice of a PSA project: the PSA's mirror of it, so that billed hours show as billed (S-6, S-8).

with

invoices as (

    select * from {{ ref('int_project_invoices') }}
    where invoice_type = 'invoice' and not is_deleted and external_key like 'INV|_%' escape '|'

),

invoice_lines as (

    select
        *,
        {{ text_part('source_entity_id', ':', 2) }} as record_id
    from {{ ref('canonical__invoice_line') }}
    where source_entity_id is not null and not is_deleted

),

projects as (

    select * from {{ ref('canonical__project') }}

),

psa_invoices as (

    select * from {{ ref('canonical__psa_invoice') }}

),

psa_invoice_lines as (

    select * from {{ ref('canonical__psa_invoice_line') }}
    where not is_deleted

),

stacks as (

    select * from {{ stacks_written('psa', 'kantata') }} as written

),

mirrors as (

    select
        accounting_id as invoice_id,
        min(psa_id) as psa_invoice_id
    from {{ ref('canonical__identity') }}
    where entity = 'invoice' and accounting_id is not null and psa_id is not null
    group by accounting_id

),

record_ids as (

    select
        invoice_id,
        to_json(list(record_id order by record_id) filter (where source_entity = 'time_entry')) as time_entry_ids,
        to_json(list(record_id order by record_id) filter (where source_entity = 'expense')) as expense_ids,
        to_json(list(record_id order by record_id) filter (where source_entity = 'milestone')) as billing_milestone_ids
    from invoice_lines
    group by invoice_id

),

-- Work of a voided document that is billed anew may still stand on the old mirror, and the PSA bills nothing twice.
held_elsewhere as (

    select
        invoice_lines.invoice_id,
        psa_invoices.psa_invoice_id,
        min(coalesce(psa_invoices.invoice_number, psa_invoices.source_id)) as psa_invoice_number
    from invoice_lines
    inner join psa_invoice_lines
        on
            invoice_lines.source_entity = psa_invoice_lines.source_entity
            and invoice_lines.source_entity_id = psa_invoice_lines.source_entity_id
    inner join psa_invoices
        on psa_invoice_lines.psa_invoice_id = psa_invoices.psa_invoice_id
    where
        invoice_lines.source_entity in ('time_entry', 'expense')
        and not psa_invoices.is_deleted
        and coalesce(psa_invoices.state, 'unknown') <> 'voided'
    group by invoice_lines.invoice_id, psa_invoices.psa_invoice_id

),

blocked as (

    select
        held_elsewhere.invoice_id,
        'S-6: its work still stands on the PSA''s invoice ' || string_agg(held_elsewhere.psa_invoice_number, ', ' order by held_elsewhere.psa_invoice_number)
        || '; cancel that in the PSA' as reason
    from held_elsewhere
    left join mirrors
        on held_elsewhere.invoice_id = mirrors.invoice_id
    where mirrors.psa_invoice_id is null
    group by held_elsewhere.invoice_id

),

-- Only what is issued gets a mirror; a mirror that is there hears of the voiding as well (S-6).
final as (

    select
        invoices.external_key as invoice_key,
        stacks.psa_connection as _connection,
        psa_invoices.source_id as _target_id,
        blocked.reason as _hold_reason,
        {{ source_refs([('invoices', 'invoice')]) }} as _source_refs,
        projects.source_id as workspace_id,
        'Ledger invoice ' || coalesce(invoices.invoice_number, invoices.source_id) as message,
        invoices.po_number as purchase_order,
        invoices.state as external_status,
        cast(record_ids.time_entry_ids as varchar) as time_entry_ids,
        cast(record_ids.expense_ids as varchar) as expense_ids,
        cast(record_ids.billing_milestone_ids as varchar) as billing_milestone_ids,
        invoices.currency,
        cast(invoices.net_amount as decimal(20, 4)) as net_amount,
        greatest(0, {{ days_between('invoices.invoice_date', 'invoices.due_date') }}) as payment_schedule,
        false as is_draft,
        true as is_email_suppressed,
        invoices.invoice_date
    from invoices
    inner join record_ids
        on invoices.invoice_id = record_ids.invoice_id
    inner join projects
        on invoices.project_id = projects.project_id
    inner join stacks
        on invoices.stack = stacks.stack
    left join blocked
        on invoices.invoice_id = blocked.invoice_id
    left join mirrors
        on invoices.invoice_id = mirrors.invoice_id
    left join psa_invoices
        on mirrors.psa_invoice_id = psa_invoices.psa_invoice_id
    where
        (invoices.is_posted and not invoices.is_voided)
        or (invoices.is_voided and psa_invoices.state <> 'voided' and not psa_invoices.is_deleted)

)

select * from final
