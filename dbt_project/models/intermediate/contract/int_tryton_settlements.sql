{{ config(enabled=is_connected('tryton')) }}

with

lines as (

    select * from {{ ref('stg_tryton__move_lines') }}
    where not is_deleted

),

moves as (

    select * from {{ ref('stg_tryton__moves') }}
    where not is_deleted

),

journals as (

    select * from {{ ref('stg_tryton__journals') }}

),

invoices as (

    select * from {{ ref('stg_tryton__invoices') }}
    where not is_deleted

),

payment_lines as (

    select * from {{ ref('stg_tryton__invoice_payment_lines') }}
    where not is_deleted

),

-- Step 1 of 3: what each line on a receivable account is, in the currency of its document; claims are positive.
described as (

    select
        lines.move_line_id,
        lines.reconciliation_id,
        invoices.invoice_id as document_id,
        case
            when invoices.invoice_id is not null then 'document'
            when cancelled.invoice_id is not null then 'reversal'
            when journals.journal_type = 'write-off' then 'write_off'
            else 'payment'
        end as kind,
        case when lines.second_currency_id is not null then lines.second_currency_amount else lines.debit - lines.credit end as amount,
        lines.due_date,
        moves.move_date,
        moves.connection,
        lines.loaded_at
    from lines
    inner join moves
        on lines.move_id = moves.move_id
    left join journals
        on moves.journal_id = journals.journal_id
    left join invoices
        on lines.move_id = invoices.move_id
    left join invoices as cancelled
        on lines.move_id = cancelled.cancel_move_id

),

-- Step 2 of 3: a reconciliation says only which lines settle each other. They are laid side by side in the order of
-- their dates, so that every claim meets just as much as covers it.
claims as (

    select
        *,
        sum(amount) over (
            partition by reconciliation_id
            order by due_date nulls last, move_date, move_line_id
            rows between unbounded preceding and current row
        ) as covered_to
    from described
    where reconciliation_id is not null and amount > 0

),

settling as (

    select
        *,
        sum(-amount) over (
            partition by reconciliation_id
            order by move_date, move_line_id
            rows between unbounded preceding and current row
        ) as covered_to
    from described
    where reconciliation_id is not null and amount < 0

),

reconciled as (

    select
        claims.connection,
        claims.move_line_id as claim_line_id,
        claims.document_id as claim_document_id,
        claims.kind as claim_kind,
        settling.move_line_id as settling_line_id,
        settling.document_id as settling_document_id,
        settling.kind as settling_kind,
        least(claims.covered_to, settling.covered_to)
        - greatest(claims.covered_to - claims.amount, settling.covered_to + settling.amount) as amount,
        greatest(claims.move_date, settling.move_date) as settled_date,
        greatest(claims.loaded_at, settling.loaded_at) as loaded_at
    from claims
    inner join settling
        on
            claims.reconciliation_id = settling.reconciliation_id
            and claims.covered_to > settling.covered_to + settling.amount
            and settling.covered_to > claims.covered_to - claims.amount

),

-- Step 3 of 3: part payments stand beside their invoice and are reconciled with it only when nothing is open any more.
paid_in_part as (

    select
        described.connection,
        case when described.amount > 0 then described.move_line_id end as claim_line_id,
        case when described.amount < 0 then payment_lines.invoice_id end as claim_document_id,
        case when described.amount < 0 then 'document' else 'payment' end as claim_kind,
        case when described.amount < 0 then described.move_line_id end as settling_line_id,
        case when described.amount > 0 then payment_lines.invoice_id end as settling_document_id,
        case when described.amount < 0 then 'payment' else 'document' end as settling_kind,
        abs(described.amount) as amount,
        described.move_date as settled_date,
        described.loaded_at
    from payment_lines
    inner join described
        on payment_lines.move_line_id = described.move_line_id
    where described.reconciliation_id is null and described.amount <> 0

),

final as (

    select
        coalesce(claim_line_id, claim_document_id) || '|' || coalesce(settling_line_id, settling_document_id) as settlement_id,
        *
    from (
        select * from reconciled
        union all
        select * from paid_in_part
    ) as both_kinds

)

select * from final
