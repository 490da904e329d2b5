{{ canonical_union('payment_term', role='accounting') }}
