{{ canonical_union('opportunity', role='crm') }}
