-- One row per time entry, expense or milestone of the PSA that carries money: may it be billed now, and if not, why (B-1).

with

projects as (

    select * from {{ ref('canonical__project') }}

),

deals as (

    select * from {{ ref('int_won_opportunities') }}
    where project_id is not null

),

time_entries as (

    select * from {{ ref('canonical__time_entry') }}

),

expenses as (

    select * from {{ ref('canonical__expense') }}

),

milestones as (

    select * from {{ ref('canonical__milestone') }}

),

resources as (

    select * from {{ ref('canonical__resource') }}

),

tasks as (

    select * from {{ ref('canonical__task') }}

),

as_of as (

    select
        connection,
        as_of_date,
        {{ month_of('as_of_date') }} - 1 as cutoff_date
    from {{ ref('canonical__as_of') }}

),

-- What the PSA invoiced and the ledger has a document for is Tieout's own mirror; the document decides, not the mirror.
mirrors as (

    select distinct psa_id as psa_invoice_id
    from {{ ref('canonical__identity') }}
    where entity = 'invoice' and psa_id is not null and accounting_id is not null

),

claims as (

    select
        stack_group,
        source_reference,
        min(invoice_key) as invoice_key,
        min(invoice_id) as invoice_id,
        count(*) as claim_count
    from {{ ref('int_billing_claims') }}
    group by stack_group, source_reference

),

time_items as (

    select
        time_entries.connection || ':time_entry:' || time_entries.source_id as source_reference,
        'time_entry' as source_entity,
        time_entries.time_entry_id as source_entity_id,
        time_entries.project_id,
        time_entries.stack_group,
        time_entries.connection,
        time_entries.source_id,
        time_entries.source_version,
        time_entries.work_date as service_date,
        time_entries.currency,
        {{ hours_of('time_entries.minutes') }} as quantity,
        time_entries.rate,
        time_entries.amount,
        resources.name || ': ' || coalesce(tasks.name, 'work') || ', ' || cast(time_entries.work_date as varchar) as description,
        time_entries.approval_state,
        time_entries.is_billable,
        time_entries.is_approved or not time_entries.is_approval_required as is_approved,
        time_entries.is_deleted,
        time_entries.psa_invoice_id,
        time_entries.is_invoiced,
        time_entries.submitted_at,
        time_entries.approved_at,
        time_entries.rate is null as is_rate_unresolved,
        true as is_known,
        true as is_ready,
        'SVC-TIME' as item_key
    from time_entries
    left join resources
        on time_entries.resource_id = resources.resource_id
    left join tasks
        on time_entries.task_id = tasks.task_id

),

expense_items as (

    select
        expenses.connection || ':expense:' || expenses.source_id as source_reference,
        'expense' as source_entity,
        expenses.expense_id as source_entity_id,
        expenses.project_id,
        expenses.stack_group,
        expenses.connection,
        expenses.source_id,
        expenses.source_version,
        expenses.expense_date as service_date,
        expenses.currency,
        cast(1 as decimal(20, 4)) as quantity,
        expenses.amount as rate,
        expenses.amount,
        coalesce(expenses.category, 'Expense') || ', ' || cast(expenses.expense_date as varchar) as description,
        expenses.approval_state,
        expenses.is_billable,
        expenses.is_approved or not expenses.is_approval_required as is_approved,
        expenses.is_deleted,
        expenses.psa_invoice_id,
        expenses.is_invoiced,
        cast(null as timestamptz) as submitted_at,
        cast(null as timestamptz) as approved_at,
        false as is_rate_unresolved,
        true as is_known,
        true as is_ready,
        'SVC-EXPENSE' as item_key
    from expenses

),

-- What is completed early is billed for the day on which it was seen completed, not for a day to come.
milestone_items as (

    select
        milestones.connection || ':billing_milestone:' || milestones.source_id as source_reference,
        'milestone' as source_entity,
        milestones.milestone_id as source_entity_id,
        milestones.project_id,
        milestones.stack_group,
        milestones.connection,
        milestones.source_id,
        milestones.source_version,
        case
            when milestones.billing_trigger = 'on_completion' and milestones.is_completed
                then least(coalesce(milestones.invoice_date, tasks.due_date, as_of.as_of_date), as_of.as_of_date)
            else coalesce(milestones.invoice_date, tasks.due_date, as_of.as_of_date)
        end as service_date,
        milestones.currency,
        cast(1 as decimal(20, 4)) as quantity,
        milestones.amount as rate,
        milestones.amount,
        milestones.name as description,
        'approved' as approval_state,
        true as is_billable,
        true as is_approved,
        milestones.is_deleted,
        milestones.psa_invoice_id,
        milestones.is_invoiced,
        cast(null as timestamptz) as submitted_at,
        cast(null as timestamptz) as approved_at,
        false as is_rate_unresolved,
        milestones.billing_trigger is not null as is_known,
        coalesce(
            case milestones.billing_trigger
                when 'on_completion' then milestones.is_completed
                when 'fixed_date' then milestones.invoice_date <= as_of.as_of_date
            end,
            false
        ) as is_ready,
        case when projects.billing_type = 'retainer' then 'SVC-RETAINER' else 'SVC-FIXED' end as item_key
    from milestones
    left join projects
        on milestones.project_id = projects.project_id
    left join tasks
        on milestones.task_id = tasks.task_id
    left join as_of
        on milestones.connection = as_of.connection

),

