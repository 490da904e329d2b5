{{ canonical_union('ledger_project', role='accounting') }}
