{{ canonical_union('invoice_line', role='accounting') }}
