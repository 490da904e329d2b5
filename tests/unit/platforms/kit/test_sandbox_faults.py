"""Troubles are decided by seed and request number, and can be switched while the sandbox runs."""

from __future__ import annotations

import httpx
import pytest

from platforms.kit.sandbox.faults import PROFILES, FaultProfile, Faults
from platforms.kit.sandbox.server import RunningSandbox


def decisions(faults: Faults, number: int = 300) -> list[object]:
    return [faults.decide("POST") for _ in range(number)]


def test_the_same_seed_and_requests_meet_the_same_troubles() -> None:
    assert decisions(Faults("chaos", seed=1)) == decisions(Faults("chaos", seed=1))
    assert decisions(Faults("chaos", seed=1)) != decisions(Faults("chaos", seed=2))


def test_shares_are_roughly_kept() -> None:
    lost = sum(verdict.lose_reply for verdict in (Faults("rough", s).decide("GET") for s in range(4000)))
    assert 120 < lost < 280  # 5 % of 4000 is 200


def test_no_profile_no_trouble() -> None:
    assert len(set(decisions(Faults()))) == 1


def test_throttling_comes_in_bursts() -> None:
    faults = Faults(FaultProfile(name="t", throttle=0.02, throttle_burst=3), seed=3)
    seen = "".join("x" if faults.decide("GET").throttle else "." for _ in range(500))
    assert "xxx" in seen
    assert all(len(run) >= 3 for run in seen.strip("x").replace(".", " ").split())


def test_a_row_that_failed_is_decided_anew_and_heals() -> None:
    faults = Faults(FaultProfile(name="p", partial_batch=0.5), seed=3)
    for row in range(50):
        assert not all(faults.partial(f"row-{row}") for _ in range(30))
    again, other = Faults(faults.profile, seed=3), Faults(faults.profile, seed=3)
    assert [again.partial(f"{n}") for n in range(50)] == [other.partial(f"{n}") for n in reversed(range(50))][::-1]


def test_only_writes_are_delivered_twice() -> None:
    faults = Faults(FaultProfile(name="d", duplicate_delivery=1.0))
    assert faults.decide("POST").duplicate
    assert not faults.decide("GET").duplicate
    assert not faults.decide("DELETE").duplicate


def test_profiles_are_switched_over_http(toy: RunningSandbox) -> None:
    with httpx.Client(base_url=toy.url, trust_env=False) as client:
        assert client.post("/_sandbox/faults", json={"profile": "rough"}).json()["lost_reply"] == 0.05
        assert client.get("/_sandbox/faults").json()["name"] == "rough"
        custom = client.post("/_sandbox/faults", json={"lost_reply": 1.0}).json()
        assert (custom["lost_reply"], custom["throttle"]) == (1.0, 0.0)
        with pytest.raises(httpx.TransportError):
            client.get("/echo/x")
        assert client.post("/_sandbox/faults", json={"profile": "nonsense"}).status_code == 400
        assert client.post("/_sandbox/faults", json={"lost": 1}).status_code == 400
        assert client.post("/_sandbox/faults", json={"profile": "none"}).status_code == 200
        assert client.get("/echo/x").status_code == 200


def test_every_profile_has_its_own_name() -> None:
    assert all(name == profile.name for name, profile in PROFILES.items())
