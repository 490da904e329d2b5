{{ config(enabled=is_connected('tryton')) }}

with

lines as (

    select * from {{ ref('stg_tryton__move_lines') }}

),

moves as (

    select * from {{ ref('stg_tryton__moves') }}

),

journals as (

    select * from {{ ref('stg_tryton__journals') }}

),

invoices as (

    select * from {{ ref('stg_tryton__invoices') }}

),

companies as (

    select * from {{ ref('int_tryton_companies') }}

),

currencies as (

    select * from {{ ref('stg_tryton__currencies') }}

),

settlements as (

    select * from {{ ref('int_tryton_settlements') }}

),

applications as (

    select * from {{ ref('payment_application__from_tryton') }}

),

states as (

    select * from {{ mapped_values('tryton', 'payment.state') }} as mappings

),

-- Moves of documents, those that undid them, and what was written off are no money.
documents as (

    select move_id from invoices
    where move_id is not null
    union
    select cancel_move_id as move_id from invoices
    where cancel_move_id is not null

),

applied as (

    select
        payment_id,
        sum(amount) as applied_amount
    from applications
    where payment_id is not null and not is_deleted
    group by payment_id

),

-- A payment that another entry took back settles that entry and no invoice (S-4).
taken_back as (

    select
        settling_line_id as payment_id,
        sum(amount) as amount
    from settlements
    where claim_kind = 'payment' and settling_kind = 'payment'
    group by settling_line_id

),

-- Every line of an entry on a receivable account is a payment of its own: one entry may hold those of many customers.
received as (

    select
        lines.move_line_id,
        lines.party_id,
        moves.company_id,
        moves.move_number,
        moves.state as source_state,
        coalesce(document_currencies.currency, companies.currency) as currency,
        case when lines.second_currency_id is not null then -lines.second_currency_amount else lines.credit - lines.debit end as amount,
        moves.move_date,
        lines.connection,
        lines.source_id,
        lines.source_version,
        moves.source_id as move_source_id,
        lines.is_deleted or moves.is_deleted as is_deleted,
        lines.source_created_at,
        lines.source_updated_at,
        lines.loaded_at
    from lines
    inner join moves
        on lines.move_id = moves.move_id
    left join documents
        on lines.move_id = documents.move_id
    left join journals
        on moves.journal_id = journals.journal_id
    left join companies
        on moves.company_id = companies.company_id
    left join currencies as document_currencies
        on lines.second_currency_id = document_currencies.currency_id
    where documents.move_id is null and coalesce(journals.journal_type, '') <> 'write-off'

),

final as (

    select
        received.move_line_id as payment_id,
        received.party_id as customer_id,
        received.company_id as legal_entity_id,
        received.move_number as payment_number,
        case when taken_back.amount >= received.amount then 'voided' else states.canonical_value end as state,
        received.source_state,
        received.currency,
        cast(null as decimal(20, 10)) as exchange_rate,
        received.amount,
        coalesce(applied.applied_amount, 0) as applied_amount,
        received.amount - coalesce(applied.applied_amount, 0) as unapplied_amount,
        coalesce(taken_back.amount >= received.amount, false) as is_voided,
        received.move_date as payment_date,
        -- provenance
        received.connection,
        received.source_id,
        received.source_version,
        '/model/account.move/' || received.move_source_id as source_path,
        received.is_deleted,
        received.source_created_at,
        received.source_updated_at,
        received.loaded_at
    from received
    left join applied
        on received.move_line_id = applied.payment_id
    left join taken_back
        on received.move_line_id = taken_back.payment_id
    left join states
        on received.source_state = states.source_value
    where received.amount > 0

)

select * from final
