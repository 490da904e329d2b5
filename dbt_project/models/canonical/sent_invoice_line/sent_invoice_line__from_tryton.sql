{{ config(enabled=is_connected('tryton', 'accounting')) }}

with

entries as (

    select * from {{ ref('stg_tieout__entries') }}
    where sync = 'sync_tryton__invoice' and verb = 'create'

),

-- The journal keeps fields under the vendor's names, and a column that is JSON text as text within the JSON.
lines as (

    select
        *,
        unnest(coalesce(cast(json_extract_string(fields_json, '$."lines"') as json[]), cast([] as json[]))) as line
    from entries

),

final as (

    select
        entry_id || '|' || json_extract_string(line, '$.note') as sent_invoice_line_id,
        entry_id,
        key as invoice_key,
        state,
        json_extract_string(line, '$.note') as source_reference,
        currency,
        cast(json_extract_string(line, '$.amount') as decimal(20, 4)) as amount,
        connection,
        cast(null as varchar) as source_path
    from lines
    where json_extract_string(line, '$.note') is not null

)

select * from final
