{{ canonical_union('legal_entity', role='accounting') }}
