"""What sqlfluff must know of dbt to render the models with the project's own macros, and no dbt started.

sqlfluff's dbt builtins know ref, source and config. This adds `var` (the real values of dbt_project.yml),
`adapter.dispatch` (DuckDB's spelling, else the default), and a `model` with a column or two. Named by `.sqlfluff`.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from jinja2 import pass_context
from jinja2.runtime import Context

_PROJECT = yaml.safe_load((Path(__file__).resolve().parents[3] / "dbt_project" / "dbt_project.yml").read_text())


def var(name: str, default: Any = None) -> Any:
    """The variable as the project sets it."""
    return _PROJECT["vars"].get(name, default)


class _Adapter:
    @staticmethod
    @pass_context
    def dispatch(context: Context, macro: str, package: str | None = None) -> Callable[..., str]:
        """The macro as DuckDB spells it, else its default."""
        found: Callable[..., str] | None = context.resolve_or_missing(f"duckdb__{macro}")
        return found if callable(found) else context[f"default__{macro}"]


adapter = _Adapter()
target = SimpleNamespace(type="duckdb", schema="main", name="dev")
execute = True
model = SimpleNamespace(
    config={},
    columns={
        name: SimpleNamespace(name=name, data_type="text")
        for name in ("record_id", "connection", "stack_group", "source_link")
    },
)
