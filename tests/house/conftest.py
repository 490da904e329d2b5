"""What the house rules look at: the files of the project and the rooms there are."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Beside the platform rooms: the shared kit, and the simulated firm that lives in the sandboxes.
NO_PLATFORMS = {"kit", "world"}


@dataclass(frozen=True)
class House:
    """The project's files. `files` are the tracked ones and those about to be (untracked, not ignored)."""

    root: Path
    files: tuple[Path, ...]
    rooms: tuple[str, ...]

    def texts(self, *suffixes: str, under: str = "") -> dict[str, str]:
        """Relative path -> text of the files with one of `suffixes` (all text files if none given) below `under`."""
        found = {}
        for file in self.files:
            name = file.relative_to(self.root).as_posix()
            if not name.startswith(under) or (suffixes and file.suffix not in suffixes):
                continue
            content = file.read_bytes()
            if b"\0" not in content[:1024]:
                found[name] = content.decode("utf-8", errors="replace")
        return found


def listed(root: Path) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the house rules look at the files git knows; run them in a clone")
    return sorted(root / line for line in done.stdout.splitlines() if (root / line).is_file())


@pytest.fixture(scope="session")
def house() -> House:
    rooms = sorted(
        folder.name
        for folder in (ROOT / "platforms").iterdir()
        if (folder / "__init__.py").exists() and folder.name not in NO_PLATFORMS
    )
    return House(ROOT, tuple(listed(ROOT)), tuple(rooms))
