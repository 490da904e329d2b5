{{ canonical_union('resource', role='psa') }}
