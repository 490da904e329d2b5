{{ canonical_union('item', role='accounting') }}
