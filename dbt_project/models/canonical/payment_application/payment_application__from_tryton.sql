{{ config(enabled=is_connected('tryton')) }}

with

settlements as (

    select * from {{ ref('int_tryton_settlements') }}
    where claim_document_id is not null and settling_kind in ('payment', 'document')

),

invoices as (

    select * from {{ ref('stg_tryton__invoices') }}

),

currencies as (

    select * from {{ ref('stg_tryton__currencies') }}

),

-- An invoice that is due in parts has several claims; one payment of it stays one application.
applied as (

    select
        claim_document_id as invoice_id,
        case when settling_document_id is null then settling_line_id end as payment_id,
        settling_document_id as credit_note_id,
        sum(amount) as amount,
        max(settled_date) as applied_date,
        max(loaded_at) as loaded_at
    from settlements
    group by claim_document_id, case when settling_document_id is null then settling_line_id end, settling_document_id

),

judged as (

    select
        *,
        bool_or(credit_note_id is not null) over (partition by invoice_id) as is_credited
    from applied

),

final as (

    select
        applied.invoice_id || ':' || case when applied.credit_note_id is null then '' else 'credit' end
        || split_part(coalesce(applied.credit_note_id, applied.payment_id), ':', 2) as payment_application_id,
        applied.invoice_id,
        applied.payment_id,
        applied.credit_note_id,
        case when applied.credit_note_id is null then 'payment' else 'credit' end as application_type,
        currencies.currency,
        applied.amount,
        applied.applied_date,

        -- provenance
        invoices.connection,
        invoices.source_id || ':' || split_part(coalesce(applied.credit_note_id, applied.payment_id), ':', 2) as source_id,
        invoices.source_version,
        '/model/account.invoice/' || invoices.source_id as source_path,
        -- What a credit note cancelled was settled by it; what was taken back by its own reversal was settled by nothing.
        invoices.is_deleted or coalesce(invoices.state = 'cancelled' and not applied.is_credited, false) as is_deleted,
        invoices.source_created_at,
        invoices.source_updated_at,
        applied.loaded_at
    from judged as applied
    inner join invoices
        on applied.invoice_id = invoices.invoice_id
    left join currencies
        on invoices.currency_id = currencies.currency_id

)

select * from final
