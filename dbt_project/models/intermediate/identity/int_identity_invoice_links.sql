with

psa_invoices as (

    select * from {{ ref('canonical__psa_invoice') }}

),

invoices as (

    select * from {{ ref('canonical__invoice') }}

),

stored_references as (

    select * from {{ ref('canonical__external_reference') }}
    where entity = 'psa_invoice' and service_name = 'tieout' and not is_deleted

),

-- The PSA's document keeps the ledger's business key or id; else it keeps the number that the ledger gave (I-10).
found as (

    select
        invoices.stack_group,
        psa_invoices.psa_invoice_id,
        invoices.invoice_id,
        'O-5' as rule,
        1 as rule_rank,
        psa_invoices.source_created_at
    from stored_references
    inner join psa_invoices
        on stored_references.entity_id = psa_invoices.psa_invoice_id
    inner join invoices
        on
            (stored_references.service_reference = invoices.external_key or stored_references.service_reference = invoices.source_id)
            and psa_invoices.stack_group = invoices.stack_group
    where not psa_invoices.is_deleted and not invoices.is_deleted

    union all

    select
        invoices.stack_group,
        psa_invoices.psa_invoice_id,
        invoices.invoice_id,
        'I-10' as rule,
        2 as rule_rank,
        psa_invoices.source_created_at
    from psa_invoices
    inner join invoices
        on
            psa_invoices.invoice_number = invoices.invoice_number
            and psa_invoices.currency = invoices.currency
            and psa_invoices.stack_group = invoices.stack_group
    where not psa_invoices.is_deleted and not invoices.is_deleted and invoices.invoice_type = 'invoice'

),

ranked_by_ledger as (

    select
        *,
        row_number() over (
            partition by invoice_id
            order by rule_rank, source_created_at, psa_invoice_id
        ) as ledger_preference
    from found

),

ranked as (

    select
        *,
        row_number() over (partition by psa_invoice_id order by rule_rank, invoice_id) as preference
    from ranked_by_ledger
    where ledger_preference = 1

),

final as (

    select
        stack_group,
        psa_invoice_id,
        invoice_id,
        rule,
        cast(case rule when 'O-5' then 1.0 else 0.9 end as decimal(5, 4)) as confidence
    from ranked
    where preference = 1

)

select * from final
