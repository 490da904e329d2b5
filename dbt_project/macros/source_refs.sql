{% macro source_refs(pairs) -%}
    {#- JSON list of 'connection:object:id@version' for `explain`; `pairs` are (record alias, object) with the canonical columns. -#}
    cast(to_json([
        {%- for alias, object in pairs %}
        {{ alias }}.connection || ':{{ object }}:' || {{ alias }}.source_id || '@' || coalesce({{ alias }}.source_version, '')
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    ]) as varchar)
{%- endmacro %}
