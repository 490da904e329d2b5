"""What an org must offer so that it can be read, so that `tieout doctor` can ask whether it does.

Derived from the declared tables. Only the records that the models name by the firm's own key are listed here; a test
holds the list equal to what the models say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ingestion import sources

# Where a platform keeps the legal entities; their external ids are the codes in the seed `stacks`.
_LEGAL_ENTITIES: Mapping[str, str] = {"netsuite": "subsidiary"}
# Records that dbt models name by external id: platform -> object -> ids.
_NAMED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "netsuite": {"serviceSaleItem": ("SVC-TIME", "SVC-EXPENSE", "SVC-FIXED", "SVC-RETAINER")}
}


def of(platform: str) -> dict[str, tuple[str, ...]]:
    """{vendor object: its fields} of every table that an org must have; of a nested field, the one it lies in.

    Left out are optional tables, and those cut out of another table's rows (the ids on an invoice): their columns are
    no fields of the vendor's object.
    """
    tables = sources.tables(platform)
    objects = {table.name: table.vendor_object for table in tables}
    needed: dict[str, tuple[str, ...]] = {}
    for table in tables:
        if table.optional or (table.rides_with and objects[table.rides_with] == table.vendor_object):
            continue
        fields = (field.partition(".")[0] for field in table.columns)
        needed[table.vendor_object] = tuple(dict.fromkeys((*needed.get(table.vendor_object, ()), *fields)))
    return needed


def records(platform: str, legal_entities: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """{vendor object: external ids} of the records that must be there. `legal_entities` are codes, as UK."""
    needed = dict(_NAMED.get(platform, {}))
    if platform in _LEGAL_ENTITIES and legal_entities:
        needed[_LEGAL_ENTITIES[platform]] = tuple(legal_entities)
    return needed
