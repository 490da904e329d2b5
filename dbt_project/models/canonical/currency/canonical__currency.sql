{{ canonical_union('currency', role='accounting') }}
