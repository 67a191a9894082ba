"""Which fleet carries a pool, and why: pure, no I/O.

`choose` filters the fleets (each refusal says why) and weighs those that fit; `refuge` does so for
a pool that has to leave its fleet; `fits` answers whether a pool still fits where it is.
"""

from xds.scheduler.choice import Decision, Refusal, choose, refuge
from xds.scheduler.filters import Candidate, fits

__all__ = ["Candidate", "Decision", "Refusal", "choose", "fits", "refuge"]
