"""`tidegate serve`: the control plane, until it is told to stop."""

import asyncio
import signal
import sys
from typing import Annotated

import typer

from tidegate import __version__
from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.json_value import given
from tidegate.cli.session import Session
from tidegate.cli.table import say, tell
from tidegate.cli.verbs import verb

Database = Annotated[
    str | None, typer.Option(help="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.")
]
ApiAddress = Annotated[
    str | None, typer.Option(help="HOST:PORT (0: any free) or unix:/PATH for tenants.")
]
XdsAddress = Annotated[
    str | None, typer.Option(help="HOST:PORT (0: any free) or unix:/PATH for Envoys.")
]

MetricsAddress = Annotated[
    str | None, typer.Option(help="HOST:PORT on loopback for Prometheus; nothing if not said.")
]


def add_to(app: typer.Typer) -> None:
    """Adds `serve`."""

    @verb(
        app,
        "serve",
        words="tidegate serve",
        example="tidegate serve\n"
        "tidegate serve --database sqlite:///trial.db --api-address 127.0.0.1:0",
        table=False,
        reaches=False,
    )
    def serve(
        _session: Session,
        database: Database = None,
        api_address: ApiAddress = None,
        xds_address: XdsAddress = None,
        metrics_address: MetricsAddress = None,
    ) -> None:
        """Run the control plane: API and xDS.

        Settings come from these options, then TIDEGATE_* in the environment, then the TOML file
        that TIDEGATE_CONFIG names (tidegate.toml if it is there). SIGTERM or Ctrl-C stops it.
        """
        chosen = {
            "database": database,
            "api_address": api_address,
            "xds_address": xds_address,
            "metrics_address": metrics_address,
        }
        asyncio.run(_serve({key: str(value) for key, value in given(chosen).items()}))


async def _serve(chosen: dict[str, str]) -> None:
    import structlog  # noqa: PLC0415 - only the server needs these
    from pydantic import ValidationError  # noqa: PLC0415

    from lbaas.model.errors import LbaasError  # noqa: PLC0415
    from tidegate.config import Settings  # noqa: PLC0415
    from tidegate.plane import running_plane  # noqa: PLC0415
    from xds.server import XdsServerError  # noqa: PLC0415

    # stdout says where it listens, and nothing else.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        settings = Settings(**chosen)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise CommandError("the settings are wrong", why=faults) from error
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopping.set)
    try:
        async with running_plane(settings) as plane:
            say(f"api {_with_port(settings.api_address, plane.api_port)}")
            say(f"xds {_with_port(settings.xds_address, plane.xds_port)}")
            if plane.metrics_port:
                say(f"metrics {_with_port(settings.metrics_address, plane.metrics_port)}")
            tell(f"tidegate {__version__} serves, stored in {settings.database}; Ctrl-C stops it")
            await stopping.wait()
            tell("stopping")
    except (LbaasError, XdsServerError, OSError) as error:
        raise CommandError(
            "the control plane cannot start", why=[str(error)], code=Exit.UNAVAILABLE
        ) from error


def _with_port(address: str, port: int) -> str:
    return f"{address.rsplit(':', 1)[0]}:{port}" if port else address
