{{ canonical_union('time_lock', role='psa') }}
