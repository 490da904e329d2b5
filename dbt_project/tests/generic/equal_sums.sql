{#-
    Do the ends still count what the beginning counted? Sums `column` here and `to_column` in `to`, grouped alike, and
    fails with every group whose sums differ, or that stands on one side only with a sum other than zero.
    `where` and `to_where` choose the rows of each side.
-#}
{% test equal_sums(model, column, to, to_column, group_by, to_group_by=none, where='true', to_where='true') %}
{%- set to_group_by = to_group_by or group_by %}

with

here as (

    select
        {%- for name in group_by %}
        {{ name }} as group_{{ loop.index }},
        {%- endfor %}
        sum({{ column }}) as total
    from {{ model }}
    where {{ where }}
    group by {{ group_by | join(', ') }}

),

there as (

    select
        {%- for name in to_group_by %}
        {{ name }} as group_{{ loop.index }},
        {%- endfor %}
        sum({{ to_column }}) as total
    from {{ to }}
    where {{ to_where }}
    group by {{ to_group_by | join(', ') }}

)

select
    {%- for name in group_by %}
    coalesce(here.group_{{ loop.index }}, there.group_{{ loop.index }}) as {{ name }},
    {%- endfor %}
    here.total as total_here,
    there.total as total_there
from here
full outer join there
    on
        {%- for name in group_by %}
        {{ 'and ' if not loop.first }}here.group_{{ loop.index }} = there.group_{{ loop.index }}
        {%- endfor %}
where coalesce(here.total, 0) <> coalesce(there.total, 0)

{% endtest %}
