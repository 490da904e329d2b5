"""Who may import whom (.importlinter), and that each of those contracts would notice.

Run alone: `pytest tests/house/test_arrows.py`, or `lint-imports` for the contracts only.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.conftest import House

CONTRACTS = ".importlinter"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "250", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_every_import_goes_the_way_the_house_allows(house: House) -> None:
    done = lint(house.root)
    assert done.returncode == 0, f"an import goes the wrong way; what to do instead stands below it\n{done.stdout}"


# Each line is one import that one contract must notice, in a house of two made-up platforms.
WRONG = {
    "Floors import downwards only": ("platforms/kit/http.py", "import ingestion.sources"),
    "A platform room imports the kit and itself": ("platforms/alpha/client.py", "from platforms.beta import client"),
    "Live code never imports a sandbox": ("platforms/alpha/client.py", "def f():\n    import platforms.kit.sandbox"),
    "Dagster lives in orchestration": ("platforms/beta/client.py", "import dagster"),
    "dlt lives in ingestion": ("orchestration/defs.py", "import dlt"),
    "The write-back engine knows no vendor": ("reverse_etl/plan.py", "import platforms.alpha.client"),
}
RIGHT = {
    "orchestration/defs.py": "import dagster, reverse_etl.plan, ingestion.sources",
    "orchestration/sandboxes.py": "import platforms.kit.sandbox, platforms.world",
    "ingestion/sources.py": "import dlt, platforms.alpha.client",
    "reverse_etl/plan.py": "import platforms.kit.http",
    "reverse_etl/targets/alpha.py": "import platforms.alpha.client",
    "platforms/kit/http.py": "",
    "platforms/kit/sandbox/__init__.py": "import platforms.kit.http",
    "platforms/alpha/client.py": "import platforms.kit.http",
    "platforms/alpha/sandbox/__init__.py": "import platforms.kit.sandbox, platforms.alpha.client",
    "platforms/beta/client.py": "import platforms.kit.http",
    "platforms/world/__init__.py": "import platforms.alpha.sandbox, platforms.kit.sandbox",
}


@pytest.fixture
def small_house(house: House, tmp_path: Path) -> Path:
    for name, text in RIGHT.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    for folder in {parent for name in RIGHT for parent in (tmp_path / name).parents if tmp_path in parent.parents}:
        (folder / "__init__.py").touch()
    shutil.copy(house.root / CONTRACTS, tmp_path)
    return tmp_path


def test_the_contracts_allow_what_the_design_allows(small_house: Path) -> None:
    done = lint(small_house)
    assert done.returncode == 0, done.stdout


def test_each_contract_notices_its_wrong_import_and_teaches(small_house: Path) -> None:
    for name, line in WRONG.values():
        with (small_house / name).open("a") as file:
            file.write(line + "\n")
    told = lint(small_house).stdout
    verdicts = " ".join(told.split())
    for contract in WRONG:
        at = verdicts.index(contract)
        assert verdicts[at:].split("BROKEN")[0].count("KEPT") == 0, f"{contract!r} did not notice:\n{told}"
    settings = configparser.ConfigParser()
    settings.read(small_house / CONTRACTS)
    for section in settings.sections()[1:]:
        assert settings[section]["broken_contract_guidance"].strip(), f"{section} does not say what to do instead"


def test_the_contracts_name_no_platform(house: House) -> None:
    text = (house.root / CONTRACTS).read_text().lower()
    for room in house.rooms:
        assert room not in text, (
            f"{CONTRACTS} names {room}; use a wildcard (platforms.*), so that a new room needs no edit"
        )
