{{ canonical_union('psa_invoice_line', role='psa') }}
