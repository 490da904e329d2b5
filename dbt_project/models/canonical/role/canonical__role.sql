{{ canonical_union('role', role='psa') }}
