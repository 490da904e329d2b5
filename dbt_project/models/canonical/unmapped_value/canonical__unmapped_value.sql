{#- Every canonical column that the mapping table (or a rule) fills from a vendor value, beside the column that keeps that value. -#}
{%- set mapped = [
    ('account', 'payment_terms_days', 'payment_terms'),
    ('opportunity', 'billing_type', 'source_billing_type'),
    ('project', 'state', 'source_state'),
    ('project', 'stage', 'source_stage'),
    ('project', 'billing_type', 'source_billing_type'),
    ('task', 'state', 'source_state'),
    ('task', 'task_type', 'source_task_type'),
    ('milestone', 'billing_trigger', 'source_billing_trigger'),
    ('timesheet', 'state', 'source_state'),
    ('psa_invoice', 'state', 'source_state'),
    ('invoice', 'state', 'source_state'),
    ('payment', 'state', 'source_state'),
] -%}
with

connections as (

    select * from {{ ref('int_connections_with_roles') }}

),

unmapped as (
    {% for entity, column, source_column in mapped %}
    select
        '{{ entity }}.{{ column }}' as field,
        connection,
        {{ source_column }} as source_value,
        source_id
    from {{ ref('canonical__' ~ entity) }}
    where {{ column }} is null and {{ source_column }} is not null and not is_deleted
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- endfor %}

),

final as (

    select
        unmapped.connection || '|' || unmapped.field || '|' || unmapped.source_value as unmapped_value_id,
        unmapped.connection,
        connections.platform,
        unmapped.field,
        unmapped.source_value,
        count(*) as record_count,
        min(unmapped.source_id) as example_source_id
    from unmapped
    inner join connections
        on unmapped.connection = connections.connection
    group by
        unmapped.connection,
        connections.platform,
        unmapped.field,
        unmapped.source_value

)

select * from final
