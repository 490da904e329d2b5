with

accounts as (

    select * from {{ ref('canonical__account') }}

),

clients as (

    select * from {{ ref('canonical__client') }}

),

customers as (

    select * from {{ ref('canonical__customer') }}

),

legal_entities as (

    select * from {{ ref('canonical__legal_entity') }}

),

-- Step 1 of 3: everyone who might be the same company. A merged account lives on in its survivor.
parties as (

    select
        'crm' as role,
        account_id as party_id,
        stack_group,
        name,
        legal_name as compared_name,
        tax_id,
        domain,
        country_code,
        postal_code,
        cast(null as text) as legal_entity_code,
        currency,
        true as is_active,
        source_created_at
    from accounts
    where not is_deleted and merged_into_account_id is null

    union all

    select
        'psa' as role,
        client_id as party_id,
        stack_group,
        name,
        name as compared_name,
        tax_id,
        domain,
        cast(null as text) as country_code,
        cast(null as text) as postal_code,
        cast(null as text) as legal_entity_code,
        currency,
        true as is_active,
        source_created_at
    from clients
    where is_company and not is_deleted

    union all

    select
        'accounting' as role,
        customers.customer_id as party_id,
        customers.stack_group,
        customers.name,
        customers.name as compared_name,
        customers.tax_id,
        customers.domain,
        customers.country_code,
        customers.postal_code,
        legal_entities.code as legal_entity_code,
        customers.currency,
        customers.is_active,
        customers.source_created_at
    from customers
    left join legal_entities
        on customers.legal_entity_id = legal_entities.legal_entity_id
    where not customers.is_deleted

),

normalised as (

    select
        *,
        {{ normalised_name('compared_name') }} as normalised_name,
        {{ normalised_tax_id('tax_id') }} as normalised_tax_id
    from parties

),

-- A tax id often begins with its country: GB123456789 is 123456789 of GB.
final as (

    select
        role,
        party_id,
        stack_group,
        name,
        normalised_name,
        normalised_tax_id,
        case
            when substr(normalised_tax_id, 1, 1) between 'A' and 'Z' and substr(normalised_tax_id, 2, 1) between 'A' and 'Z'
                then substr(normalised_tax_id, 3)
            else normalised_tax_id
        end as tax_number,
        coalesce(
            case
                when substr(normalised_tax_id, 1, 1) between 'A' and 'Z' and substr(normalised_tax_id, 2, 1) between 'A' and 'Z'
                    then case substr(normalised_tax_id, 1, 2)
                        when 'EL' then 'GR'
                        else substr(normalised_tax_id, 1, 2)
                    end
            end,
            case when normalised_tax_id is not null then country_code end
        ) as tax_country,
        domain,
        country_code,
        postal_code,
        legal_entity_code,
        currency,
        is_active,
        source_created_at
    from normalised

)

select * from final
