"""What ingestion reads of a platform, so that `tieout doctor` can ask whether it may."""

from __future__ import annotations

from ingestion import sources


def of(platform: str) -> dict[str, list[str]]:
    """{vendor object: fields} of every table that an org must have; of a nested field, the one it lies in."""
    needed: dict[str, list[str]] = {}
    for table in sources.tables(platform):
        if table.optional:
            continue
        fields = (
            field.partition(".")[0] for field in table.columns if not (table.rides_with and platform == "kantata")
        )
        known = needed.setdefault(table.vendor_object, [])
        known.extend(field for field in dict.fromkeys(fields) if field not in known)
    return needed
