{{ canonical_union('project', role='psa', by_legal_entity=true) }}
