{{ canonical_union('payment_application', role='accounting') }}
