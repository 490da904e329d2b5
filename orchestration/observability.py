"""Logs that cannot carry a secret: the masking filter on every handler of the process."""

from __future__ import annotations

import logging

from platforms.kit.secrets import MaskingFilter


def mask_logs() -> None:
    """Put the masking filter on the root logger's and Dagster's handlers; safe to call again."""
    for name in ("", "dagster", "dlt", "httpx", "sqlalchemy"):
        logger = logging.getLogger(name)
        if not any(isinstance(f, MaskingFilter) for f in logger.filters):
            logger.addFilter(MaskingFilter())
        for handler in logger.handlers:
            if not any(isinstance(f, MaskingFilter) for f in handler.filters):
                handler.addFilter(MaskingFilter())
