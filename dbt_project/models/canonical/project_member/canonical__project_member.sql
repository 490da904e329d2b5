{{ canonical_union('project_member', role='psa') }}
