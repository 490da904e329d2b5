{{ canonical_union('contact', role='crm') }}
