{{ canonical_union('invoice', role='accounting') }}
