-- One row per source entry that already stands on an invoice: in the ledger, or on its way there (B-4).
-- A voided, rejected or deleted document gives its entries back (S-6); a credited one does not (I-7: finance decides).

with ledger_lines as (

    select
        lines.source_reference,
        lines.invoice_line_id,
        lines.amount,
        invoices.invoice_id,
        invoices.external_key as invoice_key,
        invoices.state,
        invoices.stack
    from {{ ref('canonical__invoice_line') }} as lines
    inner join {{ ref('canonical__invoice') }} as invoices on lines.invoice_id = invoices.invoice_id
    where
        invoices.invoice_type = 'invoice'
        and not invoices.is_deleted
        and not lines.is_deleted
        and not invoices.is_voided
        and coalesce(invoices.state, 'unknown') not in ('voided', 'rejected')
        and lines.source_reference is not null

),

-- any document with this key that the ledger has ever shown: from then on the ledger is believed, not the journal
ledger_keys as (

    select distinct
        connection,
        external_key
    from {{ ref('canonical__invoice') }}
    where external_key is not null

),

on_their_way as (

    select
        entries.connection,
        entries.key as invoice_key,
        entries.state,
        entries.fields_json
    from {{ ref('stg_tieout__entries') }} as entries
    left join ledger_keys
        on entries.connection = ledger_keys.connection and entries.key = ledger_keys.external_key
    where
        entries.object = 'invoice'
        and entries.verb = 'create'
        and entries.state in ('sent', 'uncertain', 'confirmed', 'settled')
        and ledger_keys.external_key is null

),

journal_lines as (

    select
        {{ invoice_line_value('line', 'source_reference') }} as source_reference,
        cast(null as varchar) as invoice_line_id,
        cast({{ invoice_line_value('line', 'amount') }} as decimal(20, 4)) as amount,
        cast(null as varchar) as invoice_id,
        lines.invoice_key,
        'on_its_way' as state,
        stacks.stack
    from (
        select
            connection,
            invoice_key,
            unnest({{ invoice_lines_of('fields_json') }}) as line
        from on_their_way
    ) as lines
    left join {{ ref('canonical__as_of') }} as stacks on lines.connection = stacks.connection

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
        invoice_line_id,
        amount,
        invoice_id,
        invoice_key,
        state,
        stack
    from journal_lines
    where source_reference is not null

)

select * from final
