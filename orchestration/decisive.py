"""Which dbt tests every pass of the loop runs, and which wait for the night.

A pass has seconds; each test costs dbt and Dagster some 50 ms together. Decisive are those whose failure must stop a
write: keys, sums of money, and what people must map before anything is sent. Left to the nightly build (and to
`tieout build`) are tests that a contract's constraints or a merge by key already enforce, and tests of the code itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NIGHTLY_KINDS = frozenset({"accepted_values", "relationships"})
# Keys of these layers come from loads that merge by key, and their columns are NOT NULL by contract.
_GUARDED_LAYERS = frozenset({"staging", "canonical"})
_KEY_KINDS = frozenset({"unique", "unique_combination", "not_null"})


def is_decisive(test: Mapping[str, Any]) -> bool:
    """True for a manifest node of a test that every pass has to run."""
    kind = (test.get("test_metadata") or {}).get("name", "singular")
    layer = test["fqn"][1] if len(test["fqn"]) > 2 else ""
    if kind in _NIGHTLY_KINDS or layer == "staging":
        return False
    if kind == "not_null":
        return layer == "reverse_etl"
    return not (kind in _KEY_KINDS and (layer in _GUARDED_LAYERS or not layer))


def decisive_names(manifest: Mapping[str, Any]) -> frozenset[str]:
    """Names of the decisive tests; a dbt test's name is its check's name."""
    return frozenset(
        node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "test" and is_decisive(node)
    )
