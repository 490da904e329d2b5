{%- set without_psa_invoices = stacks_without('psa_invoice', 'psa') -%}
-- One row per issued ledger invoice of a PSA project that the PSA does not show, or shows with another total or state.

with

invoices as (

    select * from {{ ref('canonical__invoice') }}
    where invoice_type = 'invoice' and is_posted and not is_voided and not is_deleted

),

psa_invoices as (

    select * from {{ ref('canonical__psa_invoice') }}

),

mirrors as (

    select
        accounting_id as invoice_id,
        min(psa_id) as psa_invoice_id
    from {{ ref('canonical__identity') }}
    where entity = 'invoice' and accounting_id is not null and psa_id is not null
    group by accounting_id

),

legal_entities as (

    select * from {{ ref('int_legal_entity_stacks') }}

),

source_lines as (

    select
        invoice_id,
        count(source_entity_id) as source_lines
    from {{ ref('canonical__invoice_line') }}
    where not is_deleted
    group by invoice_id

),

compared as (

    select
        invoices.invoice_id,
        legal_entities.stack,
        invoices.source_link,
        invoices.invoice_number,
        invoices.external_key,
        invoices.state,
        psa_invoices.psa_invoice_id,
        psa_invoices.state as psa_state,
        case
            when coalesce(source_lines.source_lines, 0) = 0 then 'no line names a PSA record'
            {%- if without_psa_invoices %}
            when legal_entities.stack in ('{{ without_psa_invoices | join("', '") }}') then null
            {%- endif %}
            when psa_invoices.psa_invoice_id is null then 'not in the PSA'
            when psa_invoices.is_deleted or psa_invoices.state = 'voided' then 'cancelled in the PSA'
            when psa_invoices.state is null then 'the PSA shows an unknown state'
            when psa_invoices.total_amount <> invoices.net_amount then 'totals differ'
            when invoices.state = 'paid' and psa_invoices.state <> 'paid' then 'paid in the ledger, open in the PSA'
            when invoices.state <> 'paid' and psa_invoices.state = 'paid' then 'open in the ledger, paid in the PSA'
        end as discrepancy,
        invoices.currency,
        invoices.net_amount,
        psa_invoices.total_amount as psa_amount,
        coalesce(source_lines.source_lines, 0) as source_lines,
        invoices.invoice_date
    from invoices
    left join mirrors
        on invoices.invoice_id = mirrors.invoice_id
    left join psa_invoices
        on mirrors.psa_invoice_id = psa_invoices.psa_invoice_id
    left join legal_entities
        on invoices.legal_entity_id = legal_entities.legal_entity_id
    left join source_lines
        on invoices.invoice_id = source_lines.invoice_id

),

final as (

    select * from compared
    where discrepancy is not null

)

select * from final