items as (

    select * from time_items
    union all
    select * from expense_items
    union all
    select * from milestone_items

),

-- The tests of B-1 in order; what passes all of them is billed. Unknown is never yes: a value that nobody mapped, a date
-- or a rate that is missing, holds the item under its own reason.
final as (

    select
        items.source_reference,
        items.source_entity,
        items.source_entity_id,
        items.project_id,
        items.stack_group,
        projects.stack,
        items.connection,
        items.source_id,
        items.source_version,
        deals.opportunity_id,
        deals.legal_entity_code,
        deals.customer_key,
        deals.ledger_project_key,
        projects.source_id as project_source_id,
        projects.name as project_name,
        projects.billing_type,
        claims.invoice_key as claimed_invoice_key,
        claims.invoice_id as claimed_invoice_id,
        items.item_key,
        items.description,
        items.approval_state,
        case
            when claims.source_reference is not null then 'billed'
            when items.is_deleted then 'deleted at the source'
            when not coalesce(items.is_billable, false) then 'not billable'
            when items.approval_state = 'rejected' then 'rejected'
            when not coalesce(items.is_approved, false) and items.approval_state = 'captured' then 'not submitted'
            when not coalesce(items.is_approved, false) then 'submitted, not approved'
            when mirrors.psa_invoice_id is null and (items.psa_invoice_id is not null or items.is_invoiced) then 'invoiced in the PSA, not in the ledger'
            when items.source_entity = 'time_entry' and projects.billing_type in ('fixed_fee', 'milestone') then 'covered by the fixed fee'
            when items.source_entity = 'time_entry' and projects.billing_type = 'retainer' then 'covered by the retainer'
            when deals.opportunity_id is null then 'project has no won deal'
            when not deals.is_fit and deals.ledger_project_id is null then 'deal is held: ' || deals.blocking_reasons
            when deals.customer_key is null then 'deal names no account, legal entity or currency'
            when projects.project_id is null or projects.is_deleted or projects.state = 'cancelled' then 'project is not active for billing'
            when projects.state is null or projects.stage is null then 'state of the project is not known'
            when projects.stage <> 'project' then 'project is still an estimate'
            when items.source_entity <> 'expense' and (projects.billing_type is null or deals.billing_type is null) then 'billing type is not known'
            when items.source_entity = 'time_entry' and projects.billing_type <> deals.billing_type then 'billing type differs from the deal'
            when items.is_rate_unresolved then 'no rate resolves for the work date'
            when items.amount is null then 'amount is not known'
            when items.amount = 0 then 'zero amount'
            when not coalesce(items.currency = deals.currency, false) then 'currency differs from the contract'
            when not items.is_known then 'billing trigger is not known'
            when not items.is_ready then 'milestone not due'
            when items.source_entity <> 'milestone' and not coalesce(items.service_date between deals.contract_start_date and deals.contract_end_date, false)
                then 'work date outside the contract'
            when items.source_entity <> 'milestone' and not coalesce(items.service_date <= as_of.cutoff_date, false) then 'period not ended'
            else 'to bill'
        end as billing_state,
        strftime({{ month_of('items.service_date') }}, '%Y%m') as service_period,
        items.currency,
        items.quantity,
        items.rate,
        items.amount,
        coalesce(claims.claim_count, 0) as claim_count,
        items.is_billable,
        items.is_approved,
        items.is_deleted,
        items.is_rate_unresolved,
        items.is_ready,
        items.service_date,
        items.submitted_at,
        items.approved_at
    from items
    left join projects
        on items.project_id = projects.project_id
    left join deals
        on items.project_id = deals.project_id
    left join claims
        on items.stack_group = claims.stack_group and items.source_reference = claims.source_reference
    left join mirrors
        on items.psa_invoice_id = mirrors.psa_invoice_id
    left join as_of
        on items.connection = as_of.connection

)

select * from final
