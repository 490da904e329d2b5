"""What every object's rules may say: hooks around create, update and delete. The plain ones say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platforms.kantata.sandbox.service import Service

Row = dict[str, Any]
Nested = Mapping[str, Any]


class ObjectRules:
    """Hooks of one object. `row` and `changes` are in stored form and may be altered; refuse by raising."""

    def before_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        """Fill what the platform fills and refuse what it refuses, before the row is written."""

    def after_create(self, service: Service, row: Row, nested: Nested, actor: int) -> None:
        """Create what hangs on the new row (its `id` is in it)."""

    def before_update(self, service: Service, old: Row, changes: Row, nested: Nested, actor: int) -> None:
        """Refuse or complete a change."""

    def after_update(self, service: Service, old: Row, new: Row, nested: Nested, actor: int) -> None:
        """Carry a change on to other records."""

    def before_delete(self, service: Service, old: Row, actor: int) -> bool:
        """Refuse a delete, or clear what hangs on the row. True: keep the row and set its deleted_at."""
        return False
