"""`tidegate bootstrap`: what a node's Envoy, or a gRPC client without one, is started with."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from lbaas.model.names import FLEET, ID_PATTERN, NODE, leaf
from tidegate.cli.failure import CommandError
from tidegate.cli.session import Session
from tidegate.cli.table import say, tell
from tidegate.cli.verbs import verb

_HIGHEST_PORT = 65535
_ADMIN_PORT = 9901


def add_to(app: typer.Typer) -> None:
    """Adds `bootstrap`."""

    @verb(
        app,
        "bootstrap",
        words="tidegate bootstrap",
        example="tidegate bootstrap edge e1 > e1.json\n"
        "tidegate bootstrap edge e1 --xds 10.0.0.5:18000 --xds 10.0.0.6:18000\n"
        "tidegate bootstrap edge e1 --xds-address unix:/run/tidegate/xds.sock\n"
        "tidegate bootstrap edge my-client --grpc > xds.json",
        table=False,
        reaches=False,
    )
    def bootstrap(
        _session: Session,
        fleet: Annotated[str, typer.Argument(metavar="FLEET")],
        node: Annotated[str, typer.Argument(metavar="NODE")],
        xds: Annotated[
            list[str] | None,
            typer.Option(
                "--xds-address",
                "--xds",
                help="HOST:PORT or unix:/PATH of a control plane; may be repeated."
                " [default: 127.0.0.1:18000]",
            ),
        ] = None,
        admin_port: Annotated[
            int, typer.Option(help="Envoy's admin port on loopback; 0: any free one.")
        ] = _ADMIN_PORT,
        admin_path: Annotated[
            str, typer.Option(help="A unix socket for admin instead of the port.")
        ] = "",
        grpc: Annotated[
            bool,
            typer.Option(
                "--grpc", help="For a gRPC client that needs no Envoy: GRPC_XDS_BOOTSTRAP."
            ),
        ] = False,
    ) -> None:
        """Print what a node's Envoy is started with.

        It says who the node is and where its control plane is; all else comes over ADS.
        With --grpc: what a gRPC client is started with that dials xds:///projects/P/vips/V.
        """
        addresses = xds or ["127.0.0.1:18000"]
        if not grpc:
            print_bootstrap(fleet, node, addresses, admin_port, admin_path)
            return
        if admin_path or admin_port != _ADMIN_PORT:
            raise CommandError(
                "this is no bootstrap",
                why=["--grpc: a gRPC client has no admin; leave out --admin-port, --admin-path"],
            )
        print_grpc_bootstrap(fleet, node, addresses)


def print_bootstrap(
    fleet: str, node: str, xds: list[str], admin_port: int, admin_path: str
) -> None:
    """Prints the bootstrap on stdout, and on stderr how to start Envoy with it."""
    fleet_id, node_id, addresses = checked(fleet, node, xds)
    # Here, for it loads Envoy's messages.
    from xds.translate.bootstrap import ARGUMENTS, bootstrap, to_json  # noqa: PLC0415

    config = bootstrap(
        fleet=fleet_id,
        node=node_id,
        xds_address=addresses,
        admin_port=admin_port,
        admin_path=admin_path,
    )
    say(to_json(config).rstrip())
    tell(f"# envoy -c FILE {' '.join(ARGUMENTS)}")


def print_grpc_bootstrap(fleet: str, node: str, xds: list[str]) -> None:
    """Prints a gRPC client's bootstrap on stdout, and on stderr how to start it with that."""
    fleet_id, node_id, addresses = checked(fleet, node, xds)
    from xds.translate.proxyless import grpc_bootstrap  # noqa: PLC0415 - as above

    config = grpc_bootstrap(fleet=fleet_id, node=node_id, xds_address=addresses)
    say(json.dumps(config, indent=2))
    tell("# GRPC_XDS_BOOTSTRAP=FILE YOUR-CLIENT, which dials xds:///projects/PROJECT/vips/VIP")


def checked(
    fleet: str, node: str, xds: Sequence[str], *, what: str = "this is no bootstrap"
) -> tuple[str, str, list[tuple[str, int] | str]]:
    """Gives the ids of a fleet and of a node in it, and the control planes' addresses.

    Args:
        fleet: an id or a full name.
        node: an id or a full name.
        xds: each `host:port`, `[v6]:port` or `unix:/path`.
        what: fails then, in words.

    Raises:
        CommandError: something of it is not right; all that is is named.
    """
    fleet_id = leaf(fleet) if FLEET.parse(fleet) else fleet
    node_id = leaf(node) if NODE.parse(node) else node
    wrong = [
        f"{which} {word!r}: an id is lower-case letters, digits and hyphens, a letter first,"
        " at most 63"
        for which, word in (("fleet", fleet_id), ("node", node_id))
        if not ID_PATTERN.match(word)
    ]
    addresses = {each: address_of(each) for each in xds}
    wrong += [
        f"--xds-address {each!r}: write HOST:PORT or unix:/PATH"
        for each, address in addresses.items()
        if address is None
    ]
    if wrong:
        raise CommandError(what, why=wrong)
    return fleet_id, node_id, [each for each in addresses.values() if each is not None]


def address_of(words: str) -> tuple[str, int] | str | None:
    """Gives host and port of `host:port` or `[v6]:port`, the path of `unix:/path`, else None."""
    if words.startswith("unix:"):
        path = words.removeprefix("unix:")
        return path if path.startswith("/") else None
    host, colon, port = words.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT):
        return None
    return host, int(port)
