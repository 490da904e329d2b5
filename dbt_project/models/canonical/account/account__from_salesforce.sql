{{ config(enabled=is_connected('salesforce')) }}

with

accounts as (

    select * from {{ ref('stg_salesforce__accounts') }}

),

users as (

    select * from {{ ref('stg_salesforce__users') }}

),

final as (

    select
        accounts.account_id,
        accounts.parent_account_id,
        accounts.merged_into_account_id,
        coalesce(accounts.name, accounts.source_id) as name,
        coalesce(accounts.legal_name, accounts.name, accounts.source_id) as legal_name,
        accounts.account_type,
        accounts.industry,
        accounts.tax_id,
        accounts.website,
        {{ company_domain('accounts.website', 'accounts.billing_email') }} as domain,
        accounts.billing_email,
        accounts.phone,
        accounts.street,
        accounts.city,
        accounts.region,
        accounts.postal_code,
        accounts.country_code,
        accounts.payment_terms,
        users.name as owner_name,
        users.email as owner_email,
        accounts.tieout_other_currencies as reported_other_currencies,
        accounts.currency,
        accounts.tieout_invoiced_amount as reported_invoiced_amount,
        accounts.tieout_paid_amount as reported_paid_amount,
        accounts.tieout_open_amount as reported_open_amount,
        accounts.tieout_overdue_amount as reported_overdue_amount,
        case
            when accounts.payment_terms = 'Due on receipt' then 0
            else {{ safe_cast_to("replace(accounts.payment_terms, 'Net ', '')", 'integer') }}
        end as payment_terms_days,
        accounts.is_po_required,
        -- provenance
        accounts.connection,
        accounts.source_id,
        accounts.source_version,
        '/' || accounts.source_id as source_path,
        accounts.is_deleted,
        accounts.source_created_at,
        accounts.source_updated_at,
        accounts.loaded_at
    from accounts
    left join users
        on accounts.owner_user_id = users.user_id

)

select * from final
