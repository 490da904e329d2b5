"""A whole firm for one test: sandboxes with their own state, a home of its own, the commands, and a look into the stores.

    base = built_firm(folder)             made once a session: a tiny firm, read by the real ingestion, built by real dbt
    with Firm.copy_of(base, tmp_path) as firm:
        firm.cli("run")                   `tieout run` in a process of its own, as a person types it
        firm.engine().apply()             the light path: the engine alone
        firm.books.duplicates()           counted in the sandboxes' own SQLite files, not by what Tieout believes

The light path. Where only writing is under test (lost replies, kills), a pass of ingestion and dbt per step would
measure those again and again. There the snapshot is the real one that ingestion and dbt made from these sandboxes, and
everything from there on is the product: the real engine, journal file, targets and clients, over real HTTP, against the
real sandboxes with their faults. What is left out is only that later passes would desire more (a project's id on the
deal); `test_whole_loop.py` covers that with complete passes.

Sandboxes run in threads of the test's process (a process each costs a second and 80 MB); what is killed is a process.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import unittest.mock
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import httpx
from filelock import FileLock

from ingestion import connections, pipelines, sources
from orchestration import stacks
from orchestration.home import DBT_EXECUTABLE, DBT_PROJECT_DIR, PROJECT_ROOT, Home
from platforms.kit.registry import Limits
from platforms.kit.sandbox import registry
from platforms.kit.sandbox.faults import FaultProfile, Verdict
from platforms.kit.sandbox.server import RunningSandbox
from platforms.world import firm as world
from platforms.world.scales import Scale
from reverse_etl.dispatch.dispatcher import Patience
from reverse_etl.journal.store import Journal
from reverse_etl.run import ApplyReport, Engine
from reverse_etl.sync import Mode, SyncSettings, load_syncs
from reverse_etl.targets.base import target_for, target_names
from tests.end_to_end.books import Books

SEED = 7
# The vendors' limits cost real seconds. Proofs of what is written, not of how fast, run without them.
UNLIMITED = Limits(requests_per_second=None, burst=1, concurrency=None)


def platforms() -> list[str]:
    """Every platform that has a sandbox and can be written to."""
    return sorted(set(registry.sandbox_names()) & set(target_names()))


def settle_files(state: Path) -> None:
    """Bring the sandboxes' write-ahead logs into the main files, so that a copy of the folder is complete."""
    for file in state.glob("*.sqlite"):
        with contextlib.closing(sqlite3.connect(file)) as store:
            busy, *_ = store.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert not busy, f"{file} is still being written"


