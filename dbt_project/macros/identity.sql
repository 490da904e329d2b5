{#- How records are compared across platforms: rules C-1 and C-2. -#}

{#- A tax id without spaces and punctuation, upper case; what has no letter or digit left is no tax id. -#}
{% macro normalised_tax_id(expression) -%}
    nullif(upper({{ replace_pattern(expression, '[^0-9A-Za-z]', '') }}), '')
{%- endmacro %}

{#-
    A company name for comparison: no accents, case or punctuation, & is and, legal forms at the end dropped.
    "Acme Corp." and "ACME Corporation" meet; "Acme Holdings" and "Acme" stay apart, since a holding is another company.
-#}
{% macro normalised_name(expression) -%}
    {%- set folded = replace_pattern(fold(expression), '&', ' and ') -%}
    {%- set joined = replace_pattern(folded, "[.''’]", '') -%}
    {%- set spaced = "' ' || trim(" ~ replace_pattern(joined, '[^a-z0-9]+', ' ') ~ ")" -%}
    {%- set forms = '( (ltd|limited|llc|llp|lp|plc|inc|incorporated|corp|corporation|co|company|gmbh|mbh|ag|kg|kgaa|ohg|ug|se|bv|nv|sa|sas|sarl|srl|spa|sl|ab|as|oy|aps|pty|pte|and co kg|and co))+$' -%}
    nullif(trim({{ replace_pattern(spaced, forms, '') }}), '')
{%- endmacro %}

{#-
    The domain that says who a company is: out of the website, else of the e-mail, without www and path.
    Hosts in the var free_mail_domains say nothing and give null.
-#}
{% macro company_domain(website, email) -%}
    case
        when {{ domain_of_website(website) }} not in {{ free_mail_list() }} then {{ domain_of_website(website) }}
        when {{ domain_of_website(website) }} is null and {{ domain_of_email(email) }} not in {{ free_mail_list() }} then {{ domain_of_email(email) }}
    end
{%- endmacro %}

{% macro domain_of_website(website) -%}
    nullif({{ replace_pattern('lower(trim(' ~ website ~ '))', '^([a-z]+://)?(www[.])?|[/:?#].*$', '') }}, '')
{%- endmacro %}

{% macro domain_of_email(email) -%}
    nullif(split_part(lower(trim({{ email }})), '@', 2), '')
{%- endmacro %}

{% macro free_mail_list() -%}
    ('{{ var("free_mail_domains") | join("', '") }}')
{%- endmacro %}
