{{ config(enabled=is_connected('kantata')) }}

with

source as (

    select * from {{ source('raw_kantata', 'invoice_billing_milestones') }}

),

renamed as (

    select
        -- ids
        {{ row_id('invoice_id') }} as psa_invoice_id,
        {{ row_id('billing_milestone_id') }} as milestone_id,

        -- loader
        _connection as connection,
        _deleted_at is not null as is_deleted,
        _loaded_at as loaded_at
    from source

)

select * from renamed
