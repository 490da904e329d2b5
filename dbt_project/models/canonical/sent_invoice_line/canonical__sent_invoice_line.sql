{{ canonical_union('sent_invoice_line', role='accounting') }}
