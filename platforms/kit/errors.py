"""What can go wrong when a platform is spoken to, sorted by what to do next.

    PlatformError
    ├── Retry            the same request may be sent again after a short pause (5xx, lock contention, a dropped read)
    ├── Wait             the vendor asked us to slow down, for `retry_after` seconds (429, quota); nothing was done
    ├── Refused          the vendor said no and will say no again until the data changes
    │   ├── Conflict     the record exists already, or moved since we looked
    │   ├── Gone         the record is not there (any more)
    │   └── BadAnswer    the answer is not what the vendor's API speaks (an HTML page, a truncated body)
    ├── AskPerson        only a person can help: credentials, permissions, closed period, missing set-up
    ├── NotSent          the request never left this machine (DNS, connection refused, TLS): nothing was done
    └── Uncertain        the request left and no believable answer came back: it may or may not have been done

The class alone decides the next step (docs/rules: O-5, O-6): `Uncertain` is read back before anything is sent again,
`Retry`/`Wait`/`NotSent` may be repeated, `Refused` becomes an exception of that one record, `AskPerson` stops the
connection and alerts. Messages are masked and name the record, the rule and the next step.
"""

from __future__ import annotations

from platforms.kit.secrets import mask


class PlatformError(Exception):
    """A request to a platform did not do what was asked.

    `platform` and `connection` say where; `code` is the vendor's own error code, `status` the HTTP status (None when
    no answer was heard), `record` the business key or id concerned, `fields` the vendor's names of offending fields,
    `next_step` what a person should do, `request_id` the vendor's id for its support desk.
    """

    default_next_step = "See the message."

    def __init__(
        self,
        message: str,
        *,
        platform: str = "",
        connection: str = "",
        status: int | None = None,
        code: str = "",
        record: str = "",
        fields: tuple[str, ...] = (),
        next_step: str = "",
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.message = mask(message)
        self.platform = platform
        self.connection = connection
        self.status = status
        self.code = code
        self.record = record
        self.fields = fields
        self.next_step = next_step or self.default_next_step
        self.request_id = request_id
        self.retry_after = retry_after
        super().__init__(self.message)

    def __str__(self) -> str:
        where = self.connection or self.platform
        parts = [f"{where}: {self.message}" if where else self.message]
        if self.code:
            parts.append(f"[{self.code}]")
        if self.record:
            parts.append(f"(record {self.record})")
        parts.append(f"Next: {self.next_step}")
        if self.request_id:
            parts.append(f"(request {self.request_id})")
        return " ".join(parts)


class Retry(PlatformError):
    """The vendor stumbled; the same request may be sent again."""

    default_next_step = "Nothing to do; it is tried again."


class Wait(PlatformError):
    """The vendor asked for a pause before acting; nothing was done."""

    default_next_step = "Nothing to do; it is sent again after the pause the vendor asked for."


class Refused(PlatformError):
    """The vendor refused this request and will refuse it again until the data changes."""

    default_next_step = "Correct the named field at its source; the record is planned again on the next run."


class Conflict(Refused):
    """The record exists already, or has moved since it was read."""

    default_next_step = "Compare the two records and decide which one stands."


class Gone(Refused):
    """The record addressed is not there."""

    default_next_step = "Check whether the record was deleted or archived on the platform."


class BadAnswer(Refused):
    """The answer is not what this API speaks."""

    default_next_step = "Check base_url, and whether a proxy or a maintenance page answers in the vendor's place."


class AskPerson(PlatformError):
    """Only a person can help."""

    default_next_step = "Run `tieout doctor` and follow what it says."


class NotSent(PlatformError):
    """The request never left this machine; nothing was done."""

    default_next_step = "Check base_url, the network and the platform's status page."


class Uncertain(PlatformError):
    """The request left and no believable answer came back."""

    default_next_step = "Nothing to do; the record is read back before anything is sent again."
