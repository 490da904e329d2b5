"""An analyst adds a write-back with one dbt model and its yml, no Python: the recipe of docs/recipes.md, as it is written.

In a copy of the project, so that nothing else sees it. The code blocks are taken from the page itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.home import PROJECT_ROOT
from tests.end_to_end.harness import Firm

pytestmark = pytest.mark.timeout(1200)

BLOCK = re.compile(r"^`(dbt_project/[^`]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROOMS = ("orchestration", "ingestion", "reverse_etl", "platforms", "dbt_project")

# In one process: what a person types after adding the files, and whether the graph has the new asset.
STEPS = """
import json, sys
from orchestration import execution
from orchestration.cli import main
keys = sorted(key.to_user_string() for key in execution.definitions().resolve_asset_graph().materializable_asset_keys)
print(json.dumps(keys))
main(["build", sys.argv[1]], standalone_mode=False)
main(["apply", sys.argv[1]], standalone_mode=False)
"""


def files_of_the_recipe() -> dict[str, str]:
    """Path -> content of the files that the recipe 'A write-back' tells to add."""
    text = (PROJECT_ROOT / "docs" / "recipes.md").read_text()
    section = text.split("## A write-back", 1)[1].split("\n## ", 1)[0]
    return {path: content for path, content in BLOCK.findall(section)}


def copy_of_the_project(folder: Path) -> Path:
    """The project's packages and its dbt project, without build products."""
    for room in ROOMS:
        shutil.copytree(
            PROJECT_ROOT / room,
            folder / room,
            ignore=shutil.ignore_patterns("__pycache__", "target", "logs", ".user.yml"),
        )
    for file in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(PROJECT_ROOT / file, folder / file)
    return folder


def run_in(project: Path, firm: Firm, *command: str) -> subprocess.CompletedProcess[str]:
    """Python in the copied project, on this firm."""
    env = {**os.environ, **firm.env, "PYTHONPATH": str(project)}
    return subprocess.run(
        [sys.executable, *command], cwd=project, env=env, capture_output=True, text=True, timeout=600, check=False
    )


def test_one_model_and_its_yml_make_a_write_back(built: Path, tmp_path: Path) -> None:
    files = files_of_the_recipe()
    assert sorted(Path(name).suffix for name in files) == [".sql", ".yml"], (
        "the recipe needs these two files and no Python"
    )
    sync = next(Path(name).stem for name in files if name.endswith(".sql"))
    project = copy_of_the_project(tmp_path / "project")
    for name, content in files.items():
        assert not (project / name).exists(), f"{name} is part of the project already"
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(content)

    with Firm.copy_of(built, tmp_path / "firm") as firm:
        contacts = {row["Id"]: row["LastName"] for row in firm.running["salesforce"].service.rows("Contact")}
        assert any(name != name.upper() for name in contacts.values())
        done = run_in(project, firm, "-c", STEPS, sync)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"reverse_etl/{sync}" in json.loads(done.stdout.splitlines()[0])
        after = {row["Id"]: row["LastName"] for row in firm.running["salesforce"].service.rows("Contact")}
        assert after == {id: name.upper() for id, name in contacts.items()}

    # The same process of the original project knows nothing of it.
    assert sync not in (PROJECT_ROOT / "tests" / "orchestration" / "graph.txt").read_text()


def test_a_mistake_in_the_yml_is_told_with_file_model_and_key(built: Path, tmp_path: Path) -> None:
    """Malformed settings: nothing runs, and the message names the file, the model and the key."""
    project = copy_of_the_project(tmp_path / "project")
    wrong = project / "dbt_project/models/reverse_etl/salesforce/_salesforce__syncs.yml"
    text = wrong.read_text()
    assert "mode: update" in text
    wrong.write_text(text.replace("mode: update", "mode: upsret", 1))
    with Firm.copy_of(built, tmp_path / "firm") as firm:
        before = firm.requests
        done = run_in(project, firm, "-m", "orchestration.cli", "plan")
        assert done.returncode != 0
        assert "upsret" in done.stderr + done.stdout
        assert "_salesforce__syncs.yml" in done.stderr
        assert "Traceback" not in done.stderr
        assert firm.requests == before
