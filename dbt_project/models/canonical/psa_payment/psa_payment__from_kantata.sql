{{ config(enabled=is_connected('kantata')) }}

with

payments as (

    select * from {{ ref('stg_kantata__external_payments') }}

),

final as (

    select
        payments.psa_payment_id,
        payments.project_id,
        payments.psa_invoice_id,
        payments.message,
        payments.currency,
        coalesce(payments.amount, 0) as amount,
        -- provenance
        payments.connection,
        payments.source_id,
        payments.source_version,
        '/invoices/' || split_part(payments.psa_invoice_id, ':', 2) as source_path,
        payments.is_deleted,
        payments.source_created_at,
        payments.source_updated_at,
        payments.loaded_at
    from payments

)

select * from final
