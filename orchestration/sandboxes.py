"""Local stand-ins of the platforms, for demos, development and tests. The only live file that knows the sandboxes.

`serve` starts one process per platform; `environment` gives the variables that point Tieout, and anybody else's client,
at them; `advance` lets the simulated firm live on; `truth` prints what was planted.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from platforms.kit.local import Running
    from platforms.kit.sandbox.registry import SandboxSpec
    from platforms.kit.sandbox.server import Fleet

DEFAULT_PORT_BASE = 8700
DEFAULT_SEED = 7


def specs(platforms: Collection[str] | None = None) -> list[SandboxSpec]:
    """Every platform's sandbox, or those of `platforms` that have one."""
    from platforms.kit.sandbox import registry

    names = [name for name in registry.sandbox_names() if platforms is None or name in platforms]
    return [registry.sandbox(name) for name in names]


def environment(state: Path, port_base: int, seed: int = DEFAULT_SEED) -> dict[str, str]:
    """Variables that point every connection at the sandboxes of `state`, credentials and CA included."""
    from platforms.kit.sandbox import server

    return server.environment_of(specs(), state, port_base, seed)


def populate(state: Path, seed: int, scale: str) -> Mapping[str, Any]:
    """Fill the sandboxes of `state` with a firm, unless one lives there already; returns the world's summary."""
    from platforms.world import firm

    return firm.populate(state, seed, scale)


def advance(state: Path, days: int) -> Mapping[str, Any]:
    """Let the firm live on for `days` days; returns what happened, by kind."""
    from platforms.world import firm

    return firm.advance(state, days)


def truth(state: Path) -> Mapping[str, Any]:
    """What is planted in the sandboxes of `state`. Only tests may read it."""
    from platforms.world import firm

    return firm.truth(state)


def free_port_base() -> int:
    """A port base whose platform ports and TLS twins are free on 127.0.0.1."""
    for base in range(DEFAULT_PORT_BASE, 60000, 500):
        if all(_is_free(base + offset + twin) for offset in range(7) for twin in (0, 100)):
            return base
    raise click.ClickException("No free range of ports on 127.0.0.1; stop the sandboxes that run already.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start(
    state: Path,
    port_base: int,
    *,
    seed: int = DEFAULT_SEED,
    faults: str = "none",
    platforms: Collection[str] | None = None,
) -> Fleet:
    """Start the sandboxes of `state`, one process each; a context manager whose `env` points Tieout at them."""
    from platforms.kit.sandbox import server

    return server.start_all(specs(platforms), state, port_base, seed=seed, faults=faults)


@contextmanager
def local_servers(state: Path, say: Callable[[str], None]) -> Iterator[dict[str, Running]]:
    """Real servers for those connections of the stacks whose platform has one: connection -> running server."""
    from orchestration import stacks
    from platforms.kit import local

    today = datetime.now(UTC).date()
    with ExitStack() as opened:
        found: dict[str, Running] = {}
        for connection, platform in stacks.connections().items():
            if platform not in local.local_names():
                continue
            spec = local.local(platform)
            spec.prepare(say)
            roles = frozenset(
                role for stack in stacks.stacks_of(connection).values() for role in stacks.ROLES
                if stack.get(role) == connection
            )  # fmt: skip
            entity, *_ = stacks.legal_entities_of(connection)
            found[connection] = opened.enter_context(spec.start(state / connection, connection, roles, entity, today))
        yield found


@click.group()
def sandbox() -> None:
    """Local stand-ins of the platforms: serve them, point at them, let the firm live on."""


def _state_option(command: Any) -> Any:
    return click.option(
        "--state", type=click.Path(path_type=Path, file_okay=False), default=None,
        help="Folder of the sandboxes' stores (default: sandbox/ under TIEOUT_HOME).",
    )(command)  # fmt: skip


def _state(given: Path | None) -> Path:
    from orchestration.home import home

    state = (given or home().sandbox).resolve()
    state.mkdir(parents=True, exist_ok=True)
    return state


@sandbox.command()
@click.option(
    "--port-base", default=DEFAULT_PORT_BASE, show_default=True, help="Port of the first platform; TLS twins at +100."
)
@click.option("--seed", default=7, show_default=True)
@click.option("--scale", type=click.Choice(["tiny", "small", "medium", "large"]), default="small", show_default=True)
@click.option("--faults", default="none", show_default=True, help="Fault profile: none, rough, chaos, slow.")
@_state_option
def serve(port_base: int, seed: int, scale: str, faults: str, state: Path | None) -> None:
    """Serve every platform's sandbox until interrupted; the firm is made first when STATE is empty."""
    folder = _state(state)
    populate(folder, seed, scale)
    with start(folder, port_base, seed=seed, faults=faults) as fleet:
        for name, url in fleet.urls.items():
            click.echo(f"{name:12} {url}  {fleet.tls_urls[name]}")
        click.echo(f"CA certificate {folder / 'ca.pem'}; `tieout sandbox env` prints the variables; Ctrl-C stops")
        status = fleet.wait()
    if status:
        raise click.ClickException(f"A sandbox ended by itself with status {status}; its output above says why.")


@sandbox.command()
@click.option("--port-base", default=DEFAULT_PORT_BASE, show_default=True)
@_state_option
@click.option("--json", "as_json", is_flag=True)
def env(port_base: int, state: Path | None, as_json: bool) -> None:
    """Print the `export` lines that point Tieout (and other clients) at the sandboxes, credentials included."""
    import shlex

    variables = environment(_state(state), port_base)
    if as_json:
        click.echo(json.dumps(variables, indent=2, sort_keys=True))
    else:
        for name, value in sorted(variables.items()):
            click.echo(f"export {name}={shlex.quote(value)}")


@sandbox.command("advance")
@click.option("--days", type=click.IntRange(1, 400), required=True)
@_state_option
@click.option("--json", "as_json", is_flag=True)
def advance_command(days: int, state: Path | None, as_json: bool) -> None:
    """The firm lives on: people log time, leads approve, finance issues, customers pay."""
    happened = advance(_state(state), days)
    click.echo(json.dumps(happened, indent=2, default=str) if as_json else describe(happened))


@sandbox.command("truth")
@_state_option
def truth_command(state: Path | None) -> None:
    """Print what is planted, as JSON. Only tests may read it."""
    click.echo(json.dumps(truth(_state(state)), indent=2, default=str))


def describe(happened: Mapping[str, Any]) -> str:
    """One line that says what the firm did: `from ... to ...: 3 deals won, 412 time entries, ...`."""
    words = ", ".join(
        f"{value} {name.replace('_', ' ')}" for name, value in happened.items() if isinstance(value, int) and value
    )
    return f"the firm lived on to {happened.get('today', '?')}: {words or 'nothing happened'}"
