{{ canonical_union('milestone', role='psa') }}
