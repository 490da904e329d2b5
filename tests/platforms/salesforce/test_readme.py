"""The set-up guide says what the sandbox has and what Tieout needs."""

from __future__ import annotations

import re
from pathlib import Path

from platforms.salesforce.client import SPEC
from platforms.salesforce.sandbox.schema import label_of
from platforms.salesforce.sandbox.standard import tieout_fields

README = (Path(__file__).resolve().parents[3] / "platforms" / "salesforce" / "README.md").read_text(encoding="utf-8")


def test_every_custom_field_stands_in_the_guide_and_no_other() -> None:
    listed = re.findall(r"^\| (\w+) \| (\w+__c) \| ([^|]+) \|", README, re.MULTILINE)
    wanted = [(name, field.name, label_of(field)) for name, fields in tieout_fields().items() for field in fields]
    assert listed == wanted


def test_every_setting_stands_in_the_guide() -> None:
    named = set(re.findall(r"CONNECTIONS__SALESFORCE__(\w+)", README))
    assert named == {setting.name.upper() for setting in SPEC.settings}
