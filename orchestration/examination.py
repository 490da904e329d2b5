"""`tieout doctor`: is every connection able to do what the dbt models and the syncs will ask of it?

What is required is derived, never listed: the columns that ingestion declares, the fields that the syncs write, the
records that models name by key, and the legal entities of the stacks a connection belongs to.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from orchestration import manifest, stacks
from orchestration.home import home
from platforms.kit.errors import PlatformError

# A person is waiting: a platform that cannot be reached is asked twice, not six times.
_ATTEMPTS = 2


def requirements(connection: str, platform: str) -> dict[str, Any]:
    """What a connection must offer, in vendor names: one shape, whatever the platform.

    `read` and `write` are {object: fields}, `create` lists the objects that records are made of, `records` is
    {object: external ids that must exist}.
    """
    from ingestion import requirements as reading
    from reverse_etl.sync import Mode, read_syncs

    writes: dict[str, set[str]] = {}
    creates: set[str] = set()
    for sync in read_syncs(manifest.load()):
        if sync.platform == platform:
            writes.setdefault(sync.object, set()).update(sync.fields.values())
            if sync.mode is not Mode.update:
                creates.add(sync.object)
    return {
        "read": reading.of(platform),
        "write": {name: sorted(fields) for name, fields in sorted(writes.items())},
        "create": sorted(creates),
        "records": reading.records(platform, stacks.legal_entities_of(connection)),
    }


def examine(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One result per connection: its findings, each with level, what and fix. A connection that fails is a finding."""

    manifest.prepare()
    return [{"connection": name, "findings": _findings(name)} for name in names or stacks.all_connections()]


def _findings(name: str) -> list[dict[str, str]]:
    from ingestion import connections
    from ingestion.errors import IngestionError

    findings: list[dict[str, str]] = []
    try:
        connection = connections.resolve(name)
        with closing(connections.client(name, home().root)) as client:
            client.api.max_attempts = _ATTEMPTS
            for found in connection.spec.examine(client, requirements(name, connection.platform)):
                findings.append({"level": found.level, "what": found.what, "fix": found.fix})
        platform = stacks.connections().get(name, connection.platform)
        if platform != connection.platform:
            findings.append({
                "level": "error",
                "what": f"the stacks call this connection {platform}, its settings call it {connection.platform}",
                "fix": f"Correct `connections.{name}.platform` in the stacks or in the settings.",
            })  # fmt: skip
        if not stacks.stacks_of(name):
            findings.append({
                "level": "warning",
                "what": "no stack names this connection: it is read, but takes part in no mart and no write-back",
                "fix": "Add it to `connections` and to one of `stacks` (vars of dbt_project/dbt_project.yml).",
            })  # fmt: skip
    except (PlatformError, IngestionError) as error:
        findings.append({"level": "error", "what": error.message, "fix": error.next_step})
    return findings


def text(results: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """The results as a person reads them, worst first, and a last line that sums up; `width` is the terminal's."""
    columns = width or min(shutil.get_terminal_size().columns, 120)
    marks = {"error": "FAIL", "warning": "warn", "ok": "ok"}
    order = {"error": 0, "warning": 1, "ok": 2}
    counts = dict.fromkeys(order, 0)
    lines = []
    for result in results:
        lines.append(result["connection"])
        for finding in sorted(result["findings"], key=lambda f: order[f["level"]]):
            counts[finding["level"]] += 1
            lines += _wrapped(f"  {marks[finding['level']]:4}  ", finding["what"], columns)
            if finding["fix"] and finding["level"] != "ok":
                lines += _wrapped("        -> ", finding["fix"], columns)
        lines.append("")
    warnings = f"{counts['warning']} warning{'' if counts['warning'] == 1 else 's'}"
    lines.append(f"{counts['ok']} checks passed, {warnings}, {counts['error']} to fix")
    return "\n".join(lines)


def _wrapped(start: str, words: str, columns: int) -> list[str]:
    """Lines of at most `columns`, the later ones indented below the first; addresses and names are not broken."""
    return textwrap.wrap(
        words,
        max(columns, 40),
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
