{{ canonical_union('rate_card', role='psa') }}
