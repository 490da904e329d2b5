{% macro months_between(start_date, end_date) -%}
    {#- Whole and begun months from start to end, both days included; 15 Jan to 14 Feb is 1, 1 Jan to 1 Feb is 2. -#}
    {%- set whole = "datesub('month', cast(" ~ start_date ~ " as date), cast(" ~ end_date ~ " as date) + 1)" -%}
    greatest(1, {{ whole }} + case when {{ add_months(start_date, whole) }} <= cast({{ end_date }} as date) then 1 else 0 end)
{%- endmacro %}

{% macro add_months(day, months) -%}
    {#- The day so many months later; the last day of the month where the month is shorter. -#}
    cast({{ day }} + to_months(cast({{ months }} as integer)) as date)
{%- endmacro %}

{% macro month_of(day) -%}
    {#- First day of the month. -#}
    cast(date_trunc('month', {{ day }}) as date)
{%- endmacro %}

{% macro hours_of(minutes) -%}
    {#- Minutes as hours, rounded half up to 4 decimal places, in integers throughout: 531 is 8.8500, 20 is 0.3333. -#}
    {{ money_from_ten_thousandths('sign(' ~ minutes ~ ') * ' ~ integer_divide('20000 * abs(' ~ minutes ~ ') + 60', '120')) }}
{%- endmacro %}
