{{ config(enabled=is_connected('netsuite')) }}

with

lines as (

    select * from {{ ref('stg_netsuite__transaction_lines') }}

),

transactions as (

    select * from {{ ref('stg_netsuite__transactions') }}

),

jobs as (

    select * from {{ ref('stg_netsuite__jobs') }}

),

currencies as (

    select * from {{ ref('stg_netsuite__currencies') }}

),

-- The ledger signs lines as debits: revenue is negative on an invoice and positive on a credit memo.
signed as (

    select
        lines.transaction_line_id,
        lines.transaction_id,
        -- On a tax line the ledger puts the tax code where the item stands.
        case when not lines.is_tax_line then lines.item_id end as item_id,
        coalesce(jobs.ledger_project_id, header_jobs.ledger_project_id) as ledger_project_id,
        case when lines.is_tax_line then 'tax' else 'charge' end as line_type,
        lines.memo,
        lines.source_reference,
        currencies.currency,
        lines.quantity,
        lines.rate,
        coalesce(case transactions.transaction_type when 'CustInvc' then -lines.amount else lines.amount end, 0) as amount,
        lines.line_number,
        lines.connection,
        transactions.source_id as document_source_id,
        lines.source_version,
        lines.is_deleted or transactions.is_deleted as is_deleted,
        lines.source_updated_at,
        lines.loaded_at
    from lines
    inner join transactions
        on lines.transaction_id = transactions.transaction_id
    left join jobs
        on lines.entity_id = jobs.ledger_project_id
    left join jobs as header_jobs
        on transactions.entity_id = header_jobs.ledger_project_id
    left join currencies
        on transactions.currency_id = currencies.currency_id
    where
        transactions.transaction_type in ('CustInvc', 'CustCred')
        and not lines.is_main_line

),

final as (

    select
        signed.transaction_line_id as invoice_line_id,
        signed.transaction_id as invoice_id,
        signed.item_id,
        signed.ledger_project_id,
        signed.line_type,
        signed.memo as description,
        signed.source_reference,
        -- The line names the PSA's own word for what it bills.
        case {{ text_part('signed.source_reference', ':', 2) }}
            when 'billing_milestone' then 'milestone'
            else {{ text_part('signed.source_reference', ':', 2) }}
        end as source_entity,
        {{ text_part('signed.source_reference', ':', 1) }} || ':' || {{ text_part('signed.source_reference', ':', 3) }} as source_entity_id,
        case
            when signed.source_reference is not null
                then coalesce({{ safe_cast_to(text_part('signed.source_reference', ':', 4), 'integer') }}, 1)
        end as source_split,
        signed.currency,
        case when signed.amount < 0 then -abs(signed.quantity) else abs(signed.quantity) end as quantity,
        signed.rate,
        signed.amount,
        coalesce(signed.line_number, 0) as line_number,

        -- provenance
        signed.connection,
        signed.document_source_id || ':' || split_part(signed.transaction_line_id, ':', 3) as source_id,
        signed.source_version,
        '/app/accounting/transactions/transaction.nl?id=' || signed.document_source_id as source_path,
        signed.is_deleted,
        cast(null as timestamp with time zone) as source_created_at,
        signed.source_updated_at,
        signed.loaded_at
    from signed

)

select * from final
