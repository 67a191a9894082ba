"""`tidegate demo`: a whole load balancer on this machine, in one command."""

from typing import Annotated

import typer

from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.session import Session
from tidegate.cli.verbs import verb


def add_to(app: typer.Typer) -> None:
    """Adds `demo`."""

    @verb(
        app,
        "demo",
        words="tidegate demo",
        example="tidegate demo\ntidegate demo --once",
        table=False,
        reaches=False,
    )
    def demo(
        _session: Session,
        once: Annotated[bool, typer.Option("--once", help="Check itself, then end.")] = False,
    ) -> None:
        """See it work: control plane, two Envoys, three members.

        Everything is on free ports and in a temporary folder, and ends with Ctrl-C.
        """
        from tidegate.demo import run_demo  # noqa: PLC0415 - loads grpc
        from tidegate.demo_failure import DemoFailure  # noqa: PLC0415 - see above

        try:
            run_demo(once=once)
        except DemoFailure as failure:
            raise CommandError(failure.what, why=failure.why, code=Exit.FAULT) from failure
