{{ canonical_union('accounting_period', role='accounting') }}
