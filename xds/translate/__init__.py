"""From a pool's tree to Envoy's messages: pure builders, one file per resource.

`translate(tree, fleet)` gives a pool's resources, `translate_proxyless(tree)` those of gRPC clients
without a proxy; `bootstrap(...)` what a node is started with.
"""

from xds.translate.bootstrap import ARGUMENTS, bootstrap, to_json
from xds.translate.proxyless import grpc_bootstrap, translate_proxyless
from xds.translate.readable import readable
from xds.translate.tree import BUILT, VERSION, Rendered, listens, translate

__all__ = [
    "ARGUMENTS",
    "BUILT",
    "VERSION",
    "Rendered",
    "bootstrap",
    "grpc_bootstrap",
    "listens",
    "readable",
    "to_json",
    "translate",
    "translate_proxyless",
]
