"""`tidegate`: the command line. Only what a command needs is imported."""

import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from tidegate import __version__

_NOUNS = {
    "pool": "Groups of like members, and how a member is chosen.",
    "member": "The application servers of a pool.",
    "monitor": "Checks that decide whether a member may serve.",
    "vip": "Addresses and ports that take traffic for a pool.",
    "service-type": "What tenants may ask for; fleets offer it.",
    "fleet": "Groups of like Envoys that carry pools.",
    "node": "The Envoys of a fleet, as the control plane sees them.",
    "quota": "How many objects a project may have.",
}
_COMMANDS = ("status", "why", "watch", "tree", "demo", "serve", "agent", "bootstrap")


def program(first: str) -> typer.Typer:
    """Builds the command line.

    Args:
        first: the first word typed. Only this noun's verbs are loaded, which keeps `--help`
            quick; `*` loads all.
    """
    app = typer.Typer(
        name="tidegate",
        help="Load balancers on Envoy: create them, see what every node runs, and why.",
        epilog="\b\nExample:\n  tidegate demo\n  tidegate status --project acme\n\b\n"
        "Project and server: --project, --server; TIDEGATE_PROJECT, TIDEGATE_SERVER; or\n"
        '~/.config/tidegate/context with  project = "acme"  and  server = "HOST:PORT".\n\b\n'
        "Exit codes: 0 done, 2 usage, 3 not found, 4 conflict, 5 rejected, 6 wait timed out,\n"
        "7 unavailable.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_top)
    for name in _COMMANDS:
        import_module(f"tidegate.cli.{name}").add_to(app)
    for noun, about in _NOUNS.items():
        wanted = first in {noun, "*"}
        group = _verbs(noun) if wanted else typer.Typer(callback=_nothing)
        app.add_typer(group, name=noun, help=about)
    return app


def main() -> None:
    """Runs the command line; the process ends with the command's exit code."""
    completing = "_TIDEGATE_COMPLETE" in os.environ
    first = "*" if completing else next(iter(sys.argv[1:]), "")
    program(first)(prog_name="tidegate")


def _verbs(noun: str) -> typer.Typer:
    group: typer.Typer = import_module(f"tidegate.cli.{noun.replace('-', '_')}").app
    return group


def _nothing() -> None:
    pass


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidegate {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


if __name__ == "__main__":
    main()
