{{ canonical_union('customer', role='accounting') }}
