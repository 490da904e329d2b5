{{ canonical_union('timesheet', role='psa') }}
