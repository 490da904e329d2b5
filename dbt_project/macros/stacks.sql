{#-
    The stacks of var `stacks`, checked: a list of {stack, stack_group, label, crm, psa, accounting, legal_entities, owners}.
    Stacks that share a connection are one group, named after the first of them: their records may refer to each other.
    A stack that names an unknown connection, role or owner, and two stacks of a group that claim the same legal
    entity, stop the build with what to correct.
-#}
{% macro configured_stacks() -%}
    {%- set roles = ['crm', 'psa', 'accounting'] -%}
    {%- set known = ['label', 'crm', 'psa', 'accounting', 'legal_entities', 'owners'] -%}
    {%- set connections = var('connections') -%}
    {%- set groups = {} -%}
    {%- for stack, settings in var('stacks').items() -%}
        {%- for setting in settings if setting not in known -%}
            {{ exceptions.raise_compiler_error("stack " ~ stack ~ ": unknown setting " ~ setting ~ "; there are " ~ known | join(', ')) }}
        {%- endfor -%}
        {%- for role in roles if settings.get(role) and settings[role] not in connections -%}
            {{ exceptions.raise_compiler_error("stack " ~ stack ~ ": " ~ role ~ " names connection " ~ settings[role] ~ ", which is not among `connections`") }}
        {%- endfor -%}
        {%- for field_group, owner in settings.get('owners', {}).items() if owner not in roles -%}
            {{ exceptions.raise_compiler_error("stack " ~ stack ~ ": owner of " ~ field_group ~ " is " ~ owner ~ "; it must be one of " ~ roles | join(', ')) }}
        {%- endfor -%}
        {%- do groups.update({stack: stack}) -%}
    {%- endfor -%}
    {#- every pass joins what shares a connection; after as many passes as there are stacks nothing moves any more -#}
    {%- for _ in groups -%}
        {%- for left, left_settings in var('stacks').items() -%}
            {%- for right, right_settings in var('stacks').items() -%}
                {%- for role in roles if left_settings.get(role) and left_settings[role] in right_settings.values() | select('string') | list -%}
                    {%- set first = [groups[left], groups[right]] | min -%}
                    {%- do groups.update({left: first, right: first}) -%}
                {%- endfor -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set found = [] -%}
    {%- set claimed = {} -%}
    {%- for stack, settings in var('stacks').items() -%}
        {%- for code in settings.get('legal_entities', []) -%}
            {%- set claim = groups[stack] ~ ' ' ~ code -%}
            {%- if claim in claimed -%}
                {{ exceptions.raise_compiler_error("legal entity " ~ code ~ " stands in the stacks " ~ claimed[claim] ~ " and " ~ stack ~ ", which share a connection: leave it to one of them") }}
            {%- endif -%}
            {%- do claimed.update({claim: stack}) -%}
        {%- endfor -%}
        {%- do found.append({
            'stack': stack,
            'stack_group': groups[stack],
            'label': settings.get('label', stack),
            'crm': settings.get('crm'),
            'psa': settings.get('psa'),
            'accounting': settings.get('accounting'),
            'legal_entities': settings.get('legal_entities', []),
            'owners': settings.get('owners', {}),
        }) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}


{#- Platforms that fill a role in some stack, each once, in the order of the stacks; the role 'any' means all of them. -#}
{% macro platforms_in(role) -%}
    {%- set roles = ['crm', 'psa', 'accounting'] if role == 'any' else [role] -%}
    {%- set found = [] -%}
    {%- for stack in var('stacks').values() -%}
        {%- for name in roles if stack.get(name) in var('connections') -%}
            {%- set platform = var('connections')[stack[name]]['platform'] -%}
            {%- if platform not in found -%}
                {%- do found.append(platform) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}


{#- True when some stack has a connection of this platform; what belongs to the others is not built. -#}
{% macro is_connected(platform, role='any') -%}
    {{ return(platform in platforms_in(role)) }}
{%- endmacro %}


{#-
    The stacks that a write-back serves: those whose connection in the role is of the platform. A sync that changes
    records (mode update or upsert) leaves out stacks in which that role itself owns the sync's `field_group` (O-1).
-#}
{% macro stacks_written(role, platform) -%}
    {%- set sync = model.config.get('meta', {}).get('sync', {}) if execute else {} -%}
    {%- set served = [] -%}
    {%- for stack in configured_stacks() if stack[role] and var('connections')[stack[role]]['platform'] == platform -%}
        {%- if sync.get('mode', 'create') == 'create' or stack.owners.get(sync.get('field_group')) != role -%}
            {%- do served.append("'" ~ stack.stack ~ "'") -%}
        {%- endif -%}
    {%- endfor -%}
    (
        select * from {{ ref('int_stacks') }}
        where {{ 'stack in (' ~ served | join(', ') ~ ')' if served else 'false' }}
    )
{%- endmacro %}


{#- The stacks whose platform in the role keeps no such entity (var not_kept): there is nothing of it to compare. -#}
{% macro stacks_without(entity, role) -%}
    {%- set found = [] -%}
    {%- for stack in configured_stacks() if stack[role] -%}
        {%- if entity in var('not_kept').get(var('connections')[stack[role]]['platform'], []) -%}
            {%- do found.append(stack.stack) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
