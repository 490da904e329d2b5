-- One row per stack of the configuration (var stacks).
{% for stack in configured_stacks() %}
select
    '{{ stack.stack }}' as stack,
    '{{ stack.stack_group }}' as stack_group,
    '{{ stack.label | replace("'", "''") }}' as label,
    {{ "'" ~ stack.crm ~ "'" if stack.crm else 'cast(null as varchar)' }} as crm_connection,
    {{ "'" ~ stack.psa ~ "'" if stack.psa else 'cast(null as varchar)' }} as psa_connection,
    {{ "'" ~ stack.accounting ~ "'" if stack.accounting else 'cast(null as varchar)' }} as accounting_connection,
    '{{ stack.legal_entities | join("|") }}' as legal_entities
{%- if not loop.last %}

union all
{% endif %}
{%- endfor %}
