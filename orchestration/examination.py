"""`tieout doctor`: is every connection able to do what the dbt models and the syncs will ask of it?

What is required is derived, never listed: columns that ingestion declares, and fields that the syncs write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestration import manifest
from orchestration.home import home
from platforms.kit.errors import PlatformError


def requirements(platform: str) -> dict[str, Any]:
    """What a platform's connection must offer: objects and fields to read, objects and fields to write."""
    from ingestion import requirements as reading
    from reverse_etl.sync import read_syncs

    writes: dict[str, set[str]] = {}
    for sync in read_syncs(manifest.load()):
        if sync.platform == platform:
            writes.setdefault(sync.object, set()).update(sync.fields.values())
    return {"read": reading.of(platform), "write": {name: sorted(fields) for name, fields in sorted(writes.items())}}


def examine(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One result per connection: its findings, each with level, what and fix. A connection that fails is a finding."""
    from ingestion import connections
    from ingestion.errors import IngestionError

    results = []
    for name in names or connections.names():
        findings: list[Mapping[str, str]] = []
        try:
            connection = connections.resolve(name)
            client = connections.client(name, home().root)
            for finding in connection.spec.examine(client, requirements(connection.platform)):
                findings.append({"level": finding.level, "what": finding.what, "fix": finding.fix})
        except PlatformError as error:
            findings.append({"level": "error", "what": error.message, "fix": error.next_step})
        except IngestionError as error:
            findings.append({"level": "error", "what": str(error), "fix": "See the message."})
        results.append({"connection": name, "findings": findings})
    return results


def text(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as a person reads them, worst first."""
    marks = {"error": "FAIL", "warning": "warn", "ok": "ok"}
    order = {"error": 0, "warning": 1, "ok": 2}
    lines = []
    for result in results:
        lines.append(result["connection"])
        for finding in sorted(result["findings"], key=lambda f: order[f["level"]]):
            lines.append(f"  {marks[finding['level']]:4}  {finding['what']}")
            if finding["fix"] and finding["level"] != "ok":
                lines.append(f"        -> {finding['fix']}")
    return "\n".join(lines)
