"""Every golden output is accepted by a real Envoy over ADS."""

import dataclasses

from lbaas.model.objects import PoolTree
from tests.golden.case import FOLDER, read
from tests.harness.ports import free_port
from tests.translate.node import TranslatedNode
from xds.cache import Key, Resource
from xds.cache.types import LISTENER
from xds.translate import translate


async def test_a_real_envoy_acks_every_golden_output() -> None:
    wanted: dict[Key, Resource] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        # All cases at once on one Envoy: each in a project of its own.
        case = read(path, project=f"golden-{path.stem}")
        for key, rendered in translate(_bindable(case.tree), case.fleet).items():
            assert key not in wanted
            wanted[key] = rendered.resource
    async with TranslatedNode() as node:
        await node.send(wanted, within=40)
        assert node.rejected == []
        names = {key.name for key in wanted if key.type_url == LISTENER}
        # An ACK does not mean that the port listens: Envoy says which are active.
        assert (await node.envoy.listeners()).keys() == names


def _bindable(tree: PoolTree) -> PoolTree:
    """Puts the VIPs that have an address on one that this host has."""
    vips = []
    for vip in tree.vips:
        host = "::1" if ":" in vip.address else "127.0.0.1"
        moved = dataclasses.replace(vip, address=host, port=free_port(host))
        vips.append(moved if vip.address else vip)
    return dataclasses.replace(tree, vips=tuple(vips))
