{#- What every staging model does to a vendor's columns. -#}

{#- '' means nothing was entered. -#}
{% macro text_or_null(column) -%}
    nullif(trim({{ column }}), '')
{%- endmacro %}

{#- Ids of all platforms meet in one warehouse: connection, colon, the vendor's id. Null when the vendor names none. -#}
{% macro row_id(column) -%}
    _connection || ':' || nullif({{ column }}, '')
{%- endmacro %}

{#- NetSuite's 'T' and 'F'; a column it leaves out is 'F'. Any other letter gives null and so breaks the not-null rule of the column it feeds. -#}
{% macro letter_flag(column) -%}
    case coalesce({{ column }}, 'F') when 'T' then true when 'F' then false end
{%- endmacro %}
