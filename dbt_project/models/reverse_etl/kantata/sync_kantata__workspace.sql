{{ config(enabled=is_connected('kantata')) }}

-- One row per fit won deal: its project, with client, budget, lead, rate card and dates (H-6 to H-10).

with

deals as (

    select * from {{ ref('int_won_opportunities') }}
    where is_fit

),

projects as (

    select * from {{ ref('canonical__project') }}

),

stacks as (

    select * from {{ stacks_written('psa', 'kantata') }} as written

),

leads as (

    select
        connection,
        email,
        min(source_id) as lead_id
    from {{ ref('canonical__resource') }}
    where is_active and not is_deleted and email is not null
    group by connection, email

),

-- The firm's own card in the deal's currency; a client's card is set by the PSA itself.
default_cards as (

    select
        connection,
        currency,
        min(split_part(rate_card_id, ':', 2)) as rate_card_id
    from {{ ref('canonical__rate_card') }}
    where is_default_card and not is_deleted
    group by connection, currency

),

final as (

    select
        deals.source_id as opportunity_key,
        stacks.psa_connection as _connection,
        projects.source_id as _target_id,
        case when deals.client_id is null then 'its client is held: ' || deals.client_hold_reason end as _hold_reason,
        {{ source_refs([('deals', 'Opportunity')]) }} as _source_refs,
        deals.company_source_id as account_key,
        coalesce(leads.lead_id, fallback_leads.lead_id) as lead_id,
        default_cards.rate_card_id,
        deals.name as title,
        case deals.billing_type
            when 'time_and_materials' then 'Time and Materials'
            when 'fixed_fee' then 'Fixed Fee'
            when 'milestone' then 'Milestone'
            when 'retainer' then 'Retainer'
        end as billing_type,
        deals.legal_entity_code as legal_entity,
        deals.po_number,
        'project' as stage,
        'consultant' as creator_role,
        deals.currency,
        cast(deals.amount as decimal(20, 4)) as budget_amount,
        true as is_budgeted,
        true as is_time_approval_required,
        true as is_expense_approval_required,
        deals.contract_start_date as start_date,
        deals.contract_end_date as end_date
    from deals
    inner join stacks
        on deals.stack = stacks.stack
    left join projects
        on deals.project_id = projects.project_id
    left join leads
        on stacks.psa_connection = leads.connection and deals.delivery_lead_email = leads.email
    left join leads as fallback_leads
        on stacks.psa_connection = fallback_leads.connection and fallback_leads.email = '{{ var("handoff_fallback_lead_email") }}'
    left join default_cards
        on stacks.psa_connection = default_cards.connection and deals.currency = default_cards.currency

)

select * from final
