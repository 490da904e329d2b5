{{ config(enabled=is_connected('kantata')) }}

with

invoices as (

    select * from {{ ref('stg_kantata__invoices') }}

),

-- A cancelled or deleted invoice lets go of what it held.
holding as (

    select *
    from invoices
    where not is_deleted and coalesce(status, '') <> 'cancelled'

),

pairs as (

    select
        psa_invoice_id,
        'time_entry' as source_entity,
        time_entry_id as source_entity_id,
        loaded_at
    from {{ ref('stg_kantata__invoice_time_entries') }}
    where not is_deleted and time_entry_id is not null

    union all

    select
        psa_invoice_id,
        'expense' as source_entity,
        expense_id as source_entity_id,
        loaded_at
    from {{ ref('stg_kantata__invoice_expenses') }}
    where not is_deleted and expense_id is not null

    union all

    select
        psa_invoice_id,
        'milestone' as source_entity,
        milestone_id as source_entity_id,
        loaded_at
    from {{ ref('stg_kantata__invoice_billing_milestones') }}
    where not is_deleted and milestone_id is not null

),

final as (

    select
        pairs.psa_invoice_id,
        pairs.source_entity,
        pairs.source_entity_id,
        pairs.loaded_at,
        row_number() over (
            partition by pairs.source_entity, pairs.source_entity_id
            order by holding.source_created_at desc, holding.source_id desc
        ) = 1 as is_latest
    from pairs
    inner join holding
        on pairs.psa_invoice_id = holding.psa_invoice_id

)

select * from final
