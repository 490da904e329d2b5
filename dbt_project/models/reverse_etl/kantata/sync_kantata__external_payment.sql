{{ config(enabled=is_connected('kantata')) }}

-- One row per invoice that the ledger holds as wholly paid and the PSA's mirror does not: its payment in the PSA (S-8).

with

paid as (

    select * from {{ ref('int_project_invoices') }}
    where
        invoice_type = 'invoice'
        and state = 'paid'
        and open_amount = 0
        and paid_amount > 0
        and not is_deleted
        and external_key like 'INV|_%' escape '|'

),

projects as (

    select * from {{ ref('canonical__project') }}

),

psa_invoices as (

    select * from {{ ref('canonical__psa_invoice') }}
    where state = 'issued' and not is_deleted

),

currencies as (

    select * from {{ ref('canonical__currency') }}

),

mirrors as (

    select
        accounting_id as invoice_id,
        min(psa_id) as psa_invoice_id
    from {{ ref('canonical__identity') }}
    where entity = 'invoice' and accounting_id is not null and psa_id is not null
    group by accounting_id

),

stacks as (

    select * from {{ stacks_written('psa', 'kantata') }} as written

),

final as (

    select
        psa_invoices.source_id as invoice_key,
        psa_invoices.connection as _connection,
        cast(null as varchar) as _target_id,
        cast(null as varchar) as _hold_reason,
        {{ source_refs([('paid', 'invoice')]) }} as _source_refs,
        projects.source_id as workspace_id,
        'Paid in the ledger: ' || coalesce(paid.invoice_number, paid.source_id) as message,
        psa_invoices.currency,
        cast(psa_invoices.total_amount as decimal(20, 4)) as amount,
        {{ minor_amount('psa_invoices.total_amount', 'coalesce(currencies.minor_units, 2)') }} as amount_in_minor_units
    from paid
    inner join mirrors
        on paid.invoice_id = mirrors.invoice_id
    inner join psa_invoices
        on mirrors.psa_invoice_id = psa_invoices.psa_invoice_id
    inner join projects
        on paid.project_id = projects.project_id
    inner join stacks
        on projects.stack = stacks.stack
    left join currencies
        on paid.connection = currencies.connection and paid.currency = currencies.currency

)

select * from final
