with

connections as (

    select * from {{ ref('int_connections_with_roles') }}

),

observations as (
    {% for platform in platforms_in('any') %}
    select
        '{{ platform }}' as platform,
        connection,
        observed_at,
        loaded_at
    from {{ ref('stg_' ~ platform ~ '__observations') }}
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- endfor %}

),

final as (

    select
        observations.connection,
        observations.platform,
        connections.stack_group,
        observations.observed_at as as_of_at,
        {{ business_date('observations.observed_at') }} as as_of_date,
        observations.loaded_at
    from observations
    left join connections
        on observations.connection = connections.connection

)

select * from final
