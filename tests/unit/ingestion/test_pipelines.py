"""Loads in turns, and what a kill, a lock, a full disk or another warehouse do to them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion import pipelines
from ingestion.errors import DiskFull, WarehouseLocked, WarehouseReplaced


def _killed(work: Callable[[], Any], after: float | None = None) -> bool:
    """Run `work` in a forked child that is killed with SIGKILL after `after` seconds, or kills itself. Tells whether it
    was killed before it was done; a child that fails otherwise fails the test."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_second_load_of_unchanged_rows_brings_nothing(journal: Any) -> None:
    journal.write([str(n) for n in range(500)], "planned")
    first = journal.load()
    second = journal.load()
    assert (first.rows["entries"], second.rows["entries"]) == (500, 0)
    assert first.changed
    assert not second.changed
    assert journal.loaded() == journal.wanted()


def test_all_tables_exist_and_are_typed_before_there_is_a_journal(tmp_path: Path, journal: Any) -> None:
    journal.file.unlink()
    journal.load()
    types = dict(
        journal.query("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'entries'")
    )
    assert types["amount"] == "DECIMAL(20,4)"
    assert types["updated_at"] == "TIMESTAMP WITH TIME ZONE"
    assert journal.query("SELECT count(*) FROM raw_tieout.events") == [(0,)]


@pytest.mark.parametrize("step", ["before extract", "after extract", "after normalize", "after load", "before settle"])
def test_a_run_killed_between_two_steps_loses_and_doubles_nothing(
    journal: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    import dlt

    journal.write([f"a{n}" for n in range(50)], "planned")
    journal.load()
    journal.write([f"a{n}" for n in range(25)], "sent", "99.99")
    journal.write([f"b{n}" for n in range(30)], "planned")

    def work() -> None:
        real_normalize, real_load = dlt.Pipeline.normalize, dlt.Pipeline.load
        if step == "before extract":
            monkeypatch.setattr(dlt.Pipeline, "extract", _die)
        elif step == "after extract":
            monkeypatch.setattr(dlt.Pipeline, "normalize", _die)
        elif step == "after normalize":
            monkeypatch.setattr(dlt.Pipeline, "load", _die)
        elif step == "after load":
            monkeypatch.setattr(dlt.Pipeline, "load", lambda self: (real_load(self), _die()))
        else:
            monkeypatch.setattr(pipelines, "_settle", _die)
        assert real_normalize is not None
        journal.load()

    assert _killed(work)
    journal.write(["c"], "planned")
    journal.load()
    assert journal.loaded() == journal.wanted()
    assert list((journal.home / "dlt" / "after" / "tieout").glob("*")) == []


def test_runs_killed_at_any_moment_lose_and_double_nothing(journal: Any) -> None:
    journal.write([f"a{n}" for n in range(200)], "planned")
    journal.load()
    started = time.monotonic()
    journal.load()
    usual = time.monotonic() - started
    killed = 0
    for number in range(8):
        journal.write([f"a{n}" for n in range(number, 200, 7)], f"state{number}", f"{number}.50")
        journal.write([f"n{number}-{n}" for n in range(40)], "planned")
        killed += _killed(journal.load, after=usual * (number + 0.5) / 8)
    assert killed, "every run ended before its kill"
    journal.load()
    assert journal.loaded() == journal.wanted()


def test_a_package_that_cannot_be_loaded_is_dropped_and_read_again(journal: Any) -> None:
    import dlt

    journal.write(["a", "b"], "planned")
    journal.load()
    journal.write(["a"], "sent")

    def work() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dlt.Pipeline, "load", _die)
            journal.load()

    assert _killed(work)
    packages = list((journal.home / "dlt" / "ingest_tieout" / "load" / "normalized").rglob("entries*.parquet"))
    assert packages
    packages[0].write_bytes(b"torn")
    report = journal.load()
    assert journal.loaded() == journal.wanted()
    assert any("dropped" in change for change in report.schema_changes)


def test_a_warehouse_that_was_removed_is_filled_again(journal: Any) -> None:
    journal.write(["a", "b"], "planned")
    journal.load()
    (journal.home / "warehouse.duckdb").unlink()
    journal.load()
    assert journal.loaded() == journal.wanted()


