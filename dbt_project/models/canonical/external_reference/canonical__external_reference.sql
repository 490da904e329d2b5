{{ canonical_union('external_reference', role='any') }}
