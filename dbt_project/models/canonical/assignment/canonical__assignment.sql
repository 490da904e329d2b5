{{ canonical_union('assignment', role='psa') }}
