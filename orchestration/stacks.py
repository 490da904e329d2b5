"""The firm's stacks: which connections work together, for which legal entities, and who owns what.

They stand in `dbt_project/dbt_project.yml` under `vars: stacks` and `vars: connections`. A YAML file with the same two
keys (and any other var), named by `TIEOUT_STACKS`, takes their place: for another environment, a demo, a test. Tieout
hands that file to dbt as `--vars`; for plain dbt, `tieout stacks --vars` prints them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from orchestration.home import DBT_PROJECT_DIR

ROLES = ("crm", "psa", "accounting")
VARIABLE = "TIEOUT_STACKS"


class StacksError(Exception):
    """The stacks file cannot be used; the message names the file and what to correct."""


def file() -> Path | None:
    """The file named by `TIEOUT_STACKS`; None = the dbt project's own vars hold."""
    configured = os.environ.get(VARIABLE)
    return Path(configured).expanduser().resolve() if configured else None


def overrides() -> dict[str, Any]:
    """The vars that take the place of the project's; {} without a file. Raises StacksError."""
    path = file()
    if path is None:
        return {}
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StacksError(f"{VARIABLE} names {path}, which is not there.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StacksError(f"{path} is not YAML: {error}") from None
    missing = {"stacks", "connections"} - set(read if isinstance(read, dict) else {})
    if missing:
        raise StacksError(f"{path} lacks {', '.join(sorted(missing))}; see the vars of dbt_project/dbt_project.yml.")
    return dict(read)


def variables() -> Mapping[str, Any]:
    """The vars as dbt sees them."""
    project = yaml.safe_load((DBT_PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))
    return {**project["vars"], **overrides()}


def dbt_arguments() -> list[str]:
    """What every dbt command of ours gets: `--vars` with the file's vars, nothing without a file."""
    found = overrides()
    return ["--vars", json.dumps(found, sort_keys=True)] if found else []


def target_path() -> Path:
    """dbt's target folder: the configured one, the project's, or one per stacks file, so that their manifests do not
    take turns in one place."""
    if configured := os.environ.get("DBT_TARGET_PATH"):
        return Path(configured)
    found = overrides()
    if not found:
        return DBT_PROJECT_DIR / "target"
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:12]
    return DBT_PROJECT_DIR / "target" / f"stacks-{digest}"


def connections() -> dict[str, str]:
    """Connection -> platform of every connection that some stack names."""
    found = variables()
    named = {stack.get(role) for stack in found["stacks"].values() for role in ROLES}
    return {name: settings["platform"] for name, settings in found["connections"].items() if name in named}


def all_connections() -> list[str]:
    """Connections of the stacks, and those that have settings although no stack names them: they are read as well."""
    from ingestion.connections import configured_names

    return sorted({*connections(), *configured_names()})


def text(shown: Mapping[str, Any]) -> str:
    """The stacks as a person reads them."""
    lines = []
    for name, stack in shown["stacks"].items():
        lines.append(
            f"{name}: {stack.get('label', name)}, for {', '.join(stack.get('legal_entities', [])) or 'nobody'}"
        )
        for role in ROLES:
            if connection := stack.get(role):
                platform = shown["connections"].get(connection, {}).get("platform", "?")
                owned = sorted(group for group, owner in stack.get("owners", {}).items() if owner == role)
                lines.append(f"  {role:11} {connection} ({platform}); owns {', '.join(owned) or 'nothing'}")
    return "\n".join(lines)


def stacks_of(connection: str) -> dict[str, Mapping[str, Any]]:
    """The stacks that name this connection in some role, with their settings."""
    stacks: Mapping[str, Mapping[str, Any]] = variables()["stacks"]
    return {name: stack for name, stack in stacks.items() if connection in [stack.get(role) for role in ROLES]}


def legal_entities_of(connection: str) -> list[str]:
    """Codes of the legal entities of those stacks, in their order."""
    found = (code for stack in stacks_of(connection).values() for code in stack.get("legal_entities", []))
    return list(dict.fromkeys(found))
