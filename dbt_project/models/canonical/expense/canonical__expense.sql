{{ canonical_union('expense', role='psa') }}
