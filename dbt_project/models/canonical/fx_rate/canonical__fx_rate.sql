{{ canonical_union('fx_rate', role='accounting') }}
