{{ config(enabled=is_connected('netsuite')) }}

with

transactions as (

    select * from {{ ref('stg_netsuite__transactions') }}

),

lines as (

    select * from {{ ref('stg_netsuite__transaction_lines') }}

),

jobs as (

    select * from {{ ref('stg_netsuite__jobs') }}

),

currencies as (

    select * from {{ ref('stg_netsuite__currencies') }}

),

applications as (

    select * from {{ ref('canonical__payment_application') }}

),

states as (

    select * from {{ mapped_values('netsuite', 'payment.state') }} as mappings

),

applied as (

    select
        payment_id,
        sum(amount) as applied_amount
    from applications
    where payment_id is not null and not is_deleted
    group by payment_id

),

receivable_lines as (

    select
        transaction_id,
        max(legal_entity_id) as legal_entity_id
    from lines
    where is_main_line
    group by transaction_id

),

final as (

    select
        transactions.transaction_id as payment_id,
        coalesce(jobs.customer_id, transactions.entity_id) as customer_id,
        receivable_lines.legal_entity_id,
        transactions.document_number as payment_number,
        case when transactions.is_voided then 'voided' else states.canonical_value end as state,
        transactions.transaction_type || ':' || transactions.status as source_state,
        currencies.currency,
        transactions.exchange_rate,
        coalesce(transactions.amount, 0) as amount,
        coalesce(applied.applied_amount, 0) as applied_amount,
        coalesce(transactions.amount, 0) - coalesce(applied.applied_amount, 0) as unapplied_amount,
        coalesce(transactions.is_voided, false) or coalesce(states.canonical_value = 'voided', false) as is_voided,
        transactions.transaction_date as payment_date,
        -- provenance
        transactions.connection,
        transactions.source_id,
        transactions.source_version,
        '/app/accounting/transactions/custpymt.nl?id=' || transactions.source_id as source_path,
        transactions.is_deleted,
        transactions.source_created_at,
        transactions.source_updated_at,
        transactions.loaded_at
    from transactions
    left join jobs
        on transactions.entity_id = jobs.ledger_project_id
    left join currencies
        on transactions.currency_id = currencies.currency_id
    left join receivable_lines
        on transactions.transaction_id = receivable_lines.transaction_id
    left join applied
        on transactions.transaction_id = applied.payment_id
    left join states
        on transactions.transaction_type || ':' || transactions.status = states.source_value
    where transactions.transaction_type = 'CustPymt'

)

select * from final
