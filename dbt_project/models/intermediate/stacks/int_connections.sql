-- One row per connection of the configuration (var connections).
{% for connection, settings in var('connections').items() %}
select
    '{{ connection }}' as connection,
    '{{ settings.platform }}' as platform,
    {{ "'" ~ settings.link_base ~ "'" if settings.get('link_base') else 'cast(null as varchar)' }} as link_base
{%- if not loop.last %}

union all
{% endif %}
{%- endfor %}
