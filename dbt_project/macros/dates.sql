{% macro months_between(start_date, end_date) -%}
    {#- Whole and begun months from start to end, both days included; 1 Jan to 31 Jan is 1, 1 Jan to 1 Feb is 2. -#}
    greatest(1, date_diff('month', cast({{ start_date }} as date), cast({{ end_date }} as date)) + 1)
{%- endmacro %}

{% macro add_months(day, months) -%}
    {#- The day so many months later; the last day of the month where the month is shorter. -#}
    cast({{ day }} + to_months(cast({{ months }} as integer)) as date)
{%- endmacro %}

{% macro month_of(day) -%}
    {#- First day of the month. -#}
    cast(date_trunc('month', {{ day }}) as date)
{%- endmacro %}
