{{ canonical_union('time_entry', role='psa') }}
