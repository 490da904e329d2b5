{#- What differs between warehouses, and nothing else: each macro has the DuckDB spelling and a default in standard SQL. -#}

{% macro integer_divide(numerator, denominator) -%}
    {{ return(adapter.dispatch('integer_divide', 'tieout')(numerator, denominator)) }}
{%- endmacro %}

{% macro default__integer_divide(numerator, denominator) -%}
    floor(({{ numerator }}) / ({{ denominator }}))
{%- endmacro %}

{#- DuckDB divides decimals as floats; its integer division is exact. -#}
{% macro duckdb__integer_divide(numerator, denominator) -%}
    (({{ numerator }}) // ({{ denominator }}))
{%- endmacro %}


{% macro safe_cast_to(expression, data_type) -%}
    {{ return(adapter.dispatch('safe_cast_to', 'tieout')(expression, data_type)) }}
{%- endmacro %}

{% macro default__safe_cast_to(expression, data_type) -%}
    safe_cast({{ expression }} as {{ data_type }})
{%- endmacro %}

{% macro duckdb__safe_cast_to(expression, data_type) -%}
    try_cast({{ expression }} as {{ data_type }})
{%- endmacro %}


{#- Item `position` (from 0) of a JSON list, or the member `position` of a JSON object, as text; null when absent. -#}
{% macro json_item(expression, position) -%}
    {{ return(adapter.dispatch('json_item', 'tieout')(expression, position)) }}
{%- endmacro %}

{% macro default__json_item(expression, position) -%}
    json_extract_scalar({{ expression }}, '$[{{ position }}]')
{%- endmacro %}

{% macro duckdb__json_item(expression, position) -%}
    json_extract_string({{ expression }}, '$[{{ position }}]')
{%- endmacro %}


{#- The day on which a moment falls where the firm does business (var business_timezone). -#}
{% macro business_date(timestamp) -%}
    {{ return(adapter.dispatch('business_date', 'tieout')(timestamp)) }}
{%- endmacro %}

{% macro default__business_date(timestamp) -%}
    cast({{ timestamp }} at time zone '{{ var("business_timezone") }}' as date)
{%- endmacro %}


{#- A moment as text that sorts and compares like the moment; what versions are made of. -#}
{% macro utc_text(timestamp) -%}
    {{ return(adapter.dispatch('utc_text', 'tieout')(timestamp)) }}
{%- endmacro %}

{% macro default__utc_text(timestamp) -%}
    to_char({{ timestamp }} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
{%- endmacro %}

{% macro duckdb__utc_text(timestamp) -%}
    strftime({{ timestamp }} at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')
{%- endmacro %}


{% macro days_between(earlier, later) -%}
    {{ return(adapter.dispatch('days_between', 'tieout')(earlier, later)) }}
{%- endmacro %}

{% macro default__days_between(earlier, later) -%}
    ({{ later }} - {{ earlier }})
{%- endmacro %}

{% macro duckdb__days_between(earlier, later) -%}
    date_diff('day', {{ earlier }}, {{ later }})
{%- endmacro %}


{#- Lower case without accents: the start of every comparison of names (C-2). -#}
{% macro fold(expression) -%}
    {{ return(adapter.dispatch('fold', 'tieout')(expression)) }}
{%- endmacro %}

{% macro default__fold(expression) -%}
    lower(unaccent({{ expression }}))
{%- endmacro %}

{% macro duckdb__fold(expression) -%}
    lower(strip_accents(replace({{ expression }}, 'ß', 'ss')))
{%- endmacro %}


{% macro replace_pattern(expression, pattern, replacement) -%}
    {{ return(adapter.dispatch('replace_pattern', 'tieout')(expression, pattern, replacement)) }}
{%- endmacro %}

{% macro default__replace_pattern(expression, pattern, replacement) -%}
    regexp_replace({{ expression }}, '{{ pattern }}', '{{ replacement }}')
{%- endmacro %}

{% macro duckdb__replace_pattern(expression, pattern, replacement) -%}
    regexp_replace({{ expression }}, '{{ pattern }}', '{{ replacement }}', 'g')
{%- endmacro %}


{#- How alike two texts are, 0 to 1 (Jaro-Winkler). -#}
{% macro likeness(left, right) -%}
    {{ return(adapter.dispatch('likeness', 'tieout')(left, right)) }}
{%- endmacro %}

{% macro default__likeness(left, right) -%}
    jarowinkler_similarity({{ left }}, {{ right }}) / 100.0
{%- endmacro %}

{% macro duckdb__likeness(left, right) -%}
    jaro_winkler_similarity({{ left }}, {{ right }})
{%- endmacro %}


{#- Part `number` (from 1) of a text cut at `delimiter`; null when there are fewer parts. -#}
{% macro text_part(expression, delimiter, number) -%}
    nullif(split_part({{ expression }}, '{{ delimiter }}', {{ number }}), '')
{%- endmacro %}


{#- Makes a query fail with `message`, a text expression, so that a test can say what it found. -#}
{% macro fail_with(message) -%}
    {{ return(adapter.dispatch('fail_with', 'tieout')(message)) }}
{%- endmacro %}

{#- Where SQL cannot raise, the message is the failing row. -#}
{% macro default__fail_with(message) -%}
    {{ message }}
{%- endmacro %}

{% macro duckdb__fail_with(message) -%}
    error({{ message }})
{%- endmacro %}
