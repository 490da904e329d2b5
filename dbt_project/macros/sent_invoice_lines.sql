{#-
    The rows of canonical__sent_invoice_line out of the journal's create entries of one sync. The journal keeps fields under
    the vendor's names, and a column that is JSON text as text within the JSON; `lines` is the field with the list of lines,
    `source` the member of a line that names the PSA record it bills.
-#}
{% macro sent_invoice_lines(sync, lines, source) -%}
with

entries as (

    select * from {{ ref('stg_tieout__entries') }}
    where sync = '{{ sync }}' and verb = 'create'

),

lines as (

    select
        *,
        unnest(coalesce(cast(json_extract_string(fields_json, '$."{{ lines }}"') as json[]), cast([] as json[]))) as line
    from entries

),

final as (

    select
        entry_id || '|' || json_extract_string(line, '$.{{ source }}') as sent_invoice_line_id,
        entry_id,
        key as invoice_key,
        state,
        json_extract_string(line, '$.{{ source }}') as source_reference,
        currency,
        cast(json_extract_string(line, '$.amount') as decimal(20, 4)) as amount,
        connection,
        cast(null as varchar) as source_path
    from lines
    where json_extract_string(line, '$.{{ source }}') is not null

)

select * from final
{%- endmacro %}
