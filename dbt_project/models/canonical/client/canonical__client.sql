{{ canonical_union('client', role='psa') }}