def test_an_older_warehouse_put_back_is_brought_up_to_date(journal: Any) -> None:
    journal.write(["a", "b"], "planned")
    journal.load()
    old = (journal.home / "warehouse.duckdb").read_bytes()
    journal.write(["c"], "planned")
    journal.load()
    journal.write(["d"], "planned", step=7200)
    journal.load()
    (journal.home / "warehouse.duckdb").write_bytes(old)
    journal.write(["e"], "planned", step=7200)
    journal.load()
    assert journal.loaded() == journal.wanted()


def test_a_warehouse_replaced_during_a_run_is_not_filled_with_half_a_story(
    journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dlt

    journal.write(["a", "b"], "planned")
    journal.load()
    real = dlt.Pipeline.normalize

    def normalize_and_lose(self: Any) -> Any:
        (journal.home / "warehouse.duckdb").unlink(missing_ok=True)
        return real(self)

    journal.write(["c"], "planned")
    with monkeypatch.context() as patch:
        patch.setattr(dlt.Pipeline, "normalize", normalize_and_lose)
        with pytest.raises(WarehouseReplaced, match="Run again"):
            journal.load()
    journal.load()
    assert journal.loaded() == journal.wanted()


def test_who_holds_the_warehouse_is_named_when_the_turn_does_not_come(tmp_path: Path) -> None:
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with pipelines.warehouse_turn(tmp_path, what="dbt build"):
            inside.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(10)
    try:
        with (
            pytest.raises(WarehouseLocked, match=rf"process {os.getpid()} \(dbt build"),
            pipelines.warehouse_turn(tmp_path, timeout=0.1),
        ):
            pass
    finally:
        done.set()
        holder.join()
    with pipelines.warehouse_turn(tmp_path), pipelines.warehouse_turn(tmp_path):
        pass


def test_a_warehouse_open_in_another_program_is_a_clear_error_and_nothing_is_lost(journal: Any) -> None:
    journal.write(["a"], "planned")
    journal.load()
    journal.write(["b"], "planned")
    code = f"""
        import duckdb, sys
        db = duckdb.connect({str(journal.home / "warehouse.duckdb")!r})
        print("open", flush=True)
        sys.stdin.read()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    try:
        with (
            pytest.raises(WarehouseLocked, match=f"PID {other.pid}"),
            pipelines.warehouse_turn(journal.home) as place,
            pipelines.connected(place, timeout=0.2),
        ):
            pass
    finally:
        other.communicate()
    journal.load()
    assert journal.loaded() == journal.wanted()


def test_a_full_disk_is_said_so_and_the_next_run_finishes(journal: Any) -> None:
    journal.write(["a"], "planned")
    journal.load()
    journal.write([f"b{n}" for n in range(4000)], "planned", step=0.01)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files of this process may not grow beyond this size: writing more fails as on a full disk.
    largest = (journal.home / "warehouse.duckdb").stat().st_size
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 64, hard))
    try:
        with pytest.raises(DiskFull, match="Free some space"):
            journal.load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    journal.load()
    assert journal.loaded() == journal.wanted()


def test_readers_of_the_published_snapshot_are_not_disturbed_by_the_next_one(journal: Any) -> None:
    journal.write(["a"], "planned")
    journal.load()
    published = pipelines.publish(journal.home)
    with duckdb.connect(str(published), read_only=True) as reader:
        journal.write(["b"], "planned")
        journal.load()
        pipelines.publish(journal.home)
        assert reader.execute("SELECT count(*) FROM raw_tieout.entries").fetchone() == (1,)
    with duckdb.connect(str(published), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM raw_tieout.entries").fetchone() == (2,)


def test_no_second_copy_of_the_rows_stays_behind(journal: Any) -> None:
    journal.write(["a"], "planned")
    journal.load()
    schemas = {name for (name,) in journal.query("SELECT schema_name FROM information_schema.schemata")}
    assert "raw_tieout" in schemas
    assert not {name for name in schemas if "loading" in name}


def test_dlt_tells_its_makers_nothing(tmp_path: Path) -> None:
    pipelines.pipeline("tieout", home=tmp_path)
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from ingestion import pipelines; import dlt.common.runtime.anon_tracker as tracker;"
            f"pipelines.pipeline('tieout', home={str(tmp_path)!r}); print(tracker._TRACKER_CONTEXT)",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={name: value for name, value in os.environ.items() if not name.startswith("RUNTIME__")},
    )
    assert told.stdout.strip() == "None"
