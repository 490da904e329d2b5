{#- Platforms that can fill a role (var platforms); the role 'any' means all of them, each once. -#}
{% macro platforms_in(role) -%}
    {%- set found = [] -%}
    {%- for candidate, platforms in var('platforms').items() if role in ('any', candidate) -%}
        {%- for platform in platforms if platform not in found -%}
            {%- do found.append(platform) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}


{#-
    A contract model out of what each platform gives: `<entity>__from_<platform>` for every platform in the role, only
    rows of connections that hold the role in some stack, each column in the contract's order and type.
    `stack` and `source_link` are added here; a platform's model gives `source_path`, the part of the link after the host.
-#}
{% macro canonical_union(entity, role) -%}
with

connections as (

    select
        connection,
        stack,
        link_base
    from {{ ref('int_connections_with_roles') }}
    {%- if role != 'any' %}
    where has_{{ role }}_role
    {%- endif %}

),

records as (
    {% for platform in platforms_in(role) %}
    select
        {%- for column in model.columns.values() if column.name not in ('stack', 'source_link') %}
        cast({{ column.name }} as {{ column.data_type }}) as {{ column.name }},
        {%- endfor %}
        source_path
    from {{ ref(entity ~ '__from_' ~ platform) }}
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- endfor %}

)

select
    {%- for column in model.columns.values() %}
    {%- if column.name == 'stack' %}
    connections.stack
    {%- elif column.name == 'source_link' %}
    connections.link_base || records.source_path as source_link
    {%- else %}
    records.{{ column.name }}
    {%- endif %}
    {%- if not loop.last %},{% endif %}
    {%- endfor %}
from records
inner join connections
    on records.connection = connections.connection
{%- endmacro %}


{#-
    Joins the mapping table (seed value_mappings) for one field, so that a vendor value becomes a canonical one as
    data and not as code. A value it does not know stays null here and is listed in canonical__unmapped_value.
-#}
{% macro mapped_values(platform, field) -%}
    (
        select
            source_value,
            canonical_value
        from {{ ref('value_mappings') }}
        where platform = '{{ platform }}' and field = '{{ field }}'
    )
{%- endmacro %}
