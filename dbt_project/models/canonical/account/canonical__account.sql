{{ canonical_union('account', role='crm') }}
