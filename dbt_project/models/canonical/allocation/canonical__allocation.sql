{{ canonical_union('allocation', role='psa') }}
