"""How the sandbox says no: the vendor's `errors` array as exceptions, without HTTP.

The vendor has no machine error codes; a client can only go by `type` (`oauth`, `system`, `validation`) and `field`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from platforms.kit.sandbox.service import Refusal


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One entry of a validation error: the field (`base` for the whole record), the sentence, and in a bulk call the
    position in the submitted array."""

    field: str
    message: str
    index: int | None = None
    type: str = "validation"


class ValidationFailed(Refusal):
    """422 with one error per problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            code="validation",
            message="; ".join(p.message for p in problems),
            fields=tuple(p.field for p in problems),
            status=422,
        )

    def at(self, index: int) -> ValidationFailed:
        """The same refusal for the record at a position of a bulk body."""
        return ValidationFailed([replace(problem, index=index) for problem in self.problems])


def validation(field: str, message: str) -> ValidationFailed:
    """A refusal about one field."""
    return ValidationFailed([Problem(field=field, message=message)])


def system(message: str, status: int = 400) -> Refusal:
    """A refusal of the request as a whole."""
    return Refusal(code="system", message=message, fields=(), status=status)


def gone(table: str) -> Refusal:
    """404 for a record that is not there or is hidden."""
    return Refusal(
        code="system", message=f"The requested {table.replace('_', ' ')} could not be found", fields=(), status=404
    )


def forbidden(message: str = "You do not have permission to perform this action") -> Refusal:
    """403: cured by changing access groups, not the token."""
    return Refusal(code="system", message=message, fields=(), status=403)
