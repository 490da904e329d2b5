{#-
    A contract model out of what each platform gives: `<entity>__from_<platform>` for every connected platform in the
    role that keeps such records (var not_kept), only rows of connections that hold the role in some stack, each column
    in the contract's order and type. A role that nothing fills gives no rows.
    `stack_group`, `stack` (by legal entity, where `by_legal_entity` says that the rows name one) and `source_link` are added here; a platform's
    model gives `source_path`, the part of the link after the host.
-#}
{% macro canonical_union(entity, role, by_legal_entity=false) -%}
{%- set added = ['stack_group', 'stack', 'source_link'] -%}
{%- set platforms = [] -%}
{%- for platform in platforms_in(role) if entity not in var('not_kept').get(platform, []) -%}
    {%- do platforms.append(platform) -%}
{%- endfor -%}
with

connections as (

    select
        connection,
        stack_group,
        link_base
    from {{ ref('int_connections_with_roles') }}
    {%- if role != 'any' %}
    where has_{{ role }}_role
    {%- endif %}

),

records as (
    {% for platform in platforms %}
    select
        {%- for column in model.columns.values() if column.name not in added %}
        cast({{ column.name }} as {{ column.data_type }}) as {{ column.name }},
        {%- endfor %}
        source_path
    from {{ ref(entity ~ '__from_' ~ platform) }}
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- else %}
    select
        {%- for column in model.columns.values() if column.name not in added %}
        cast(null as {{ column.data_type }}) as {{ column.name }},
        {%- endfor %}
        cast(null as varchar) as source_path
    where false
    {%- endfor %}

)

select
    {%- for column in model.columns.values() %}
    {%- if column.name == 'stack_group' %}
    connections.stack_group
    {%- elif column.name == 'stack' %}
    coalesce(by_legal_entity.stack, alone.stack) as stack
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
{%- if by_legal_entity %}
left join {{ ref('int_stack_legal_entities') }} as by_legal_entity
    on
        records.connection = by_legal_entity.connection
        and records.legal_entity_code = by_legal_entity.legal_entity_code
        and by_legal_entity.role = '{{ role }}'
left join {{ ref('int_stack_legal_entities') }} as alone
    on
        records.connection = alone.connection
        and alone.legal_entity_code is null
        and alone.role = '{{ role }}'
{%- endif %}
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
