{#- Fails with every row for which `expression` is not true; null counts as not true. On a column, `column op expression`. -#}
{% test expression_is_true(model, expression, column_name=none) %}

select *
from {{ model }}
where not coalesce({{ column_name ~ ' ' if column_name }}{{ expression }}, false)

{% endtest %}
