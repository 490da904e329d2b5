{% macro generate_schema_name(custom_schema_name, node) -%}
    {#- Schemas are layers (staging, canonical, marts ...) under their own names, whatever the target's schema is. -#}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}
