"""Each floor has one room per platform, under the same name, and each room says first what it holds."""

from __future__ import annotations

import re

from tests.house.conftest import House

COLUMNS = ["object", "key", "cursor", "mode", "deletes", "writable"]


def test_there_are_rooms(house: House) -> None:
    assert house.rooms, "platforms/ holds no room at all"


def test_every_room_opens_with_its_table(house: House) -> None:
    wrong = []
    for room in house.rooms:
        readme = house.root / "platforms" / room / "README.md"
        text = readme.read_text() if readme.exists() else ""
        before_second_heading = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
        header = next((line for line in before_second_heading.splitlines() if line.lstrip().startswith("|")), "")
        if [cell.strip().lower() for cell in header.strip().strip("|").split("|")] != COLUMNS:
            wrong.append(f"platforms/{room}/README.md")
    assert not wrong, (
        f"a room's README.md opens with the table | {' | '.join(COLUMNS)} |, a line per object, before all else: "
        + ", ".join(wrong)
    )


def test_every_room_has_a_client_and_something_to_speak_to(house: House) -> None:
    sandbox = ("sandbox/__init__.py", "sandbox/service.py", "sandbox/app.py")
    missing = []
    for room in house.rooms:
        there = house.root / "platforms" / room
        wanted = ("client.py", "server/__init__.py") if (there / "server").exists() else ("client.py", *sandbox)
        missing += [f"platforms/{room}/{file}" for file in wanted if not (there / file).exists()]
    assert not missing, (
        "client.py speaks to the vendor; sandbox/ plays the vendor, or server/ runs the vendor's real one here; missing: "
        + ", ".join(missing)
    )


def test_a_platform_has_the_same_name_on_every_floor(house: House) -> None:
    places = ("ingestion/sources/{}.py", "reverse_etl/targets/{}.py", "dbt_project/models/staging/{}")
    missing = [
        place.format(room) for room in house.rooms for place in places if not (house.root / place.format(room)).exists()
    ]
    assert not missing, (
        "somebody who knows one platform finds his way in all, because every floor has a room under the same name; "
        "missing: " + ", ".join(missing)
    )
