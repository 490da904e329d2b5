"""Whatever changes between two pages and two runs, no row is lost and none is left as it was."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.reading import Options, Run, Window, read_table
from ingestion.tables import ID, TEXT, TIME, Deletes, Table, fields

START = datetime(2026, 1, 1, tzinfo=UTC)
THINGS = Table(
    name="things",
    vendor_object="things",
    description="",
    cursor="at",
    deletes=Deletes.SWEPT,
    columns=fields({"id": ID, "at": TIME, "value": TEXT}),
)
LINES = Table(
    name="lines",
    vendor_object="lines",
    description="",
    rides_with="things",
    replaces="parent",
    deletes=Deletes.WITH_PARENT,
    columns=fields({"id": ID, "parent": ID, "value": TEXT}),
)


class Platform:
    """A platform in memory with whole-second stamps, paged by number in order of creation, that lives on meanwhile."""

    omits_nulls = False

    def __init__(self, rng: random.Random, *, page: int = 3) -> None:
        self.rng = rng
        self.page = page
        self.clock = START
        self.rows: dict[str, dict[str, Any]] = {}
        self.made = 0
        self.still = False

    def write(self, *, new: float = 0.5) -> None:
        """Create or change one row; often within the second of the one before, sometimes committed late."""
        self.clock += timedelta(milliseconds=self.rng.choice([0, 1, 400, 5000]))
        late = timedelta(seconds=self.rng.choice([0, 0, 0, 2]))
        if not self.rows or self.rng.random() < new:
            self.made += 1
            identifier = str(self.made)
        else:
            identifier = self.rng.choice(list(self.rows))
        stamp = (self.clock - late).replace(microsecond=0)
        self.rows[identifier] = {"id": identifier, "at": stamp.isoformat(), "value": str(self.rng.random())}

    def now(self) -> datetime:
        return self.clock.replace(microsecond=0)

    def describe(self, table: Table) -> Mapping[str, str] | None:
        return None

    def expected(self, kind: pa.DataType) -> frozenset[str]:
        return frozenset()

    def read(self, table: Table, window: Window, names: Sequence[str]) -> Iterator[Sequence[Mapping[str, Any]] | bytes]:
        number = 0
        while True:
            found = [
                dict(row)
                for row in self.rows.values()
                if window.since is None or datetime.fromisoformat(row["at"]) >= window.since
            ]
            part = found[number * self.page : (number + 1) * self.page]
            yield part
            if len(part) < self.page:
                return
            number += 1
            if not self.still and self.rng.random() < 0.5:
                self.write()

    def ids(self, table: Table) -> Iterator[Sequence[str]]:
        yield list(self.rows)

    def count(self, table: Table) -> int | None:
        return len(self.rows)

    def gone(self, table: Table, window: Window) -> Iterable[str]:
        return ()

    def deletion(self, table: Table) -> tuple[str | None, str] | None:
        return None


def _run(platform: Any, folder: Path, number: int, **more: Any) -> Run:
    return Run(
        connection="c",
        platform="p",
        run_id=str(number),
        loaded_at=START + timedelta(days=number),
        folder=folder / "after" / str(number),
        memory=folder / "memory",
        open_reader=lambda: platform,
        options=Options(overlap=timedelta(seconds=10)),
        **more,
    )


def _loaded(run: Run) -> None:
    """What happens once a load is done: the fingerprints become the next run's."""
    run.memory.mkdir(parents=True, exist_ok=True)
    for file in run.folder.glob("*.npy"):
        np.save(run.memory / file.name, np.load(file))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), runs=st.integers(1, 5), burst=st.integers(0, 12))
def test_any_interleaving_of_changes_and_pages_loses_no_row(
    tmp_path_factory: Any, seed: int, runs: int, burst: int
) -> None:
    folder = tmp_path_factory.mktemp("r")
    rng = random.Random(seed)
    platform = Platform(rng)
    state: dict[str, Any] = {}
    warehouse: dict[str, dict[str, Any]] = {}
    for number in range(runs + 1):
        for _ in range(rng.randint(0, burst)):
            platform.write()
        run = _run(platform, folder, number)
        attempt = dict(state)
        arrived = [row for table in read_table(THINGS, run, attempt) for row in table.to_pylist()]
        if rng.random() < 0.25:
            continue  # the load failed: neither rows nor state nor fingerprints arrive
        state = attempt
        _loaded(run)
        warehouse.update({row["id"]: row for row in arrived})
    platform.still = True
    last = _run(platform, folder, 99)
    warehouse.update({row["id"]: row for table in read_table(THINGS, last, state) for row in table.to_pylist()})
    assert {i: row["value"] for i, row in warehouse.items()} == {i: row["value"] for i, row in platform.rows.items()}


class Ledger(Platform):
    """Lines under things; a read tells which things it looked at."""

    def __init__(self, lines: dict[str, list[str]], run: Run | None = None) -> None:
        super().__init__(random.Random(1))
        self.lines = lines
        self.run = run

    def read(self, table: Table, window: Window, names: Sequence[str]) -> Iterator[Sequence[Mapping[str, Any]] | bytes]:
        assert self.run is not None
        self.run.parents[table.name] = list(self.lines)
        yield [
            {"id": f"{parent}:{n}", "parent": parent, "value": value}
            for parent, values in self.lines.items()
            for n, value in enumerate(values)
        ]


def _lines(
    folder: Path, number: int, lines: dict[str, list[str]], state: dict[str, Any]
) -> tuple[list[str], list[str]]:
    """What arrives of these lines, and which parents' older lines are to go."""
    import pyarrow.parquet as pq

    reader = Ledger(lines)
    run = _run(reader, folder, number)
    reader.run = run
    arrived = [
        row["id"] for t in read_table(LINES, run, state, parent={"cursor": START.isoformat()}) for row in t.to_pylist()
    ]
    file = run.folder / "lines.replaced.parquet"
    gone = pq.read_table(file)["id"].to_pylist() if file.exists() else []
    _loaded(run)
    return arrived, gone


def test_lines_pass_together_when_one_of_them_changed_and_not_at_all_when_none_did(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    assert _lines(tmp_path, 1, {"a": ["x", "y"], "b": ["z"]}, state) == (["a:0", "a:1", "b:0"], ["a", "b"])
    assert _lines(tmp_path, 2, {"a": ["x", "y"], "b": ["z"]}, state) == ([], [])
    assert _lines(tmp_path, 3, {"a": ["x", "new"], "b": ["z"]}, state) == (["a:0", "a:1"], ["a"])
    assert _lines(tmp_path, 4, {"a": ["x"], "b": []}, state) == (["a:0"], ["a", "b"])


def test_equal_lines_of_two_documents_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    _lines(tmp_path, 1, {"a": ["x", "x"]}, state)
    arrived, gone = _lines(tmp_path, 2, {"a": ["x", "x", "x"], "b": ["x", "x"]}, state)
    assert (len(arrived), gone) == (5, ["a", "b"])


def test_the_cursor_stays_where_the_rows_end_and_never_goes_back(tmp_path: Path) -> None:
    platform = Platform(random.Random(3))
    state: dict[str, Any] = {}
    for _ in range(5):
        platform.write(new=1)
    list(read_table(THINGS, _run(platform, tmp_path, 1), state))
    assert datetime.fromisoformat(state["cursor"]) == max(
        datetime.fromisoformat(r["at"]) for r in platform.rows.values()
    )
    before = state["cursor"]
    platform.rows.clear()
    list(read_table(THINGS, _run(platform, tmp_path, 2), state))
    assert state["cursor"] == before
