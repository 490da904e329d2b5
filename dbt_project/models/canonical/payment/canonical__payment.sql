{{ canonical_union('payment', role='accounting') }}
