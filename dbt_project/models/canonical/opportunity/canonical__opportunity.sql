{{ canonical_union('opportunity', role='crm', by_legal_entity=true) }}
