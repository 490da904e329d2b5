"""The engine: plan, apply, explain. One object per home; the floor above calls nothing else.

engine = Engine(journal=Journal.open(url), snapshot=path, manifest=path, targets=connection -> Target)
plan = engine.plan()            reads only; print(plan), plan.to_json(), plan.to_html()
report = engine.apply(plan)     does exactly what the plan says, or tells why not
report = engine.run_sync(name)  plans and applies one sync; one Dagster asset each
trail = engine.explain(ref)     from a record, key or entry to its sources, attempts and decisions
"""

from __future__ import annotations

import random as random_module
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from reverse_etl.dispatch.dispatcher import Dispatcher, Patience, Tallies
from reverse_etl.dispatch.stage import stage
from reverse_etl.exceptions.desk import Desk
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Busy, Journal
from reverse_etl.plan.brakes import pulled
from reverse_etl.plan.diff import Diff, ModelError, open_snapshot
from reverse_etl.plan.model import Plan, SyncPlan
from reverse_etl.sync import SyncConfigError, SyncSettings, load_syncs, ordered
from reverse_etl.targets.base import Target, target_names
from reverse_etl.values import dump, load

if TYPE_CHECKING:
    import pandas as pd


class StalePlan(Exception):
    """What would be done now is not what the plan says; nothing of this sync was sent. Plan again."""


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What one sync did, in numbers. Money by currency, in that currency's units; seconds by the wall clock.

    `planned` is what the plan wanted written now. Counts below it say where everything stands after the run: `parked`
    waits for another record, `pending` for the next run, `uncertain` for a read-back, `held` for a person or a rule.
    `mismatched` were read back otherwise than they were sent and wait for a person; `drifted` are settled records that
    others changed after they were made.
    """

    sync: str
    platform: str = ""
    object: str = ""
    desired: int = 0
    unchanged: int = 0
    planned: int = 0
    created: int = 0
    updated: int = 0
    confirmed_by_read_back: int = 0
    held: int = 0
    parked: int = 0
    pending: int = 0
    refused: int = 0
    uncertain: int = 0
    settled: int = 0
    mismatched: int = 0
    drifted: int = 0
    retired: int = 0
    open_exceptions: int = 0
    amounts: dict[str, Decimal] = field(default_factory=dict)
    calls_used: int = 0
    calls_floor: int = 0
    reads: int = 0
    seconds: float = 0.0
    plan_seconds: float = 0.0
    brake: str | None = None
    troubles: tuple[str, ...] = ()
    error: str | None = None
    sample: tuple[dict[str, Any], ...] = ()

    @property
    def calls_ratio(self) -> Decimal | None:
        """Write calls used per write call that could not be avoided; None when none was needed."""
        return (Decimal(self.calls_used) / self.calls_floor).quantize(Decimal("0.001")) if self.calls_floor else None

    @property
    def ok(self) -> bool:
        """What was asked happened: no error, no stopped connection, nothing in doubt. Held and refused rows are told,
        counted and owned; they do not make a run fail."""
        return not self.error and not self.troubles and not self.uncertain and not self.pending

    def frame(self) -> pd.DataFrame:
        """The sample of written records, to look at."""
        import pandas as pd

        columns = ["what", "key", "connection", "target_id", "amount", "currency", "fields", "link"]
        return pd.DataFrame(list(self.sample), columns=columns)

    def to_dict(self) -> dict[str, Any]:
        told = {name: value for name, value in self.__dict__.items() if name not in ("amounts", "sample")}
        return {
            **told,
            "amounts": {currency: str(total) for currency, total in sorted(self.amounts.items())},
            "calls_ratio": self.calls_ratio,
            "seconds": Decimal(f"{self.seconds:.3f}"),
            "plan_seconds": Decimal(f"{self.plan_seconds:.3f}"),
            "ok": self.ok,
            "sample": list(self.sample),
        }

    def to_json(self) -> str:
        return dump(self.to_dict())


@dataclass(frozen=True, kw_only=True)
class ApplyReport:
    """What a run did, sync by sync, in the order of doing."""

    run_id: str
    syncs: tuple[SyncReport, ...]

    @property
    def ok(self) -> bool:
        return all(s.ok for s in self.syncs)

    def to_dict(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "ok": self.ok, "syncs": [s.to_dict() for s in self.syncs]}

    def to_json(self) -> str:
        return dump(self.to_dict())


@dataclass(frozen=True, kw_only=True)
class Trail:
    """Everything about one record: what was wanted and why, what was tried, what is known, what people decided."""

    ref: str
    entries: tuple[dict[str, Any], ...] = ()
    known_records: tuple[dict[str, Any], ...] = ()
    attempts: tuple[dict[str, Any], ...] = ()
    exceptions: tuple[dict[str, Any], ...] = ()
    events: tuple[dict[str, Any], ...] = ()

    @property
    def source_refs(self) -> tuple[str, ...]:
        """`connection:object:id@version` of the source records behind it, each once."""
        refs: dict[str, None] = {}
        for entry in self.entries:
            for ref in load(entry["source_refs"]) if entry.get("source_refs") else []:
                refs[str(ref)] = None
        return tuple(refs)

    def to_json(self) -> str:
        return dump({**self.__dict__, "source_refs": list(self.source_refs)})

    def to_text(self) -> str:
        """For a terminal: newest last."""
        if not (self.entries or self.known_records or self.exceptions):
            return f"nothing is known of {self.ref!r}"
        lines: list[str] = []
        for r in self.known_records:
            lines.append(
                f"{r['sync']} {r['key']} is record {r['target_id']} on {r['connection']}, written {r['written_at']}"
            )
        if self.source_refs:
            lines.append("from " + ", ".join(self.source_refs))
        for e in self.entries:
            why = f": {e['reason']}" if e["reason"] else ""
            lines.append(
                f"{e['created_at']} {e['verb']} {e['sync']} {e['key']} -> {e['state']}{why} (entry {e['entry_id']})"
            )
            for a in self.attempts:
                if a["entry_id"] == e["entry_id"]:
                    told = f" {a['message']}" if a["message"] else ""
                    lines.append(
                        f"    sent {a['sent_at']}, attempt {a['attempt']}: {a['outcome'] or 'no answer'}{told}"
                    )
        for x in self.exceptions:
            end = f", {x['decision']} by {x['decided_by']}" if x["closed_at"] else ", open"
            lines.append(f"{x['opened_at']} {x['kind']}: {x['reason']} (owner {x['owner']}{end})")
        return "\n".join(lines)


@dataclass(kw_only=True)
class Engine:
    """Plans and applies syncs against one journal and one warehouse snapshot.

    `targets(connection, platform)` gives the target of a connection; it may raise PlatformError, which then concerns
    that connection only. `syncs` may be given instead of `manifest`. Nothing here touches the network until `apply`.
    """

    journal: Journal
    snapshot: Path
    targets: Callable[[str, str], Target]
    manifest: Path | None = None
    syncs: tuple[SyncSettings, ...] | None = None
    sleep: Callable[[float], None] = time.sleep
    random: random_module.Random = field(default_factory=random_module.Random)
    stopwatch: Callable[[], float] = time.monotonic
    patience: Patience = field(default_factory=Patience)
    lock_wait: float = 600.0
    """Seconds to wait for another run that is at work on the same sync."""
    settle: bool = True
    memory_limit: str = "1GB"
    """DuckDB's, for the comparison; beyond it the comparison spills to disk. '' = its default, most of the machine."""
    threads: int = 0
    """DuckDB's, for the comparison; 0 = as many as the machine has and the memory limit bears."""
    spill: Path | None = None
    """Where it spills to; None = beside the snapshot."""
    known_folder: Path | None = None
    """Where known records are kept in columns, to plan millions in a second; None = unpacked anew each time."""

    @cached_property
    def all_syncs(self) -> tuple[SyncSettings, ...]:
        """Every sync in the order of doing. Raises SyncConfigError."""
        if self.syncs is not None:
            return ordered(self.syncs)
        if self.manifest is None:
            raise SyncConfigError(["neither a manifest nor syncs were given"])
        return load_syncs(self.manifest, target_names())

    @property
    def desk(self) -> Desk:
        """Exceptions and approvals."""
        return Desk(self.journal)

    def sync(self, name: str) -> SyncSettings:
        """One sync by name. Unknown -> SyncConfigError naming those there are."""
        for sync in self.all_syncs:
            if sync.name == name:
                return sync
        raise SyncConfigError([f"no sync named {name!r}; there are: {', '.join(s.name for s in self.all_syncs)}"])

    def _chosen(self, names: Iterable[str] | None) -> tuple[SyncSettings, ...]:
        return self.all_syncs if names is None else ordered([self.sync(name) for name in names])

    # -- plan -------------------------------------------------------------------------------------------------------

    def plan(self, syncs: Sequence[str] | None = None) -> Plan:
        """What would be done now. Reads the snapshot and the journal; calls no platform; changes nothing.

        A sync whose model cannot be planned has `error` set; the others are planned.
        """
        plans: list[SyncPlan] = []
        for sync in self._chosen(syncs):
            try:
                with self._diff(sync) as diff:
                    plans.append(self._sync_plan(sync, diff))
            except ModelError as error:
                plans.append(SyncPlan(sync=sync.name, platform=sync.platform, object=sync.object, error=str(error)))
        return Plan(created_at=self.journal.clock(), syncs=tuple(plans))

    def _diff(self, sync: SyncSettings) -> Diff:
        connection = open_snapshot(
            self.snapshot, sync.database, memory_limit=self.memory_limit, threads=self.threads, spill=self.spill
        )
        try:
            return Diff(connection, sync, self.journal, self.known_folder)
        except duckdb.OutOfMemoryException as error:
            connection.close()
            raise ModelError(
                f"{sync.name}: comparing it needs more than its {self.memory_limit or 'default'} of memory, "
                "although it spills to disk; give the engine more memory_limit, or fewer threads"
            ) from error
        except BaseException:
            connection.close()
            raise

    def _sync_plan(self, sync: SyncSettings, diff: Diff) -> SyncPlan:
        tally = diff.tally
        plan = SyncPlan(
            sync=sync.name,
            platform=sync.platform,
            object=sync.object,
            desired=tally.desired,
            unchanged=tally.unchanged,
            actions=tally.by_action,
            retired=tally.retired,
            known=tally.known,
            amounts=tally.amounts,
            digest=tally.digest,
            brake=pulled(sync.name, sync.brakes, tally),
            sample=tuple(diff.sample()),
        )
        plan.check()
        return plan

    # -- apply ------------------------------------------------------------------------------------------------------

    def apply(self, plan: Plan | None = None, syncs: Sequence[str] | None = None) -> ApplyReport:
        """Do what the plan says; without one, plan each sync when its turn comes.

        With a plan, a sync whose present changes differ from the planned ones is not touched and reports StalePlan.
        One sync's trouble never stops another; a journal that cannot be written stops everything (JournalError).
        """
        names = [s.sync for s in plan.syncs] if plan is not None else syncs
        sealed = {s.sync: s.digest for s in plan.syncs} if plan is not None else {}
        run_id = self.journal.ids()
        self.journal.start_run(run_id)
        reports = [self._apply_one(sync, run_id, sealed.get(sync.name)) for sync in self._chosen(names)]
        report = ApplyReport(run_id=run_id, syncs=tuple(reports))
        self.journal.finish_run(run_id, "ok" if report.ok else "incomplete", report.to_json())
        return report

    def run_sync(self, name: str) -> SyncReport:
        """Plan and apply one sync."""
        return self.apply(syncs=[name]).syncs[0]

    def _apply_one(self, sync: SyncSettings, run_id: str, sealed: str | None) -> SyncReport:
        started = self.stopwatch()
        try:
            with self.journal.single_flight(sync.name, self.lock_wait):
                return self._apply_locked(sync, run_id, sealed, started)
        except (ModelError, StalePlan, Busy) as error:
            return self._report(sync, None, Tallies(), started, 0.0, error=str(error))

    def _apply_locked(self, sync: SyncSettings, run_id: str, sealed: str | None, started: float) -> SyncReport:
        dispatcher = Dispatcher(
            self.journal,
            sync,
            lambda connection: self.targets(connection, sync.platform),
            run_id=run_id,
            sleep=self.sleep,
            random=self.random,
            patience=self.patience,
        )
        dispatcher.recover()
        dispatcher.resolve()
        began = self.stopwatch()
        with self._diff(sync) as diff:
            plan = self._sync_plan(sync, diff)
            if sealed is not None and sealed != plan.digest:
                raise StalePlan(
                    f"{sync.name}: the changes are no longer those of the plan; nothing was sent; plan again"
                )
            if diff.has_news():
                stage(self.journal, sync, diff, plan, run_id=run_id)
        planned_in = self.stopwatch() - began
        dispatcher.send()
        if self.settle:
            dispatcher.settle()
        return self._report(sync, plan, dispatcher.finish(), started, planned_in)

    def _report(
        self,
        sync: SyncSettings,
        plan: SyncPlan | None,
        tallies: Tallies,
        started: float,
        plan_seconds: float,
        error: str | None = None,
    ) -> SyncReport:
        standing: dict[str, int] = {}
        for (_, _, state), count in self.journal.counts(sync.name).items():
            standing[state] = standing.get(state, 0) + count
        return SyncReport(
            sync=sync.name,
            platform=sync.platform,
            object=sync.object,
            desired=plan.desired if plan else 0,
            unchanged=plan.unchanged if plan else 0,
            planned=plan.writes if plan else 0,
            created=tallies.created,
            updated=tallies.updated,
            confirmed_by_read_back=tallies.confirmed_by_read_back,
            held=standing.get(State.held, 0),
            parked=standing.get(State.parked, 0),
            pending=standing.get(State.pending, 0),
            refused=standing.get(State.refused, 0),
            uncertain=standing.get(State.uncertain, 0) + standing.get(State.sent, 0),
            settled=tallies.settled,
            mismatched=tallies.mismatched,
            drifted=tallies.drifted,
            retired=plan.retired if plan else 0,
            open_exceptions=len(self.desk.find(sync=sync.name)),
            amounts=dict(sorted(tallies.amounts.items())),
            calls_used=tallies.writes,
            calls_floor=tallies.floor,
            reads=tallies.reads,
            seconds=self.stopwatch() - started,
            plan_seconds=plan_seconds,
            brake=str(plan.brake) if plan and plan.brake else None,
            troubles=tuple(tallies.troubles),
            error=error,
            sample=tuple(tallies.sample),
        )

    # -- explain ----------------------------------------------------------------------------------------------------

    def explain(self, ref: str) -> Trail:
        """The trail of an entry id, business key, target record id or source reference; empty if nothing is known."""
        return Trail(ref=ref, **{name: tuple(rows) for name, rows in self.journal.trail(ref).items()})
