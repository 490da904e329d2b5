{#-
    Money never passes through a float. A vendor's subunits are integers; canonical money is decimal(20,4), that is,
    an integer of ten-thousandths. `base_unit` is how many subunits make one unit: 100 for EUR, 1 for JPY, 1000 for KWD.
-#}

{#- Ten-thousandths in one subunit. A base unit that is not listed gives null, so that the money surfaces as missing. -#}
{% macro subunit_step(base_unit) -%}
    case {{ base_unit }} when 100 then 100 when 1 then 10000 when 1000 then 10 when 10 then 1000 when 10000 then 1 end
{%- endmacro %}

{#- The same from a currency's decimal places. -#}
{% macro base_unit_of(minor_units) -%}
    case {{ minor_units }} when 2 then 100 when 0 then 1 when 3 then 1000 when 1 then 10 when 4 then 10000 end
{%- endmacro %}

{% macro money_from_ten_thousandths(expression) -%}
    cast(cast({{ expression }} as decimal(18, 0)) * cast(0.0001 as decimal(5, 4)) as decimal(20, 4))
{%- endmacro %}

{#- 12345 subunits at base unit 100 -> 123.4500. -#}
{% macro money_from_subunits(subunits, base_unit) -%}
    {{ money_from_ten_thousandths(subunits ~ ' * (' ~ subunit_step(base_unit) ~ ')') }}
{%- endmacro %}

{#-
    Rule I-1: minutes x hourly rate / 60, rounded half up to the currency's subunit, per entry, in integers throughout.
    Half up means away from zero, so that a correction of an entry is exactly its opposite.
-#}
{% macro time_amount(minutes, rate, base_unit) -%}
    {%- set worth = '(' ~ minutes ~ ' * cast(' ~ rate ~ ' * 10000 as bigint))' -%}
    {%- set step = '(' ~ subunit_step(base_unit) ~ ')' -%}
    {%- set subunits = integer_divide('2 * abs' ~ worth ~ ' + 60 * ' ~ step, '120 * ' ~ step) -%}
    {{ money_from_ten_thousandths('sign' ~ worth ~ ' * ' ~ subunits ~ ' * ' ~ step) }}
{%- endmacro %}
