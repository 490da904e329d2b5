"""What can go wrong between a platform and the warehouse, beside what the platforms' own error tree says.

    IngestionError
    ├── ConfigError         a setting is missing, malformed or unknown: nothing was read
    ├── TypeChanged         a platform delivers another type than the table declares: nothing of that run is loaded
    ├── ColumnRemoved       a platform no longer has a field that the table declares: nothing of that run is loaded
    ├── TruncatedRead       fewer rows arrived than the platform counts: nothing of that run is loaded
    ├── SuspiciousSweep     a sweep of ids would mark too many rows as deleted: nothing is marked
    ├── WarehouseLocked     another process holds the warehouse and did not give it up in time
    ├── WarehouseReplaced   the warehouse file is not the one this run started with: nothing of that run is loaded
    └── DiskFull            there is no room left: what was read stays pending and is loaded by the next run

Each message names what, where and the next step, and never a secret.
"""

from __future__ import annotations

from platforms.kit.secrets import mask


class IngestionError(Exception):
    """Reading a platform into the warehouse did not end as it should. `next_step` says what to do."""

    def __init__(self, message: str, *, next_step: str = "", connection: str = "", table: str = "") -> None:
        self.message = mask(message)
        self.next_step = next_step
        self.connection = connection
        self.table = table
        where = ".".join(part for part in (connection, table) if part)
        text = f"{where}: {self.message}" if where else self.message
        super().__init__(f"{text} Next: {next_step}" if next_step else text)


class ConfigError(IngestionError):
    """A setting is missing, malformed or unknown."""

    def __init__(self, message: str, *, next_step: str = "", connection: str = "", setting: str = "") -> None:
        self.setting = setting
        super().__init__(message, next_step=next_step, connection=connection)


class TypeChanged(IngestionError):
    """A platform delivers another type than the table declares."""


class ColumnRemoved(IngestionError):
    """A platform no longer has a field that the table declares."""


class TruncatedRead(IngestionError):
    """Fewer rows arrived than the platform counts."""


class SuspiciousSweep(IngestionError):
    """A sweep of ids would mark too many rows as deleted."""


class WarehouseLocked(IngestionError):
    """Another process holds the warehouse."""


class WarehouseReplaced(IngestionError):
    """The warehouse file is not the one this run started with."""


class DiskFull(IngestionError):
    """There is no room left on the disk."""
