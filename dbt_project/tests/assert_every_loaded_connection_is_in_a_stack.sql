-- A connection that is loaded but stands in no stack is invisible to every model above staging: say so.
{{ config(severity='warn') }}

select
    connection,
    platform
from {{ ref('canonical__as_of') }}
where stack_group is null
