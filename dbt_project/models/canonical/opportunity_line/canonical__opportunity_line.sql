{{ canonical_union('opportunity_line', role='crm') }}
