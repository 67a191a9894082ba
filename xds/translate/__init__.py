"""From a pool's tree to Envoy's messages: pure builders, one file per resource.

`translate(tree, fleet)` gives a pool's resources; `bootstrap(...)` what a node is started with.
"""

from xds.translate.bootstrap import ARGUMENTS, bootstrap, to_json
from xds.translate.readable import readable
from xds.translate.tree import BUILT, VERSION, Rendered, listens, translate

__all__ = [
    "ARGUMENTS",
    "BUILT",
    "VERSION",
    "Rendered",
    "bootstrap",
    "listens",
    "readable",
    "to_json",
    "translate",
]
