{{ config(enabled=is_connected('tryton')) }}

with

invoices as (

    select * from {{ ref('stg_tryton__invoices') }}

),

moves as (

    select * from {{ ref('stg_tryton__moves') }}

),

move_lines as (

    select * from {{ ref('stg_tryton__move_lines') }}
    where not is_deleted

),

settlements as (

    select * from {{ ref('int_tryton_settlements') }}

),

currencies as (

    select * from {{ ref('stg_tryton__currencies') }}

),

observations as (

    select * from {{ ref('stg_tryton__observations') }}

),

states as (

    select * from {{ mapped_values('tryton', 'invoice.state') }} as mappings

),

-- Step 1 of 4: what settles an invoice, and what a credit note settles or is paid back of.
settled as (

    select
        claim_document_id as document_id,
        sum(case when settling_kind = 'payment' then amount else 0 end) as paid_amount,
        sum(case when settling_kind = 'document' then amount else 0 end) as credited_amount,
        sum(case when settling_kind = 'write_off' then amount else 0 end) as written_off_amount
    from settlements
    where claim_document_id is not null
    group by claim_document_id

    union all

    select
        settling_document_id as document_id,
        0 as paid_amount,
        sum(amount) as credited_amount,
        0 as written_off_amount
    from settlements
    where settling_document_id is not null
    group by settling_document_id

),

settled_documents as (

    select
        document_id,
        sum(paid_amount) as paid_amount,
        sum(credited_amount) as credited_amount,
        sum(written_off_amount) as written_off_amount
    from settled
    group by document_id

),

-- Step 2 of 4: an invoice that is due in parts is due on the last of their days.
due_dates as (

    select
        move_id,
        max(due_date) as due_date
    from move_lines
    group by move_id

),

-- Step 3 of 4: one row per document, the amounts of credit notes turned positive.
documents as (

    select
        invoices.invoice_id,
        invoices.party_id as customer_id,
        invoices.company_id as legal_entity_id,
        moves.accounting_period_id,
        case when invoices.total_amount < 0 then 'credit_note' else 'invoice' end as invoice_type,
        invoices.invoice_number,
        -- What a credit note cancelled was issued and stays so: only its own reversal takes a document back (I-7, S-6).
        case
            when invoices.state = 'cancelled' and settled_documents.credited_amount > 0 then 'issued'
            else states.canonical_value
        end as base_state,
        invoices.state as source_state,
        case when invoices.reference like 'INV|_%' escape '|' then invoices.reference end as external_key,
        case
            when invoices.reference like 'INV|_%' escape '|'
                then nullif(regexp_replace(regexp_extract(invoices.reference, '_([0-9]{6})_[0-9]+$', 1), '^(....)', '\1-'), '')
        end as service_period,
        case
            when invoices.reference like 'INV|_%' escape '|'
                then nullif(regexp_extract(invoices.comment, '^PO: ([^\n]+)', 1), '')
            else invoices.reference
        end as po_number,
        invoices.memo,
        currencies.currency,
        abs(coalesce(invoices.net_amount, 0)) as net_amount,
        case when invoices.total_amount < 0 then -coalesce(invoices.tax_amount, 0) else coalesce(invoices.tax_amount, 0) end as tax_amount,
        abs(coalesce(invoices.total_amount, 0)) as total_amount,
        coalesce(settled_documents.paid_amount, 0) as paid_amount,
        coalesce(settled_documents.credited_amount, 0) as credited_amount,
        coalesce(settled_documents.written_off_amount, 0) as written_off_amount,
        abs(invoices.open_amount) as source_open_amount,
        invoices.invoice_date,
        due_dates.due_date,
        invoices.reconciled_date as closed_date,
        {{ business_date('observations.observed_at') }} as as_of_date,
        invoices.connection,
        invoices.source_id,
        invoices.source_version,
        invoices.is_deleted,
        invoices.source_created_at,
        invoices.source_updated_at,
        invoices.loaded_at
    from invoices
    left join moves
        on invoices.move_id = moves.move_id
    left join due_dates
        on invoices.move_id = due_dates.move_id
    left join settled_documents
        on invoices.invoice_id = settled_documents.document_id
    left join currencies
        on invoices.currency_id = currencies.currency_id
    left join observations
        on invoices.connection = observations.connection
    left join states
        on invoices.state = states.source_value

),

-- Step 4 of 4: what is still open (S-2). Nobody owes a draft, a voided or a deleted document.
opened as (

    select
        *,
        coalesce(base_state = 'voided', false) as is_voided,
        coalesce(base_state = 'issued', false) as is_posted,
        case
            when base_state = 'issued' and not is_deleted then total_amount - paid_amount - credited_amount - written_off_amount
            else 0
        end as open_amount
    from documents

),

final as (

    select
        invoice_id,
        customer_id,
        cast(null as text) as ledger_project_id,
        legal_entity_id,
        accounting_period_id,
        invoice_type,
        invoice_number,
        case
            when base_state is null or base_state <> 'issued' then base_state
            when invoice_type = 'invoice' and open_amount = 0 and paid_amount > 0 then 'paid'
            when open_amount = 0 and credited_amount > 0 then 'credited'
            when open_amount = 0 and written_off_amount > 0 then 'written_off'
            when paid_amount > 0 then 'partially_paid'
            when credited_amount > 0 then 'partially_credited'
            else 'issued'
        end as state,
        source_state,
        cast(null as text) as source_approval_state,
        external_key,
        cast(null as text) as project_reference,
        service_period,
        po_number,
        memo,
        currency,
        cast(null as decimal(20, 10)) as exchange_rate,
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
        '/model/account.invoice/' || source_id as source_path,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from opened

)

select * from final
