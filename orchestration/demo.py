"""`make demo` and `make dev`: the whole loop against local sandboxes, as a newcomer meets it.

The demo has a home of its own, emptied first, so that it never depends on what an earlier run left there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestration import sandboxes, stacks
from orchestration.home import DBT_PROJECT_DIR, PROJECT_ROOT, Home

if TYPE_CHECKING:
    from platforms.kit.local import Running

DEMO_HOME = PROJECT_ROOT / ".tieout-demo"
DEV_HOME = PROJECT_ROOT / ".tieout-dev"

# Long enough for the month to end, for drafts to be approved and for customers to pay them.
CHAPTERS = ((42, "six weeks later"),)
# Where real servers take part, work comes in the first chapter and finance in the second.
LOCAL_CHAPTERS = ((42, "six weeks of work"), (21, "finance posts, customers pay"))
STACKS = DBT_PROJECT_DIR / "stacks"


@contextmanager
def chapter(title: str) -> Iterator[None]:
    """Announce a step and say how long it took."""
    click.secho(f"\n== {title}", bold=True)
    started = time.monotonic()
    yield
    click.echo(f"   ({time.monotonic() - started:.1f} s)")


def stack_names() -> list[str]:
    """The stacks that the demo can show besides the project's own: the files in dbt_project/stacks."""
    return sorted(file.stem for file in STACKS.glob("*.yml"))


def run(*, scale: str, seed: int, stack: str = "", folder: Path | None = None) -> int:
    """The loop, again and again while the firm lives on. Exit status 0 only when the books tie out.

    `stack` names a file of dbt_project/stacks; '' = the stacks of the dbt project. `folder` is emptied first; default
    a folder of the demo's own in the project.
    """
    started = time.monotonic()
    root = folder.resolve() if folder else DEMO_HOME.with_name(f"{DEMO_HOME.name}-{stack}" if stack else DEMO_HOME.name)
    shutil.rmtree(root, ignore_errors=True)
    where = Home(root=root).prepare()
    os.environ.update(where.environment())
    if stack:
        os.environ[stacks.VARIABLE] = str(STACKS / f"{stack}.yml")
    where.sandbox.mkdir(parents=True)
    outcomes: list[Any] = []
    with _platforms(where, scale, seed) as local:
        outcomes += _loop("Day one: connect, read, build, plan, write back")
        for number, (days, title) in enumerate(LOCAL_CHAPTERS if local else CHAPTERS, 1):
            with chapter(f"The firm lives on: {title}"):
                if _played():
                    click.echo("   " + sandboxes.describe(sandboxes.advance(where.sandbox, days)))
                for server in local.values():
                    click.echo("   " + sandboxes.describe(server.advance(seed, number)))
            outcomes += _loop("The loop again")
        last = outcomes[-1]
    from orchestration import demo_report

    click.echo()
    click.echo(demo_report.text(outcomes, seconds=time.monotonic() - started))
    # The last pass found nothing left to write: that is what a second run would do.
    good = all(outcome.success for outcome in outcomes) and last.write_calls == 0
    return 0 if good and demo_report.ties_out() else 1


def _played() -> bool:
    """True when some platform of the stacks is played by a sandbox."""
    return bool(sandboxes.specs(stacks.connections().values()))


@contextmanager
def _platforms(where: Home, scale: str, seed: int) -> Iterator[Mapping[str, Running]]:
    """Everything the stacks connect to, running, with the firm in it and the environment pointing there."""
    with ExitStack() as opened:
        if _played():
            with chapter(f"A firm is made: scale {scale}, seed {seed}"):
                click.echo("   " + sandboxes.describe(sandboxes.populate(where.sandbox, seed, scale)))
            fleet = opened.enter_context(
                sandboxes.start(
                    where.sandbox, sandboxes.free_port_base(), seed=seed, platforms=stacks.connections().values()
                )
            )
            os.environ.update(fleet.env)
            for name, url in fleet.urls.items():
                click.echo(f"   {name:11} {url}")
        with chapter("Real servers are started") if _real() else nullcontext():
            local = opened.enter_context(sandboxes.local_servers(where.sandbox, lambda text: click.echo(f"   {text}")))
            for name, server in local.items():
                os.environ.update(server.environment())
                click.echo(f"   {name:11} {server.url}")
                click.echo("   " + sandboxes.describe(server.populate(seed)))
        yield local


def _real() -> bool:
    return len(sandboxes.specs(stacks.connections().values())) < len(set(stacks.connections().values()))


def _loop(title: str) -> Sequence[Any]:
    with chapter(title):
        outcomes = _passes(6)
        from orchestration import report

        click.echo(report.run_text(outcomes))
    return outcomes


def _passes(most: int) -> Sequence[Any]:
    from orchestration import execution, progress

    screen = sys.stdout  # what runs may print to standard output goes to a file meanwhile
    with progress.listening(lambda message: click.echo(f"   {message}", file=screen)):
        return execution.run_until_quiet(most)


def develop(port: int) -> int:
    """Sandboxes, Dagster's web server and daemon, until interrupted. State is kept between starts in .tieout-dev."""
    where = Home(root=DEV_HOME).prepare()
    os.environ.update(where.environment())
    where.sandbox.mkdir(parents=True, exist_ok=True)
    click.echo(sandboxes.describe(sandboxes.populate(where.sandbox, sandboxes.DEFAULT_SEED, "small")))
    with sandboxes.start(where.sandbox, sandboxes.free_port_base()) as fleet:
        os.environ.update(fleet.env)
        click.echo(f"Dagster UI: http://127.0.0.1:{port}   (Ctrl-C stops everything)")
        click.echo(f"In another terminal: export TIEOUT_HOME={DEV_HOME.name}; tieout sandbox advance --days 1")
        dagster = subprocess.Popen(
            [str(Path(sys.executable).parent / "dagster"), "dev", "-w", str(PROJECT_ROOT / "workspace.yaml"),
             "-h", "127.0.0.1", "-p", str(port)],
            cwd=PROJECT_ROOT, env=dict(os.environ),
        )  # fmt: skip
        signal.signal(signal.SIGTERM, lambda *_: dagster.terminate())
        try:
            return dagster.wait()
        except KeyboardInterrupt:
            dagster.terminate()
            dagster.wait(timeout=30)
            return 0
