"""Tidegate, the program: composition root, reconcile, feedback, command line."""

from pathlib import Path

import xds

# In an editable install the distribution xds-protos, whose package is called `xds` too, comes
# first on the path; a wheel puts both in one folder. Either way ours has to be found.
_ours = str(Path(__file__).resolve().parent.parent / "xds")
if _ours not in xds.__path__:
    xds.__path__.append(_ours)

__version__ = "0.1.0"
