{{ config(enabled=is_connected('tryton')) }}

with

works as (

    select * from {{ ref('int_tryton_works') }}
    where work_type = 'task' and fee_type is not null and list_price is not null

),

-- A task whose product is a fee is an amount to bill: its price, on its day, or once it is done when it has none.
final as (

    select
        works.work_id as milestone_id,
        works.project_id,
        works.work_id as task_id,
        cast(null as text) as psa_invoice_id,
        works.name,
        case when works.invoice_date is not null then 'fixed_date' else 'on_completion' end as billing_trigger,
        works.product_code as source_billing_trigger,
        works.currency,
        works.list_price as amount,
        works.is_done as is_completed,
        false as is_invoiced,
        works.invoice_date,
        -- provenance
        works.connection,
        works.source_id,
        works.source_version,
        '/model/project.work/' || works.source_id as source_path,
        works.is_deleted,
        works.source_created_at,
        works.source_updated_at,
        works.loaded_at
    from works

)

select * from final
