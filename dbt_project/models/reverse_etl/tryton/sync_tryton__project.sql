{{ config(enabled=is_connected('tryton')) }}

-- One row per fit won deal: its project in Tryton, which Tryton itself does not bill (H-6 to H-10).

with

deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

projects as (

    select * from {{ ref('canonical__project') }}

),

held_parties as (

    select
        party_key,
        _connection,
        'its party is held: ' || _hold_reason as reason
    from {{ ref('sync_tryton__party') }}
    where _hold_reason is not null

),

stacks as (

    select * from {{ stacks_written('psa', 'tryton') }} as written

),

final as (

    select
        'PRJ_' || deals.source_id as project_key,
        stacks.psa_connection as _connection,
        projects.source_id as _target_id,
        held_parties.reason as _hold_reason,
        {{ source_refs([('deals', 'Opportunity')]) }} as _source_refs,
        'ACC_' || deals.company_source_id as party_key,
        deals.name as project_name,
        'project' as work_type,
        -- Its own buttons would bill the hours a second time.
        'manual' as invoice_method,
        case deals.billing_type
            when 'time_and_materials' then 'SVC-TIME'
            when 'retainer' then 'SVC-RETAINER'
            else 'SVC-FIXED'
        end as billing_product
    from deals
    inner join stacks
        on deals.stack = stacks.stack
    left join projects
        on deals.project_id = projects.project_id
    left join held_parties
        on 'ACC_' || deals.company_source_id = held_parties.party_key and stacks.psa_connection = held_parties._connection

)

select * from final
