{{ canonical_union('psa_invoice', role='psa') }}
