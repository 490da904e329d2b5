"""`tieout ...`: what a person types. Every command that changes anything materializes the same assets as the UI.

Exit status 0 only when what was asked happened. `--json` prints one JSON document on standard output. Heavy libraries
are imported by the commands that need them: dbt takes 7 s to import, dagster 3 s, dlt 2 s.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestration import sandboxes
from platforms.kit.errors import PlatformError
from platforms.kit.secrets import mask

Command = TypeVar("Command", bound=Callable[..., Any])


class Tieout(click.Group):
    """The command group: every error leaves as one masked sentence and a status that is not 0."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command; known errors become messages, unknown ones keep their trace for a bug report."""
        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if is_expected(error):
                raise click.ClickException(mask(str(error))) from error
            raise


def is_expected(error: BaseException) -> bool:
    """True for errors whose message already says what is wrong and what to do; they need no trace."""
    from ingestion.errors import IngestionError
    from orchestration.manifest import ManifestError
    from orchestration.stacks import StacksError
    from orchestration.warehouse import NotBuiltYet
    from reverse_etl.exceptions.desk import NoSuchException
    from reverse_etl.journal.store import Busy, JournalError
    from reverse_etl.plan.diff import ModelError
    from reverse_etl.sync import SyncConfigError

    known = (PlatformError, IngestionError, ManifestError, StacksError, NotBuiltYet, NoSuchException)
    return isinstance(error, (*known, Busy, JournalError, ModelError, SyncConfigError))


def emit(as_json: bool, document: Any, text: Callable[[], str] | str) -> None:
    """Print `document` as JSON, or `text`."""
    if as_json:
        click.echo(mask(json.dumps(document, indent=2, default=str)))
    else:
        click.echo(mask(text if isinstance(text, str) else text()))


def json_option(command: Command) -> Command:
    """`--json` on a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")(command)


def with_progress(command: Command) -> Command:
    """Show progress on the terminal while the command runs (standard error, so that --json stays clean)."""

    @wraps(command)
    def shown(*args: Any, **kwargs: Any) -> Any:
        from orchestration import progress

        with progress.listening(lambda message: click.echo(message, err=True)):
            return command(*args, **kwargs)

    return shown  # type: ignore[return-value]  # functools.wraps keeps the command's signature


@click.group(cls=Tieout, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tieout")
def main() -> None:
    """Keep CRM, PSA and accounting in step, and prove that they agree."""


main.add_command(sandboxes.sandbox)


def _finish(outcomes: Sequence[Any], as_json: bool) -> None:
    """Print what runs did; exit status 1 when anything asked for did not happen."""
    from orchestration import report

    emit(as_json, report.run_document(outcomes), lambda: report.run_text(outcomes))
    if not all(outcome.success for outcome in outcomes):
        sys.exit(1)


@main.command()
@click.argument("names", nargs=-1)
@json_option
@with_progress
def ingest(names: tuple[str, ...], as_json: bool) -> None:
    """Load what changed on the platforms into the warehouse. NAMES limit it to platforms or tables."""
    from orchestration import execution

    _finish([execution.materialize(execution.asset_keys("raw", names), command="ingest")], as_json)


@main.command()
@click.argument("names", nargs=-1)
@json_option
@with_progress
def build(names: tuple[str, ...], as_json: bool) -> None:
    """Build and test the dbt models, then publish the snapshot. NAMES limit it to models."""
    from orchestration import execution

    built = execution.materialize(
        execution.asset_keys("models", names),
        command="build",
        job_name=execution.NIGHTLY_JOB,
        ops={"dbt_models": {"everything": True}},
    )
    _finish([built], as_json)


@main.command()
@click.argument("syncs", nargs=-1)
@click.option("--format", "style", type=click.Choice(["table", "json", "html"]), default="table", show_default=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@json_option
def plan(syncs: tuple[str, ...], style: str, output: Path | None, as_json: bool) -> None:
    """Show what would be written, field by field. Sends nothing."""
    from orchestration import write_back

    made = write_back.engine().plan(syncs or None)
    texts: dict[str, Callable[[], str]] = {"json": made.to_json, "html": made.to_html, "table": made.to_text}
    text = mask(texts["json" if as_json else style]())
    if output:
        output.write_text(text)
    else:
        click.echo(text)


@main.command()
@click.argument("syncs", nargs=-1)
@json_option
@with_progress
def apply(syncs: tuple[str, ...], as_json: bool) -> None:
    """Write the planned changes back to the platforms. SYNCS limit it to some."""
    from orchestration import execution

    _finish([execution.materialize(execution.asset_keys("write_back", syncs), command="apply")], as_json)


@main.command()
@click.option(
    "--passes", default=6, show_default=True, help="At most so many passes; it stops after one that writes nothing."
)
@json_option
@with_progress
def run(passes: int, as_json: bool) -> None:
    """Ingest, build and write back, pass after pass, until a pass writes nothing."""
    from orchestration import execution

    _finish(execution.run_until_quiet(passes), as_json)


@main.command()
@json_option
def status(as_json: bool) -> None:
    """What is in the journal, what is held and why, and whether the books tie out."""
    from orchestration import report

    document = report.status_document()
    emit(as_json, document, lambda: report.status_text(document))
    if document["uncertain"] or any(row["tie_out_difference"] for row in document["tie_out"]):
        sys.exit(1)


@main.command()
@click.argument("reference")
@json_option
def explain(reference: str, as_json: bool) -> None:
    """Where a record, key or entry came from, and everything that was done about it."""
    from orchestration import write_back

    trail = write_back.engine().explain(reference)
    if not (trail.entries or trail.known_records or trail.exceptions):
        raise click.ClickException(
            f"Nothing in the journal refers to {reference}. "
            "Give a business key, a target id, an entry id or a source reference."
        )
    click.echo(mask(trail.to_json() if as_json else trail.to_text()))


@main.command()
@click.argument("connections", nargs=-1)
@json_option
def doctor(connections: tuple[str, ...], as_json: bool) -> None:
    """Check credentials, permissions, fields and API versions of each connection, and say what to fix."""
    from orchestration import examination

    results = examination.examine(connections)
    emit(as_json, results, lambda: examination.text(results))
    if any(finding["level"] == "error" for result in results for finding in result["findings"]):
        sys.exit(1)


@main.command()
@click.argument("syncs", nargs=-1, required=True)
@click.option("--by", required=True, help="Who approves; stored with the entries.")
@json_option
def approve(syncs: tuple[str, ...], by: str, as_json: bool) -> None:
    """Let held writes of SYNCS go with the next apply (brakes, or syncs that ask for approval)."""
    from orchestration import write_back

    counts = {write_back.engine().sync(name).name: write_back.desk().approve(name, actor=by) for name in syncs}
    emit(
        as_json,
        counts,
        lambda: "\n".join(f"{name}: {count} entries approved by {by}" for name, count in counts.items()),
    )


@main.command()
@click.option("--scale", type=click.Choice(["tiny", "small", "medium"]), default="small", show_default=True)
@click.option("--seed", default=7, show_default=True)
@click.option(
    "--stack", default="", help="A file of dbt_project/stacks, by its name; default: the stacks of the project."
)
@click.option(
    "--home", "folder", type=click.Path(path_type=Path, file_okay=False), default=None,
    help="Folder of the demo, emptied first (default: .tieout-demo in the project).",
)  # fmt: skip
def demo(scale: str, seed: int, stack: str, folder: Path | None) -> None:
    """The whole loop against local sandboxes or real servers, with a report at the end."""
    from orchestration import demo as demonstration

    if stack and stack not in demonstration.stack_names():
        raise click.ClickException(f"no stack {stack!r}; there are {', '.join(demonstration.stack_names())}.")
    sys.exit(demonstration.run(scale=scale, seed=seed, stack=stack, folder=folder))


@main.command("stacks")
@click.option("--vars", "as_vars", is_flag=True, help="As the JSON that plain dbt takes: dbt build --vars ...")
@click.option("--json", "as_json", is_flag=True)
def stacks_command(as_vars: bool, as_json: bool) -> None:
    """The stacks as configured: connections, legal entities, and who owns what."""
    from orchestration import stacks

    found = stacks.variables()
    shown = {name: found[name] for name in ("stacks", "connections")}
    if as_vars:
        click.echo(json.dumps({**shown, **stacks.overrides()}, sort_keys=True))
        return
    emit(as_json, shown, lambda: stacks.text(shown))


@main.command()
@click.option("--port", default=3000, show_default=True)
def dev(port: int) -> None:
    """Dagster's UI and daemon on 127.0.0.1, against local sandboxes."""
    from orchestration import demo as demonstration

    sys.exit(demonstration.develop(port))


