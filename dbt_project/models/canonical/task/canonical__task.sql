{{ canonical_union('task', role='psa') }}
