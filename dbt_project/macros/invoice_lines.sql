{% macro invoice_lines_of(fields_json) -%}
    {#-
        The lines of a journalled invoice as a list of JSON values. The journal keeps fields under the vendor's names, and
        a column that is JSON text as text within the JSON: both spellings are read.
    -#}
    coalesce(
        cast(json_extract_string({{ fields_json }}, '$."item.items"') as json[]),
        cast(json_extract_string({{ fields_json }}, '$.lines') as json[]),
        cast([] as json[])
    )
{%- endmacro %}

{% macro invoice_line_value(line, name) -%}
    {#- One value of such a line, as text. -#}
    {%- set paths = {'source_reference': '$.custcol_tieout_source', 'amount': '$.amount'} -%}
    json_extract_string({{ line }}, '{{ paths[name] }}')
{%- endmacro %}

{% macro source_refs(pairs) -%}
    {#- JSON list of 'connection:object:id@version' for `explain`; `pairs` are (record alias, object) with the canonical columns. -#}
    cast(to_json([
        {%- for alias, object in pairs %}
        {{ alias }}.connection || ':{{ object }}:' || {{ alias }}.source_id || '@' || coalesce({{ alias }}.source_version, '')
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    ]) as varchar)
{%- endmacro %}
