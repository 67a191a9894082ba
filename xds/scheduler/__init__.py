"""Which fleet carries a pool, and why: pure, no I/O.

`choose` filters the fleets (each refusal says why) and weighs those that fit; `fits` answers
whether a pool still fits where it is.
"""

from xds.scheduler.choice import Decision, Refusal, choose
from xds.scheduler.filters import Candidate, fits

__all__ = ["Candidate", "Decision", "Refusal", "choose", "fits"]