@main.group()
def exceptions() -> None:
    """What only a person can decide: list, take, resolve, ignore with a reason, retry."""


@exceptions.command("list")
@click.option("--closed", is_flag=True, help="Closed ones instead of open ones.")
@click.option("--owner", help="Only those of one owner.")
@json_option
def exceptions_list(closed: bool, owner: str | None, as_json: bool) -> None:
    """Exceptions with reason and owner, oldest first."""
    from orchestration import report, write_back

    rows = write_back.desk().find(closed=closed, owner=owner)
    emit(as_json, [row.to_dict() for row in rows], lambda: report.exceptions_text(rows))


_BY = click.option("--by", required=True, help="Who decides; stored with the exception.")
_IDS = click.argument("ids", nargs=-1, required=True)


@exceptions.command()
@_IDS
@click.option("--to", "owner", required=True, help="The new owner.")
@_BY
def assign(ids: tuple[str, ...], owner: str, by: str) -> None:
    """Give exceptions to somebody."""
    from orchestration import write_back

    for exception_id in ids:
        write_back.desk().assign(exception_id, owner, actor=by)
    click.echo(f"{len(ids)} given to {owner}")


@exceptions.command()
@_IDS
@_BY
@click.option("--note", default="", help="What was done.")
def resolve(ids: tuple[str, ...], by: str, note: str) -> None:
    """The cause was dealt with elsewhere: close it."""
    from orchestration import write_back

    for exception_id in ids:
        write_back.desk().resolve(exception_id, actor=by, note=note)
    click.echo(f"{len(ids)} resolved")


@exceptions.command()
@_IDS
@_BY
@click.option("--reason", required=True, help="Why it is accepted; the next person reads it.")
def ignore(ids: tuple[str, ...], by: str, reason: str) -> None:
    """Leave the record as it is, for a stated reason."""
    from orchestration import write_back

    for exception_id in ids:
        write_back.desk().ignore(exception_id, actor=by, reason=reason)
    click.echo(f"{len(ids)} ignored")


@exceptions.command()
@_IDS
@_BY
@click.option("--note", default="")
def retry(ids: tuple[str, ...], by: str, note: str) -> None:
    """Send the record again with the next apply."""
    from orchestration import write_back

    freed = sum(write_back.desk().retry(exception_id, actor=by, note=note) for exception_id in ids)
    click.echo(f"{freed} entries go with the next apply")


if __name__ == "__main__":
    main()
