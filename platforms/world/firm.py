"""The door to the simulated firm: make one, let it live on, ask what is planted.

    populate(state_dir, seed=7, scale="small")   fills empty sandboxes with a firm and its history
    advance(state_dir, days=5)                   the firm lives on, in whatever state the platforms are by then
    truth(state_dir)                             what was planted and what a good integration makes of it (tests only)

Each platform's sandbox is found by the role it plays; `advance` works while servers of other processes have the same
stores open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from platforms.kit.sandbox.registry import sandbox
from platforms.kit.sandbox.service import Service
from platforms.world import calendars, plants
from platforms.world.adapters.crm import Crm
from platforms.world.adapters.ledger import Books
from platforms.world.adapters.psa import Psa
from platforms.world.business import Firm
from platforms.world.days import World
from platforms.world.memory import FILE, Memory
from platforms.world.scales import CUT, TODAY, Scale, scale_named

ROLES = {"crm": "salesforce", "psa": "kantata", "ledger": "netsuite"}
"""Which sandbox plays which role. Another platform takes a role with an adapter of its own in adapters/."""

Progress = Callable[[str], None]


def _silent(_: str) -> None:
    """Say nothing."""


def _services(state_dir: Path) -> dict[str, Service]:
    return {role: sandbox(name).open_service(state_dir) for role, name in ROLES.items()}


def _world(
    state_dir: Path, memory: Memory, services: Mapping[str, Service], *, fresh: bool, scale: Scale | None = None
) -> World:
    return World(
        Firm(memory.seed, scale or scale_named(memory.scale)),
        memory,
        Crm(services["crm"]),
        Psa(services["psa"]),
        Books(services["ledger"]),
        [service.clock for service in services.values()],
        fresh=fresh,
    )


def _summary(world: World, extra: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **extra,
        "today": world.memory.today.isoformat(),
        "happened": dict(sorted(world.done.items())),
        "money": {what: str(Decimal(amount).quantize(Decimal("0.01"))) for what, amount in sorted(world.money.items())},
    }


def populate(
    state_dir: Path,
    seed: int = 7,
    scale: str | Scale = "small",
    *,
    until: date | None = None,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Make a firm and its history in empty sandboxes under `state_dir`; returns what happened, by kind.

    When a firm lives there already, nothing is done and its day is returned. `until` stops early, for measuring a
    slice of a large firm. Raises RuntimeError on sandboxes that are set up but hold no firm, or half of one.
    """
    state_dir = Path(state_dir)
    if (state_dir / FILE).exists():
        memory = Memory.load(state_dir)
        if not memory.finished:
            raise RuntimeError(f"populating {state_dir} was interrupted; remove the directory and start again")
        return {
            "today": memory.today.isoformat(),
            "scale": memory.scale,
            "seed": memory.seed,
            "happened": {},
            "money": {},
        }
    size = scale_named(scale) if isinstance(scale, str) else scale
    state_dir.mkdir(parents=True, exist_ok=True)
    services = _services(state_dir)
    begin = datetime.combine(size.first_deal - timedelta(days=42), time(8), UTC)
    for service in services.values():
        service.clock.begin(begin)
        with service.store.transaction():
            service.setup(seed)
            service.store.meta["sandbox.seed"] = seed
    memory = Memory(seed=seed, scale=size.name, today=size.first_deal - timedelta(days=3))
    memory.save(state_dir)
    world = _world(state_dir, memory, services, fresh=False, scale=size)
    _move_in(world)
    plan = plants.Plan(world)
    day = size.first_deal
    while day <= (until or TODAY):
        if day.day == 1 or day == size.first_deal:
            progress(f"{day:%B %Y}")
        plan.before(day)
        world.live(day, by_hand=day <= CUT)
        plan.after(day)
        day += timedelta(days=1)
    plan.finish()
    memory.finished = until is None or until >= TODAY
    memory.save(state_dir)
    return _summary(world, {"scale": size.name, "seed": seed})


def _move_in(world: World) -> None:
    """What the firm has set up before its recorded history begins: people, prices, products, closed months."""
    firm = world.firm
    first = firm.scale.first_deal
    world.crm.set_up(firm.people)
    world.psa.set_up(firm)
    world.books.set_up(firm)
    here = [person for person in firm.people if person.hired <= first]
    for person in here:
        world.psa.add_person(person)
        world.books.add_person(person)
    operations = next((p for p in firm.people if p.kind == "operations"), firm.leads[0])
    world.psa.add_internal_projects(operations.email)
    for person in here:
        world.psa.join_internal(person)
    month = date(2022, 1, 1)
    while month < calendars.add_months(first, -1):
        world.books.close_month(month)
        month = calendars.next_month(month)


def advance(state_dir: Path, days: int = 7, *, progress: Progress = _silent) -> dict[str, Any]:
    """Let the firm of `state_dir` live on for some calendar days; returns what happened, by kind, and the new day.

    The sandboxes may be served by other processes meanwhile. A day that was interrupted is lived to its end first and
    nothing in it is done twice; its expenses are left out. Raises FileNotFoundError when no firm lives there,
    ValueError for less than one day, RuntimeError when its history was not finished.
    """
    if days < 1:
        raise ValueError(f"a firm can only live forward: {days} days")
    state_dir = Path(state_dir)
    memory = Memory.load(state_dir)
    if not memory.finished:
        raise RuntimeError(f"populating {state_dir} was not finished; remove the directory and start again")
    world = _world(state_dir, memory, _services(state_dir), fresh=True)
    first = memory.today
    for number in range(1, days + 1):
        day = first + timedelta(days=number)
        progress(f"{day:%A %d %B %Y}")
        world.again = memory.begun == day.isoformat()
        memory.begun = day.isoformat()
        memory.save(state_dir)
        world.live(day)
        memory.save(state_dir)
    return _summary(world, {"from": first.isoformat(), "days": days})


def truth(state_dir: Path) -> dict[str, Any]:
    """What is planted in the platforms of `state_dir`, as JSON values. Only tests may read it."""
    memory = Memory.load(Path(state_dir))
    return {
        "seed": memory.seed,
        "scale": memory.scale,
        "today": memory.today.isoformat(),
        "planted": memory.truth,
        **json.loads(json.dumps(memory.expected)),
    }


def today(state_dir: Path) -> date:
    """The day on which the firm of a state directory stands. FileNotFoundError when nothing was populated there."""
    return Memory.load(Path(state_dir)).today
