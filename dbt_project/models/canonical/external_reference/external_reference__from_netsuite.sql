{{ config(enabled=is_connected('netsuite')) }}

with

customers as (

    select * from {{ ref('stg_netsuite__customers') }}

),

jobs as (

    select * from {{ ref('stg_netsuite__jobs') }}

),

transactions as (

    select * from {{ ref('stg_netsuite__transactions') }}

),

stored as (

    select
        customer_id || ':account' as external_reference_id,
        'customer' as entity,
        customer_id as entity_id,
        'customer' as subject_type,
        'account' as service_model,
        account_reference as service_reference,
        connection,
        source_id || ':account' as source_id,
        source_version,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from customers
    where account_reference is not null

    union all

    select
        customer_id || ':external_key' as external_reference_id,
        'customer' as entity,
        customer_id as entity_id,
        'customer' as subject_type,
        'external_key' as service_model,
        external_key as service_reference,
        connection,
        source_id || ':external_key' as source_id,
        source_version,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from customers
    where external_key is not null

    union all

    select
        ledger_project_id || ':external_key' as external_reference_id,
        'ledger_project' as entity,
        ledger_project_id as entity_id,
        'job' as subject_type,
        'external_key' as service_model,
        external_key as service_reference,
        connection,
        source_id || ':external_key' as source_id,
        source_version,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from jobs
    where external_key is not null

    union all

    select
        transaction_id || ':external_key' as external_reference_id,
        'invoice' as entity,
        transaction_id as entity_id,
        'transaction' as subject_type,
        'external_key' as service_model,
        external_key as service_reference,
        connection,
        source_id || ':external_key' as source_id,
        source_version,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from transactions
    where external_key is not null and transaction_type in ('CustInvc', 'CustCred')

),

final as (

    select
        external_reference_id,
        entity,
        entity_id,
        subject_type,
        'tieout' as service_name,
        service_model,
        service_reference,
        cast(null as text) as status,
        cast(null as text) as external_status,
        cast(null as text) as external_message,
        cast(null as text) as external_link,
        false as is_locked,
        cast(null as timestamp with time zone) as last_synced_at,

        -- provenance
        connection,
        source_id,
        source_version,
        cast(null as text) as source_path,
        is_deleted,
        source_created_at,
        source_updated_at,
        loaded_at
    from stored

)

select * from final
