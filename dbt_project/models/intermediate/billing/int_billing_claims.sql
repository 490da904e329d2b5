-- One row per source entry that already stands on an invoice: in the ledger, or on its way there (B-4).
-- A voided, rejected or deleted document gives its entries back (S-6); a credited one does not (I-7: finance decides).

with

invoices as (

    select * from {{ ref('canonical__invoice') }}

),

invoice_lines as (

    select * from {{ ref('canonical__invoice_line') }}

),

entries as (

    select * from {{ ref('stg_tieout__entries') }}

),

as_of as (

    select * from {{ ref('canonical__as_of') }}

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
        invoices.stack
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

on_their_way as (

    select
        entries.connection,
        entries.key as invoice_key,
        unnest({{ invoice_lines_of('entries.fields_json') }}) as line
    from entries
    left join ledger_keys
        on entries.connection = ledger_keys.connection and entries.key = ledger_keys.external_key
    where
        entries.object = 'invoice'
        and entries.verb = 'create'
        and entries.key like 'INV|_%' escape '|'
        and entries.state in ('sent', 'uncertain', 'confirmed', 'settled')
        and ledger_keys.external_key is null

),

journal_lines as (

    select
        {{ invoice_line_value('on_their_way.line', 'source_reference') }} as source_reference,
        cast({{ invoice_line_value('on_their_way.line', 'amount') }} as decimal(20, 4)) as amount,
        on_their_way.invoice_key,
        as_of.stack
    from on_their_way
    left join as_of
        on on_their_way.connection = as_of.connection

),

final as (

    select
        source_reference,
        invoice_line_id,
        amount,
        invoice_id,
        invoice_key,
        state,
        stack
    from ledger_lines

    union all

    select
        source_reference,
        cast(null as varchar) as invoice_line_id,
        amount,
        cast(null as varchar) as invoice_id,
        invoice_key,
        'on_its_way' as state,
        stack
    from journal_lines
    where source_reference is not null

)

select * from final
