{{ canonical_union('project', role='psa') }}
