{{ config(enabled=is_connected('tryton')) }}

with

invoices as (

    select * from {{ ref('stg_tryton__invoices') }}

),

lines as (

    select * from {{ ref('stg_tryton__invoice_lines') }}
    where line_type = 'line'

),

taxes as (

    select * from {{ ref('stg_tryton__invoice_taxes') }}

),

currencies as (

    select * from {{ ref('stg_tryton__currencies') }}

),

-- Titles and subtotals of a document are no lines; its taxes stand beside its lines, and count from one of their own.
parts as (

    select
        invoice_id,
        invoice_line_id as part_id,
        source_id as part_source_id,
        product_id,
        'charge' as line_type,
        description,
        source_reference,
        quantity,
        unit_price,
        amount,
        sort_order,
        source_version,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from lines

    union all

    select
        invoice_id,
        invoice_tax_id as part_id,
        'tax' || source_id as part_source_id,
        cast(null as text) as product_id,
        'tax' as line_type,
        description,
        cast(null as text) as source_reference,
        cast(null as decimal(18, 6)) as quantity,
        cast(null as decimal(20, 4)) as unit_price,
        amount,
        sort_order,
        source_version,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from taxes

),

final as (

    select
        invoices.connection || ':' || invoices.source_id || ':' || parts.part_source_id as invoice_line_id,
        parts.invoice_id,
        parts.product_id as item_id,
        cast(null as text) as ledger_project_id,
        parts.line_type,
        parts.description,
        parts.source_reference,
        -- The line names the PSA's own word for what it bills.
        replace({{ text_part('parts.source_reference', ':', 2) }}, 'billing_milestone', 'milestone') as source_entity,
        {{ text_part('parts.source_reference', ':', 1) }} || ':' || {{ text_part('parts.source_reference', ':', 3) }} as source_entity_id,
        case
            when parts.source_reference is not null
                then coalesce({{ safe_cast_to(text_part('parts.source_reference', ':', 4), 'integer') }}, 1)
        end as source_split,
        currencies.currency,
        case when invoices.total_amount < 0 then -parts.quantity else parts.quantity end as quantity,
        parts.unit_price as rate,
        coalesce(case when invoices.total_amount < 0 then -parts.amount else parts.amount end, 0) as amount,
        coalesce(parts.sort_order, 0) as line_number,

        -- provenance
        invoices.connection,
        invoices.source_id || ':' || parts.part_source_id as source_id,
        parts.source_version,
        '/model/account.invoice/' || invoices.source_id as source_path,
        parts.is_deleted or invoices.is_deleted as is_deleted,
        parts.source_created_at,
        parts.source_updated_at,
        parts.loaded_at
    from parts
    inner join invoices
        on parts.invoice_id = invoices.invoice_id
    left join currencies
        on invoices.currency_id = currencies.currency_id

)

select * from final
