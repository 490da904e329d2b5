"""JSON whose numbers are exact: every number with a point comes and goes as `Decimal`, never as a float."""

from __future__ import annotations

from typing import Any

import simplejson


def dumps(value: Any) -> str:
    """`value` as compact JSON; Decimals are written digit for digit. NaN and infinity raise ValueError."""
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def loads(text: str | bytes) -> Any:
    """The value of a JSON text; numbers with a point or exponent are Decimals. Raises ValueError on anything else."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    return simplejson.loads(text, use_decimal=True)
