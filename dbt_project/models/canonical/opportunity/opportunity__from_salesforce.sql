{{ config(enabled=is_connected('salesforce')) }}

with

opportunities as (

    select * from {{ ref('stg_salesforce__opportunities') }}

),

users as (

    select * from {{ ref('stg_salesforce__users') }}

),

billing_types as (

    select * from {{ mapped_values('salesforce', 'opportunity.billing_type') }} as mappings

),

final as (

    select
        opportunities.opportunity_id,
        opportunities.account_id,
        coalesce(opportunities.name, opportunities.source_id) as name,
        case
            when opportunities.is_won then 'won'
            when opportunities.is_closed then 'lost'
            else 'open'
        end as state,
        opportunities.stage_name,
        opportunities.opportunity_type,
        billing_types.canonical_value as billing_type,
        opportunities.billing_type as source_billing_type,
        opportunities.legal_entity_code,
        opportunities.po_number,
        users.name as owner_name,
        users.email as owner_email,
        opportunities.delivery_lead_email,
        opportunities.tieout_project_id as reported_project_id,
        opportunities.tieout_project_link as reported_project_link,
        opportunities.tieout_project_status as reported_project_status,
        opportunities.tieout_sync_status as reported_sync_status,
        opportunities.tieout_sync_reason as reported_sync_reason,
        opportunities.currency,
        opportunities.amount,
        opportunities.probability_percent,
        opportunities.tieout_invoiced_amount as reported_invoiced_amount,
        opportunities.tieout_paid_amount as reported_paid_amount,
        opportunities.tieout_open_amount as reported_open_amount,
        opportunities.tieout_overdue_amount as reported_overdue_amount,
        opportunities.tieout_percent_complete as reported_percent_complete,
        opportunities.close_date,
        opportunities.contract_start_date,
        opportunities.contract_end_date,
        opportunities.tieout_last_payment_date as reported_last_payment_date,
        opportunities.stage_changed_at,
        case when opportunities.is_won then opportunities.stage_changed_at end as won_at,
        -- provenance
        opportunities.connection,
        opportunities.source_id,
        opportunities.source_version,
        '/' || opportunities.source_id as source_path,
        opportunities.is_deleted,
        opportunities.source_created_at,
        opportunities.source_updated_at,
        opportunities.loaded_at
    from opportunities
    left join users
        on opportunities.owner_user_id = users.user_id
    left join billing_types
        on opportunities.billing_type = billing_types.source_value

)

select * from final
