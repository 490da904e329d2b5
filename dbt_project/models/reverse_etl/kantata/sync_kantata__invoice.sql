-- One row per issued ledger invoice of a PSA project: the PSA's mirror of it, so that billed hours show as billed (S-6, S-8).

with invoices as (

    select * from {{ ref('canonical__invoice') }}
    where
        invoice_type = 'invoice'
        and is_posted
        and not is_voided
        and not is_deleted
        and external_key like 'INV\_%' escape '\'

),

source_lines as (

    select
        lines.invoice_id,
        lines.source_entity,
        lines.source_entity_id,
        split_part(lines.source_entity_id, ':', 2) as source_id
    from {{ ref('canonical__invoice_line') }} as lines
    where lines.source_entity_id is not null and not lines.is_deleted

),

line_ids as (

    select
        invoice_id,
        to_json(list(source_id order by source_id) filter (where source_entity = 'time_entry')) as time_entry_ids,
        to_json(list(source_id order by source_id) filter (where source_entity = 'expense')) as expense_ids,
        to_json(list(source_id order by source_id) filter (where source_entity = 'milestone')) as billing_milestone_ids,
        count(*) as line_count
    from source_lines
    group by invoice_id

),

projects as (

    select
        accounting_id as ledger_project_id,
        min(psa_id) as project_id
    from {{ ref('canonical__identity') }}
    where entity = 'project' and accounting_id is not null and psa_id is not null
    group by accounting_id

),

mirrors as (

    select
        accounting_id as invoice_id,
        min(psa_id) as psa_invoice_id
    from {{ ref('canonical__identity') }}
    where entity = 'invoice' and accounting_id is not null and psa_id is not null
    group by accounting_id

),

final as (

    select
        invoices.external_key as invoice_key,
        stacks.psa_connection as _connection,
        psa_invoices.source_id as _target_id,
        cast(null as varchar) as _hold_reason,
        {{ source_refs([('invoices', 'invoice')]) }} as _source_refs,
        projects_psa.source_id as workspace_id,
        'Ledger invoice ' || coalesce(invoices.invoice_number, invoices.source_id) as message,
        invoices.po_number as purchase_order,
        invoices.state as external_status,
        cast(line_ids.time_entry_ids as varchar) as time_entry_ids,
        cast(line_ids.expense_ids as varchar) as expense_ids,
        cast(line_ids.billing_milestone_ids as varchar) as billing_milestone_ids,
        invoices.currency,
        cast(invoices.net_amount as decimal(20, 4)) as net_amount,
        greatest(0, date_diff('day', invoices.invoice_date, invoices.due_date)) as payment_schedule,
        false as is_draft,
        true as is_email_suppressed,
        invoices.invoice_date
    from invoices
    inner join line_ids on invoices.invoice_id = line_ids.invoice_id
    inner join projects on invoices.ledger_project_id = projects.ledger_project_id
    inner join {{ ref('canonical__project') }} as projects_psa on projects.project_id = projects_psa.project_id
    left join {{ ref('stacks') }} as stacks on invoices.stack = stacks.stack
    left join mirrors on invoices.invoice_id = mirrors.invoice_id
    left join {{ ref('canonical__psa_invoice') }} as psa_invoices on mirrors.psa_invoice_id = psa_invoices.psa_invoice_id

)

select * from final
