-- An unknown picklist value is never guessed at (S-1, O-9). The message names it; seeds/value_mappings.csv teaches it.
with

unmapped as (

    select * from {{ ref('canonical__unmapped_value') }}

),

described as (

    select
        count(*) as value_count,
        string_agg(
            connection || ': ' || field || ' has the value "' || source_value || '" (' || cast(record_count as text)
            || ' records, as ' || example_source_id || ')',
            '; '
        ) as message
    from unmapped

)

select
    value_count,
    message
from described
where
    case
        when value_count > 0
            then {{ fail_with("'Unknown vendor values; add them to seeds/value_mappings.csv: ' || message") }} is not null
    end
