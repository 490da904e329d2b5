{{ canonical_union('psa_payment', role='psa') }}
