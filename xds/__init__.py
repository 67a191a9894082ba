"""The fleet side: an xDS server that knows what every Envoy really runs.

The distribution `xds-protos` installs a package of this name too (`xds.core`, `xds.type`, ...);
extending the path joins the two, so that both import, installed or from a checkout.
"""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
