{{ config(enabled=is_connected('netsuite')) }}

with

links as (

    select * from {{ ref('stg_netsuite__transaction_links') }}

),

transactions as (

    select * from {{ ref('stg_netsuite__transactions') }}

),

currencies as (

    select * from {{ ref('stg_netsuite__currencies') }}

),

applied as (

    select
        previous_transaction_id as invoice_id,
        next_transaction_id as settling_id,
        sum(amount) as amount,
        max(loaded_at) as loaded_at
    from links
    where link_type = 'Payment' and previous_transaction_id is not null and not is_deleted
    group by previous_transaction_id, next_transaction_id

),

final as (

    select
        applied.invoice_id || ':' || settling.source_id as payment_application_id,
        applied.invoice_id,
        case settling.transaction_type when 'CustPymt' then settling.transaction_id end as payment_id,
        case settling.transaction_type when 'CustCred' then settling.transaction_id end as credit_note_id,
        case settling.transaction_type when 'CustPymt' then 'payment' else 'credit' end as application_type,
        currencies.currency,
        applied.amount,
        settling.transaction_date as applied_date,

        -- provenance
        settling.connection,
        invoices.source_id || ':' || settling.source_id as source_id,
        settling.source_version,
        '/app/accounting/transactions/transaction.nl?id=' || settling.source_id as source_path,
        -- A voided payment settles nothing, whether or not the ledger took its links away (S-4).
        settling.is_deleted or settling.is_voided or invoices.is_deleted as is_deleted,
        settling.source_created_at,
        settling.source_updated_at,
        applied.loaded_at
    from applied
    inner join transactions as settling
        on applied.settling_id = settling.transaction_id
    inner join transactions as invoices
        on applied.invoice_id = invoices.transaction_id
    left join currencies
        on invoices.currency_id = currencies.currency_id
    where
        settling.transaction_type in ('CustPymt', 'CustCred')
        and invoices.transaction_type = 'CustInvc'

)

select * from final