@contextlib.contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Variables set (None: unset) for the block, in this process."""
    before = {name: os.environ.get(name) for name in variables}
    try:
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@dataclass(kw_only=True)
class Firm:
    """One firm: `root/sandbox` is its platforms' state, `root/home` Tieout's. Use it as a context manager."""

    root: Path
    faults: FaultProfile | str = "none"
    seed: int = SEED
    """Of the faults. The firm itself has the seed it was made with."""
    limits: Limits | None = None
    """None: the vendors' own."""
    running: dict[str, RunningSandbox] = field(default_factory=dict)
    injected: Counter[str] = field(default_factory=Counter)
    """Faults that happened, by kind."""
    requests: int = 0
    on_request: Callable[[int], None] | None = None
    """Called in a sandbox's thread with the number of the request that just came in."""
    _stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def copy_of(cls, base: Path, root: Path, **settings: Any) -> Firm:
        """A firm of its own, as `base` was left: stores and home are copied whole."""
        for name in ("sandbox", "home"):
            if (base / name).exists():
                shutil.copytree(base / name, root / name, ignore=shutil.ignore_patterns("*.sqlite-wal", "*.sqlite-shm"))
        return cls(root=root, **settings)

    @property
    def home(self) -> Home:
        return Home(root=self.root / "home")

    @property
    def state(self) -> Path:
        return self.root / "sandbox"

    def __enter__(self) -> Firm:
        for name in platforms():
            it = RunningSandbox(name, self.state, seed=self.seed, faults=self.faults, limits=self.limits)
            self._watch(it)
            self.running[name] = self._stack.enter_context(it)
        self.home.prepare()
        return self

    def _watch(self, it: RunningSandbox) -> None:
        """Count the faults that the sandbox really injects, and tell `on_request` of every request before it is handled."""
        decide, partial = it.faults.decide, it.faults.partial

        def decided(method: str) -> Verdict:
            verdict = decide(method)
            self.injected.update(name for name, value in vars(verdict).items() if value)
            if verdict.lose_reply and method != "GET":
                self.injected["lose_reply of a write"] += 1
            self.requests += 1
            if self.on_request is not None:
                self.on_request(self.requests)
            return verdict

        def partly(row_key: str) -> bool:
            failed = partial(row_key)
            self.injected["partial_batch"] += failed
            return failed

        it.faults.decide, it.faults.partial = decided, partly  # type: ignore[method-assign]  # watched, not changed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- pointing Tieout at it ---------------------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        """Everything that points a process at this firm, its home and its sandboxes."""
        found = {**self.home.environment(), "DBT_TARGET_PATH": str(self.home.root / "dbt_target")}
        for sandbox in self.running.values():
            found.update(sandbox.env)
        return found

    @contextlib.contextmanager
    def here(self, **variables: str | None) -> Iterator[None]:
        """This process is pointed at the firm for the block; what the product remembers per process is forgotten."""
        from orchestration import write_back

        def forget() -> None:
            write_back.target.cache_clear()
            write_back.journal.cache_clear()

        forget()
        with environment({**self.env, **variables}):
            yield
        forget()

    def cli(
        self, *arguments: str, check: bool = True, timeout: float = 900, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`tieout <arguments>` in a process of its own. With `check`, an exit status other than 0 fails the test."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.cli", *arguments],
            env={**os.environ, **self.env, **(env or {})}, cwd=PROJECT_ROOT,
            capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if check and done.returncode:
            told = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
            raise AssertionError(f"tieout {' '.join(arguments)} ended with {done.returncode}\n{told}")
        return done

    # -- the light path ----------------------------------------------------------------------------------------------

    @property
    def manifest(self) -> Path:
        """The manifest that dbt wrote when this firm was built: of its own, since other tests compile as well."""
        return self.home.root / "dbt_target" / "manifest.json"

    def syncs(self) -> tuple[SyncSettings, ...]:
        """Every sync of the project, in the order of doing."""
        return load_syncs(self.manifest, target_names())

    @property
    def snapshot(self) -> Path:
        """The published warehouse."""
        return pipelines.home_of(self.home.root).published

    def engine(self, *, sleep: Callable[[float], None] = lambda seconds: None, chance: int = 0) -> Engine:
        """The engine on this firm's journal and snapshot, with real targets. Pauses are not slept out.

        Budgets are the product's; with `limits=UNLIMITED` they are lifted as the sandboxes' limits are.
        """
        made: dict[str, Any] = {}

        def target(connection: str, platform: str) -> Any:
            if connection not in made:
                made[connection] = target_for(platform)(self.client(connection, sleep=sleep, chance=chance), connection)
            return made[connection]

        return Engine(
            journal=Journal.open(self.home.journal_url),
            snapshot=self.snapshot,
            targets=target,
            manifest=self.manifest,
            sleep=sleep,
            random=random.Random(chance),
            patience=Patience(),
        )

    def client(self, connection: str, *, sleep: Callable[[float], None], chance: int = 0) -> Any:
        """The product's client of a connection, whose pauses are `sleep`."""
        from dataclasses import replace

        from platforms.kit.context import ClientContext

        with environment(self.env):
            resolved = connections.resolve(connection)
        context = ClientContext(connection=connection, sleep=sleep, random=random.Random(chance), timeout=30)
        if self.limits is None:
            with environment(self.env):
                return connections.client(connection, self.home.root)
        own = {setting.name for setting in resolved.spec.settings}
        return resolved.spec.connect({k: v for k, v in resolved.settings.items() if k in own}, replace(context))

    def until_quiet(self, most: int = 12, *, chance: int = 0) -> list[ApplyReport]:
        """Runs of the engine until one sends nothing and leaves nothing pending or in doubt."""
        reports: list[ApplyReport] = []
        while len(reports) < most:
            engine = self.engine(chance=chance + len(reports))
            reports.append(engine.apply())
            engine.journal.close()
            last = reports[-1]
            if last.ok and not any(sync.calls_used for sync in last.syncs):
                return reports
        restless = [
            f"{sync.sync}: {sync.calls_used} calls, {sync.pending} pending, {sync.uncertain} uncertain, {sync.troubles}, {sync.error}"
            for sync in reports[-1].syncs
            if sync.calls_used or not sync.ok
        ]
        raise AssertionError(f"not quiet after {most} runs:\n" + "\n".join(restless))

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def books(self) -> Books:
        """The sandboxes' own stores, read-only."""
        return Books(self.state)

    def calls(self) -> Counter[tuple[str, str]]:
        """Requests that the sandboxes counted since they started, by (platform, 'METHOD template')."""
        return Counter(
            {(name, route): n for name, it in self.running.items() for route, n in it.app.calls()["by_route"].items()}
        )

    def desired(self, sync: SyncSettings) -> list[dict[str, Any]]:
        """The rows of a sync model in the snapshot."""
        with duckdb.connect(str(self.snapshot), read_only=True) as database:
            answer = database.execute(f'SELECT * FROM "{sync.schema}"."{sync.table}"')
            names = [column[0] for column in answer.description or []]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def journal_rows(self, question: str) -> list[tuple[Any, ...]]:
        """An SQL question to the journal file."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.home.root / 'journal.sqlite'}?mode=ro", uri=True)
        ) as journal:
            return journal.execute(question).fetchall()


# -- the firm that tests copy ------------------------------------------------------------------------------------------


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, made by `make` the first time; other processes (xdist's workers) wait for it.

    A half-made folder of a killed run is thrown away. A failure is told to those who wait instead of being repeated.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    done, failed = folder / "made.json", folder.with_suffix(".failed")
    with FileLock(folder.with_suffix(".lock")):
        if failed.exists():
            raise RuntimeError(f"the shared firm could not be made:\n{failed.read_text()}")
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                make(folder)
            except Exception as error:
                failed.write_text(f"{type(error).__name__}: {error}")
                raise
            done.write_text(json.dumps({"pid": os.getpid()}))
    return folder


def populated(folder: Path, seed: int = SEED, scale: str | Scale = "tiny", *, cut: datetime.date = world.CUT) -> None:
    """Fill `folder/sandbox` with a firm and its history; `cut` is the last day on which its people carried things over.

    An earlier cut leaves more deals without a project: more to create, less that is there already.
    """
    with unittest.mock.patch.object(world, "CUT", cut):
        world.populate(folder / "sandbox", seed, scale)
    settle_files(folder / "sandbox")


def read_and_built(folder: Path) -> None:
    """Populate, read every platform with the real ingestion, build with real dbt, publish. No write-back yet.

    Without Dagster, which adds nothing here that `test_whole_loop.py` does not see: the same loads, the same dbt project.
    """
    populated(folder, cut=datetime.date(2026, 8, 23))
    firm = Firm(root=folder, limits=UNLIMITED)
    with firm, environment(firm.env):
        for name in [*stacks.connections(), "tieout"]:
            pipelines.run(sources.source(name, home=firm.home.root), firm.home.root)
        dbt(firm, "build", "--exclude-resource-type", "unit_test", "--exclude-resource-type", "test")
        pipelines.publish(firm.home.root)
    settle_files(folder / "sandbox")


def dbt(firm: Firm, *arguments: str) -> None:
    """The dbt command line on this firm's warehouse, as an analyst runs it; its products go to the firm's folder."""
    done = subprocess.run(
        [str(DBT_EXECUTABLE), "--quiet", *arguments, "--project-dir", str(DBT_PROJECT_DIR),
         "--profiles-dir", str(DBT_PROJECT_DIR), "--log-path", str(firm.home.root / "logs")],
        env={**os.environ, **firm.env, "TIEOUT_WAREHOUSE": str(pipelines.home_of(firm.home.root).warehouse)},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"dbt {arguments} failed\n{done.stdout}\n{done.stderr}")


def quiet_run(firm: Firm) -> None:
    """`tieout run` until it says that it is done; a dbt that a killed run left behind may still hold the warehouse."""
    for _ in range(5):
        if firm.cli("run", check=False, timeout=600).returncode == 0:
            return
    firm.cli("run", timeout=600)


def reset_calls(firm: Firm) -> None:
    """Let the sandboxes count anew."""
    for sandbox in firm.running.values():
        httpx.delete(f"{sandbox.url}/_sandbox/calls", trust_env=False)


# -- what has to be there ----------------------------------------------------------------------------------------------


def due(firm: Firm) -> dict[tuple[str, str], set[str]]:
    """Keys that the snapshot wants made: neither held nor waiting for a record that nobody wants. Update syncs left out."""
    by_sync: dict[str, set[str]] = {}
    found: dict[tuple[str, str], set[str]] = {}
    for sync in firm.syncs():
        keys = by_sync.setdefault(sync.name, set())
        needed = {column: to for column, to in sync.references.items() if column not in sync.optional_references}
        for row in firm.desired(sync):
            held = row.get("_hold_reason") is not None
            waits = any(
                row[column] is not None and str(row[column]) not in by_sync[to] for column, to in needed.items()
            )
            if not held and not waits:
                keys.add(str(row[sync.key_column]))
        if sync.mode is not Mode.update:
            found.setdefault((sync.platform, sync.object), set()).update(keys)
    return found


def wanted_lines(firm: Firm) -> set[str]:
    """What the lines of the invoices that are due bill."""
    invoices = due(firm)
    found: set[str] = set()
    for sync in firm.syncs():
        if "lines" in sync.json:
            for row in firm.desired(sync):
                if str(row[sync.key_column]) in invoices[sync.platform, sync.object]:
                    found |= {line["custcol_tieout_source"] for line in json.loads(row["lines"])}
    return found
