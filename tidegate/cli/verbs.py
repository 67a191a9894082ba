"""How a command is made: its own parameters, then the common options, then its example."""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Concatenate, ParamSpec

import typer

from tidegate.cli.durations import seconds
from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.option_names import options_of
from tidegate.cli.session import Session, ShownInstead, Wait
from tidegate.cli.shown import Show
from tidegate.cli.table import Format, Look, tell

P = ParamSpec("P")

OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How to print.")]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option("--column", "-c", metavar="NAME", help="Only these columns; may be repeated."),
]
NoHeaderOption = Annotated[bool, typer.Option("--no-header", help="Leave out the headings.")]
ProjectOption = Annotated[
    str,
    typer.Option(
        "--project", metavar="NAME", envvar="TIDEGATE_PROJECT", help="Whose objects; - for all."
    ),
]
ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        envvar="TIDEGATE_SERVER",
        help="Where the API is, or unix:/PATH. [default: 127.0.0.1:18090]",
    ),
]
ShowOption = Annotated[
    Show | None, typer.Option("--show", help="Print the call instead of making it.")
]
WaitOption = Annotated[
    Wait | None, typer.Option("--wait", help="Wait until every node has it, or until it serves.")
]
TimeoutOption = Annotated[
    str, typer.Option("--timeout", metavar="TIME", help="How long --wait waits: 500ms, 2m.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything, store nothing.")]

_Parameters = dict[str, tuple[object, object]]
_TABLE: _Parameters = {
    "output": (OutputOption, Format.TABLE),
    "column": (ColumnOption, None),
    "no_header": (NoHeaderOption, False),
}
_DRY_RUN: _Parameters = {"dry_run": (DryRunOption, False)}
_WAIT: _Parameters = {"wait": (WaitOption, None), "timeout": (TimeoutOption, "60s")}
_REACH: _Parameters = {
    "project": (ProjectOption, ""),
    "server": (ServerOption, ""),
    "show": (ShowOption, None),
}

Work = Callable[Concatenate[Session, P], None]


def verb(
    app: typer.Typer,
    name: str,
    *,
    example: str,
    words: str,
    writes: bool = False,
    waits: bool = True,
    table: bool = True,
    reaches: bool = True,
    help: str = "",  # noqa: A002 - typer's word
) -> Callable[[Work[P]], Work[P]]:
    """Makes a function a command that takes a `Session` and its own parameters.

    Args:
        app: where the command is added.
        name: the verb.
        example: command lines, one a line, shown in the help; a test runs each of them.
        words: the whole command as typed (`tidegate pool create`), for error messages.
        writes: adds `--dry-run`, `--wait` and `--timeout`.
        waits: leaves out the latter two if false: no node has to confirm this write.
        table: adds `-o`, `-c` and `--no-header`.
        reaches: adds `--project`, `--server` and `--show`: the command calls the API.
        help: the help text; else the function's docstring.
    """

    def register(work: Work[P]) -> Work[P]:
        common = dict(_TABLE) if table else {}
        if writes:
            common |= {**_DRY_RUN, **(_WAIT if waits else {})}
        if reaches:
            common |= _REACH

        @wraps(work)
        def run(**options: object) -> None:
            taken = {key: options.pop(key) for key in common if key in options}
            finish(lambda: _run(work, _session(words, taken, known), options))

        own = list(inspect.signature(work, eval_str=True).parameters.values())[1:]
        known = options_of(own)
        extra = [
            inspect.Parameter(
                key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
            for key, (annotation, default) in common.items()
        ]
        run.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in (*own, *extra)}
        app.command(name, help=help or None, epilog=_epilog(example))(run)
        return work

    return register


def _run(work: Callable[..., None], session: Session, own: dict[str, object]) -> None:
    try:
        work(session, **own)
    finally:
        session.close()


def finish(work: Callable[[], None]) -> None:
    """Runs a command's work and turns how it ends into stderr's lines and the exit code.

    Raises:
        typer.Exit: the command failed.
    """
    try:
        work()
    except ShownInstead:
        return
    except CommandError as error:
        tell(str(error))
        raise typer.Exit(error.code) from error
    except BrokenPipeError as error:  # `| head` has seen enough
        sys.stderr.close()
        raise typer.Exit(Exit.DONE) from error


def _epilog(example: str) -> str:
    shown = "\n".join(f"  {line}" for line in example.strip().splitlines())
    return f"\b\nExample:\n{shown}"


def _session(words: str, options: dict[str, object], known: frozenset[str]) -> Session:
    columns = options.get("column")
    output = options.get("output", Format.TABLE)
    show = options.get("show")
    wait = options.get("wait")
    return Session(
        command=words,
        look=Look(
            format=output if isinstance(output, Format) else Format.TABLE,
            columns=tuple(columns) if isinstance(columns, list) else (),
            header=not options.get("no_header", False),
        ),
        server_option=str(options.get("server", "")),
        project_option=str(options.get("project", "")),
        show=show if isinstance(show, Show) else None,
        wait=wait if isinstance(wait, Wait) else None,
        timeout=seconds(str(options.get("timeout", "60s")), option="--timeout"),
        dry_run=bool(options.get("dry_run", False)),
        options=known,
    )
