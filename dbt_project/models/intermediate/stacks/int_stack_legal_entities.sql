-- One row per stack, role and legal entity: to which stack a record of a shared connection belongs. Where one stack
-- alone has the connection, the row without a legal entity says so for records that name none.
{%- set roles = ['crm', 'psa', 'accounting'] %}
{%- set rows = [] %}
{%- set alone = {} %}
{%- for stack in configured_stacks() %}
{%- for role in roles if stack[role] %}
{%- for code in stack.legal_entities %}
{%- do rows.append((stack[role], role, code, stack.stack)) %}
{%- endfor %}
{%- do alone.setdefault((stack[role], role), []).append(stack.stack) %}
{%- endfor %}
{%- endfor %}
{%- for key, stacks in alone.items() if stacks | length == 1 %}
{%- do rows.append((key[0], key[1], none, stacks[0])) %}
{%- endfor %}
{% for connection, role, code, stack in rows %}
select
    '{{ connection }}' as connection,
    '{{ role }}' as role,
    {{ "'" ~ code ~ "'" if code else 'cast(null as varchar)' }} as legal_entity_code,
    '{{ stack }}' as stack
{%- if not loop.last %}

union all
{% endif %}
{%- endfor %}
