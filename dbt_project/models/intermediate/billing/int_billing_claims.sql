-- One row per source entry that already stands on an invoice: in the ledger, or on its way there (B-4).
-- A voided, rejected or deleted document gives its entries back (S-6); a credited one does not (I-7: finance decides).

with

invoices as (

    select * from {{ ref('canonical__invoice') }}

),

invoice_lines as (

    select * from {{ ref('canonical__invoice_line') }}

),

sent_lines as (

    select * from {{ ref('canonical__sent_invoice_line') }}
    where state in ('sent', 'uncertain', 'confirmed', 'settled')

),

-- A document in a state that nobody mapped keeps its work: billing it twice is worse than billing it late.
ledger_lines as (

    select
        invoice_lines.source_reference,
        invoice_lines.invoice_line_id,
        invoice_lines.amount,
        invoices.invoice_id,
        invoices.external_key as invoice_key,
        invoices.state,
        invoices.stack_group
    from invoice_lines
    inner join invoices
        on invoice_lines.invoice_id = invoices.invoice_id
    where
        invoices.invoice_type = 'invoice'
        and not invoices.is_deleted
        and not invoice_lines.is_deleted
        and not invoices.is_voided
        and coalesce(invoices.state, 'unknown') not in ('voided', 'rejected')
        and invoice_lines.source_reference is not null

),

-- Any document with this key that the ledger has ever shown: from then on the ledger is believed, not the journal.
ledger_keys as (

    select distinct
        connection,
        external_key
    from invoices
    where external_key is not null

),

journal_lines as (

    select
        sent_lines.source_reference,
        sent_lines.amount,
        sent_lines.invoice_key,
        sent_lines.stack_group
    from sent_lines
    left join ledger_keys
        on sent_lines.connection = ledger_keys.connection and sent_lines.invoice_key = ledger_keys.external_key
    where ledger_keys.external_key is null

),

final as (

    select
        source_reference,
        invoice_line_id,
        amount,
        invoice_id,
        invoice_key,
        state,
        stack_group
    from ledger_lines

    union all

    select
        source_reference,
        cast(null as varchar) as invoice_line_id,
        amount,
        cast(null as varchar) as invoice_id,
        invoice_key,
        'on_its_way' as state,
        stack_group
    from journal_lines

)

select * from final
