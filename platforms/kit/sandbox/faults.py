"""Troubles on demand, decided by seed and request number: the same seed and requests meet the same troubles."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FaultProfile:
    """How often each trouble comes, as a share of requests between 0 and 1.

    lost_reply: done and committed, then the connection is closed without an answer. throttle: this and the next
    `throttle_burst - 1` requests are turned away with the vendor's 429. unavailable: 503 before anything is done.
    slow: answered after `slow_seconds`. partial_batch: share of rows of a batch call that fail with the vendor's own
    retryable row error. expire_token: the token of this request is treated as expired. duplicate_delivery: a POST, PUT
    or PATCH is handled twice, as by a proxy that resends.
    """

    name: str
    lost_reply: float = 0.0
    throttle: float = 0.0
    throttle_burst: int = 3
    unavailable: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 0.2
    partial_batch: float = 0.0
    expire_token: float = 0.0
    duplicate_delivery: float = 0.0


PROFILES: Mapping[str, FaultProfile] = {
    "none": FaultProfile(name="none"),
    "rough": FaultProfile(name="rough", lost_reply=0.05, throttle=0.03, partial_batch=0.05),
    "chaos": FaultProfile(
        name="chaos",
        lost_reply=0.10,
        throttle=0.05,
        unavailable=0.03,
        slow=0.02,
        partial_batch=0.10,
        expire_token=0.02,
    ),
    "slow": FaultProfile(name="slow", slow=0.3, slow_seconds=0.5),
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What will happen to one request."""

    throttle: bool = False
    unavailable: bool = False
    slow_seconds: float = 0.0
    expire_token: bool = False
    duplicate: bool = False
    lose_reply: bool = False


class Faults:
    """The decisions of one running sandbox. `profile` may be changed while it runs (`use`)."""

    def __init__(self, profile: FaultProfile | str = "none", seed: int = 7) -> None:
        self.profile = PROFILES[profile] if isinstance(profile, str) else profile
        self.seed = seed
        self._lock = threading.Lock()
        self._requests = 0
        self._throttled_left = 0
        self._row_tries: Counter[str] = Counter()
        self._once: Counter[str] = Counter()

    def use(self, wanted: str | Mapping[str, Any]) -> FaultProfile:
        """Switch to a profile by name, or to given shares ({"lost_reply": 0.2}, optionally on top of a "name").

        Starts counting anew, so that a switch is as repeatable as a start. Raises ValueError naming what is wrong.
        """
        chosen: dict[str, Any] = {"name": wanted} if isinstance(wanted, str) else dict(wanted)
        name = chosen.pop("profile", None) or chosen.pop("name", "custom")
        if isinstance(name, Mapping):
            return self.use({**name, **chosen})
        if name not in PROFILES and not chosen:
            raise ValueError(f"no fault profile {name!r}; there are {', '.join(PROFILES)}")
        unknown = set(chosen) - {field.name for field in fields(FaultProfile)}
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
        with self._lock:
            self.profile = replace(PROFILES.get(name, FaultProfile(name=name)), **chosen)
            self._requests = self._throttled_left = 0
            self._row_tries.clear()
            self._once.clear()
        return self.profile

    def once(self, fault: str, times: int = 1) -> None:
        """Let `fault` (a field of Verdict) happen to the next `times` requests, whatever the profile says."""
        if fault not in {field.name for field in fields(Verdict)}:
            raise ValueError(f"no such fault: {fault}; there are {', '.join(field.name for field in fields(Verdict))}")
        with self._lock:
            self._once[fault] += times

    def decide(self, method: str) -> Verdict:
        """The verdict on the next request."""
        with self._lock:
            self._requests += 1
            number = self._requests
            profile = self.profile
            if self._throttled_left:
                self._throttled_left -= 1
                return Verdict(throttle=True)
            forced = {name for name, left in self._once.items() if left > 0}
            for name in forced:
                self._once[name] -= 1
            throttle = "throttle" in forced or self._falls(profile.throttle, "throttle", number)
            if throttle:
                self._throttled_left = 0 if "throttle" in forced else max(0, profile.throttle_burst - 1)
                return Verdict(throttle=True)
        resent = "duplicate" in forced or self._falls(profile.duplicate_delivery, "duplicate", number)
        slow = "slow_seconds" in forced or self._falls(profile.slow, "slow", number)
        return Verdict(
            unavailable="unavailable" in forced or self._falls(profile.unavailable, "unavailable", number),
            slow_seconds=profile.slow_seconds if slow else 0.0,
            expire_token="expire_token" in forced or self._falls(profile.expire_token, "expire_token", number),
            duplicate=resent and method in ("POST", "PUT", "PATCH"),
            lose_reply="lose_reply" in forced or self._falls(profile.lost_reply, "lost_reply", number),
        )

    def partial(self, row_key: str) -> bool:
        """Whether this row of a batch fails this time; each try of the same key is decided anew, so it heals."""
        if not self.profile.partial_batch:
            return False
        with self._lock:
            self._row_tries[row_key] += 1
            return self._falls(self.profile.partial_batch, f"partial:{row_key}", self._row_tries[row_key])

    def as_dict(self) -> dict[str, Any]:
        """The profile in force, for `/_sandbox/faults`."""
        return {**asdict(self.profile), "requests": self._requests}

    def _falls(self, share: float, what: str, number: int) -> bool:
        if share <= 0:
            return False
        digest = hashlib.blake2b(f"{self.seed}:{what}:{number}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < share * 2**64
