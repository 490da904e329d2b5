{% macro minor_amount(amount, minor_units) -%}
    {#- Whole minor units of an amount, exactly: 12.34 with 2 is 1234, 1200 with 0 is 1200. Never by way of a float. -#}
    cast(
        case {{ minor_units }}
            when 0 then {{ amount }}
            when 2 then {{ amount }} * 100
            when 3 then {{ amount }} * 1000
            when 1 then {{ amount }} * 10
            when 4 then {{ amount }} * 10000
        end as bigint
    )
{%- endmacro %}

{% macro money_pair(amount, currency, minor_units) -%}
    {#- Money as the JSON list [minor units, currency code] that some platforms' custom fields take. -#}
    '[' || cast({{ minor_amount(amount, minor_units) }} as varchar) || ',"' || {{ currency }} || '"]'
{%- endmacro %}
