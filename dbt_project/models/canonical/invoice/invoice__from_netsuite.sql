{{ config(enabled=is_connected('netsuite')) }}

with

transactions as (

    select * from {{ ref('stg_netsuite__transactions') }}

),

lines as (

    select * from {{ ref('canonical__invoice_line') }}

),

receivables as (

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

observations as (

    select * from {{ ref('stg_netsuite__observations') }}

),

states as (

    select * from {{ mapped_values('netsuite', 'invoice.state') }} as mappings

),

-- Step 1 of 4: what the lines add up to, and the one project they name.
line_totals as (

    select
        invoice_id,
        sum(case when line_type = 'charge' then amount else 0 end) as net_amount,
        sum(case when line_type = 'tax' then amount else 0 end) as tax_amount,
        case when count(distinct ledger_project_id) = 1 then max(ledger_project_id) end as ledger_project_id
    from lines
    group by invoice_id

),

-- Step 2 of 4: what settles an invoice, and what a credit note settles.
settled as (

    select
        invoice_id as document_id,
        sum(case when application_type = 'payment' then amount else 0 end) as paid_amount,
        sum(case when application_type = 'credit' then amount else 0 end) as credited_amount
    from applications
    where not is_deleted
    group by invoice_id

    union all

    select
        credit_note_id as document_id,
        0 as paid_amount,
        sum(amount) as credited_amount
    from applications
    where credit_note_id is not null and not is_deleted
    group by credit_note_id

),

receivable_lines as (

    select
        transaction_id,
        legal_entity_id,
        abs(unpaid_amount) as unpaid_amount
    from receivables
    where is_main_line

),

-- Step 3 of 4: one row per document, the vendor's codes put into words.
documents as (

    select
        transactions.transaction_id as invoice_id,
        coalesce(jobs.customer_id, transactions.entity_id) as customer_id,
        coalesce(jobs.ledger_project_id, line_totals.ledger_project_id) as ledger_project_id,
        receivable_lines.legal_entity_id,
        transactions.accounting_period_id,
        case transactions.transaction_type when 'CustInvc' then 'invoice' else 'credit_note' end as invoice_type,
        transactions.document_number as invoice_number,
        case when transactions.is_voided then 'voided' else states.canonical_value end as base_state,
        transactions.transaction_type || ':' || transactions.status as source_state,
        transactions.approval_status as source_approval_state,
        transactions.external_key,
        transactions.project_reference,
        transactions.service_period,
        transactions.po_number,
        transactions.memo,
        currencies.currency,
        transactions.exchange_rate,
        coalesce(line_totals.net_amount, 0) as net_amount,
        coalesce(line_totals.tax_amount, 0) as tax_amount,
        coalesce(transactions.amount, 0) as total_amount,
        coalesce(settled.paid_amount, 0) as paid_amount,
        coalesce(settled.credited_amount, 0) as credited_amount,
        cast(0 as decimal(20, 4)) as written_off_amount,
        receivable_lines.unpaid_amount as source_open_amount,
        coalesce(transactions.is_voided, false) or coalesce(states.canonical_value = 'voided', false) as is_voided,
        coalesce(states.canonical_value = 'issued', false) and not coalesce(transactions.is_voided, false) as is_posted,
        transactions.transaction_date as invoice_date,
        transactions.due_date,
        transactions.closed_date,
        {{ business_date('observations.observed_at') }} as as_of_date,
        transactions.connection,
        transactions.source_id,
        transactions.source_version,
        case transactions.transaction_type
            when 'CustInvc' then '/app/accounting/transactions/custinvc.nl?id=' || transactions.source_id
            else '/app/accounting/transactions/custcred.nl?id=' || transactions.source_id
        end as source_path,
        transactions.is_deleted,
        transactions.source_created_at,
        transactions.source_updated_at,
        transactions.loaded_at
    from transactions
    left join jobs
        on transactions.entity_id = jobs.ledger_project_id
    left join currencies
        on transactions.currency_id = currencies.currency_id
    left join line_totals
        on transactions.transaction_id = line_totals.invoice_id
    left join settled
        on transactions.transaction_id = settled.document_id
    left join receivable_lines
        on transactions.transaction_id = receivable_lines.transaction_id
    left join observations
        on transactions.connection = observations.connection
    left join states
        on transactions.transaction_type || ':' || transactions.status = states.source_value
    where transactions.transaction_type in ('CustInvc', 'CustCred')

),

-- Step 4 of 4: what is still open (S-2). Nobody owes a draft, a voided or a deleted document.
opened as (

    select
        *,
        case
            when is_posted and not is_deleted then total_amount - paid_amount - credited_amount - written_off_amount
            else 0
        end as open_amount
    from documents

),

final as (

    select
        invoice_id,
        customer_id,
        ledger_project_id,
        legal_entity_id,
        accounting_period_id,
        invoice_type,
        invoice_number,
        case
            when base_state is null or base_state <> 'issued' then base_state
            when invoice_type = 'invoice' and open_amount = 0 and paid_amount > 0 then 'paid'
            when open_amount = 0 and credited_amount > 0 then 'credited'
            when paid_amount > 0 then 'partially_paid'
            when credited_amount > 0 then 'partially_credited'
            else 'issued'
        end as state,
        source_state,
        source_approval_state,
        external_key,
        project_reference,
        service_period,
        po_number,
        memo,
        currency,
        exchange_rate,
        net_amount,
        tax_amount,
        total_amount,
        paid_amount,
        credited_amount,
        written_off_amount,
        open_amount,
        case when is_posted then source_open_amount end as source_open_amount,
        case invoice_type when 'invoice' then 1 else -1 end as receivables_sign,
        is_posted,
        is_voided,
        coalesce(invoice_type = 'invoice' and open_amount > 0 and due_date < as_of_date, false) as is_overdue,
        case
            when invoice_type = 'invoice' and open_amount > 0 and due_date < as_of_date then {{ days_between('due_date', 'as_of_date') }}
            else 0
        end as overdue_days,
        invoice_date,
        due_date,
        closed_date,

        -- provenance
        connection,
        source_id,
        source_version,
        source_path,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from opened

)

select * from final
