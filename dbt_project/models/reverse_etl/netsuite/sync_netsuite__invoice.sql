{{ config(enabled=is_connected('netsuite')) }}

-- One row per draft invoice to be made: customer x entity x currency x project x service period; its lines name every source.

with

drafts as (

    select * from {{ ref('int_invoice_drafts') }}

),

items as (

    select
        *,
        -- One line of the document, in the words of the record service; the source stands in a field of the firm's own.
        {
            'item': json_object('externalId', item_key),
            'quantity': quantity,
            'rate': rate,
            'amount': amount,
            'description': left(description, 200),
            'custcol_tieout_source': source_reference
        } as line,
        connection || ':' || source_entity || ':' || source_id || '@' || coalesce(source_version, '') as source_ref
    from {{ ref('int_billable_items') }}
    where billing_state = 'to bill'

),

projects as (

    select * from {{ ref('canonical__project') }}

),

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}

),

currencies as (

    select * from {{ ref('canonical__currency') }}

),

customers as (

    select * from {{ ref('sync_netsuite__customer') }}

),

jobs as (

    select * from {{ ref('sync_netsuite__job') }}

),

lines as (

    select
        opportunity_id,
        service_period,
        cast(to_json(list(line order by service_date, source_reference)) as varchar) as lines,
        cast(to_json(list(source_ref order by service_date, source_reference)) as varchar) as source_refs
    from items
    group by opportunity_id, service_period

),

stacks as (

    select * from {{ stacks_written('accounting', 'netsuite') }} as written

),

final as (

    select
        drafts.invoice_key,
        drafts.accounting_connection as _connection,
        cast(null as varchar) as _target_id,
        -- nothing waits without a reason: what a held customer or deal keeps back is held for theirs
        coalesce(
            drafts.hold_reason,
            'its customer is held: ' || customers._hold_reason,
            case
                when customers.customer_key is null and drafts.customer_id is null then drafts.deal_hold_reason
                when jobs.ledger_project_key is null and drafts.ledger_project_id is null then drafts.deal_hold_reason
            end
        ) as _hold_reason,
        lines.source_refs as _source_refs,
        drafts.customer_key,
        drafts.ledger_project_key,
        legal_entities.source_id as subsidiary_id,
        currencies.source_id as currency_id,
        '1' as approval_status_id,
        drafts.po_number,
        projects.name || ', ' || drafts.service_period as memo,
        projects.source_id as project_reference,
        left(drafts.service_period, 4) || '-' || right(drafts.service_period, 2) as service_period,
        lines.lines,
        drafts.currency,
        cast(drafts.net_amount as decimal(20, 4)) as net_amount,
        drafts.invoice_date,
        drafts.service_from,
        drafts.service_to
    from drafts
    inner join stacks
        on drafts.stack = stacks.stack
    inner join lines
        on drafts.opportunity_id = lines.opportunity_id and drafts.service_period = lines.service_period
    left join customers
        on drafts.customer_key = customers.customer_key
    left join jobs
        on drafts.ledger_project_key = jobs.ledger_project_key
    left join projects
        on drafts.project_id = projects.project_id
    left join legal_entities
        on drafts.accounting_connection = legal_entities.connection and drafts.legal_entity_code = legal_entities.code
    left join currencies
        on drafts.accounting_connection = currencies.connection and drafts.currency = currencies.currency

)

select * from final
