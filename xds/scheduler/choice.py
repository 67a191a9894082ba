"""The choice of a fleet for a pool: filter, weigh, and say why."""

from collections.abc import Sequence
from dataclasses import dataclass

from lbaas.model.names import project_of
from lbaas.model.objects import PoolTree, ServiceType
from xds.scheduler.filters import Candidate, fits

MAX_REFUSALS = 20
"""How many fleets' refusals the reason spells out; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A fleet that cannot carry the pool, and every reason why.

    `hidden`: the fleet is another project's own, which the pool's tenant is not told of.
    """

    fleet: str
    why: tuple[str, ...]
    hidden: bool = False

    def __str__(self) -> str:
        """Gives it as the tenant reads it: `fleets/edge: is draining ...`."""
        return f"{self.fleet}: {'; '.join(self.why)}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a pool goes, or "" for nowhere; `reason` is for its tenant, and is stored.

    `refusals` are those of every fleet that does not fit, hidden ones included, by name.
    """

    fleet: str
    reason: str
    refusals: tuple[Refusal, ...] = ()


def choose(tree: PoolTree, service_type: ServiceType, candidates: Sequence[Candidate]) -> Decision:
    """Gives the fleet that suits the pool best, and why; the same for any order of candidates.

    A pool that fits where it lives stays there, for the reason it had: moving costs connections,
    and an unchanged decision is not written again.
    """
    fitting, refusals = _judged(tree, service_type, candidates)
    if not fitting:
        return Decision("", _no_fit(refusals, project_of(tree.pool.name)), tuple(refusals))
    placement = tree.pool.placement
    if placement and any(placement.fleet == each.fleet.name for each in fitting):
        return Decision(placement.fleet, placement.reason, tuple(refusals))
    fitting.sort(key=weight)
    return Decision(fitting[0].fleet.name, _chosen(fitting), tuple(refusals))


def refuge(tree: PoolTree, service_type: ServiceType, candidates: Sequence[Candidate]) -> Decision:
    """Gives the fleet that a pool can move to from the one it is placed on, and why.

    It must have a live node: a pool that is served, however badly, does not go where nobody
    serves it. The fleet that the pool is still leaving, if it fits, before all others: it serves
    the pool now.
    """
    placement = tree.pool.placement
    here, leaving = (placement.fleet, placement.leaving) if placement else ("", "")
    others = [candidate for candidate in candidates if candidate.fleet.name != here]
    fitting, refusals = _judged(tree, service_type, others, settling=True)
    if not fitting:
        return Decision("", _no_fit(refusals, project_of(tree.pool.name)), tuple(refusals))
    fitting.sort(key=lambda candidate: (candidate.fleet.name != leaving, weight(candidate)))
    return Decision(fitting[0].fleet.name, _chosen(fitting), tuple(refusals))


def _judged(
    tree: PoolTree,
    service_type: ServiceType,
    candidates: Sequence[Candidate],
    *,
    settling: bool = False,
) -> tuple[list[Candidate], list[Refusal]]:
    """Gives the fleets that fit and the refusals of the others, each by name.

    `settling`: those without a live node, and those that drain, do not fit in any case.
    """
    project = project_of(tree.pool.name)
    fitting: list[Candidate] = []
    refusals: list[Refusal] = []
    for candidate in sorted(candidates, key=lambda candidate: candidate.fleet.name):
        why = fits(tree, service_type, candidate)
        if settling and not candidate.live_nodes:
            why = (*why, "has no live node")
        if settling and candidate.fleet.draining and not any("draining" in each for each in why):
            why = (*why, "is draining")
        if why:
            hidden = candidate.fleet.project not in {"", project}
            refusals.append(Refusal(candidate.fleet.name, why, hidden))
        else:
            fitting.append(candidate)
    return fitting, refusals


def weight(candidate: Candidate) -> tuple[bool, bool, float, str]:
    """Gives what fleets that fit are ordered by, the best first.

    A fleet with a live node before one without (which is no condition: the pool waits there);
    a project's own before a shared one; then the fewest pools per live node; then the name.
    """
    load = candidate.fleet.pools / max(candidate.live_nodes, 1)
    return not candidate.live_nodes, not candidate.fleet.project, load, candidate.fleet.name


def _chosen(fitting: Sequence[Candidate]) -> str:
    best, *others = fitting
    words = f"{best.fleet.name} fits and {_state(best)}"
    if not others:
        return f"{words}; no other fleet fits"
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"{words}; preferred to {others[0].fleet.name} ({_state(others[0])}){more}"


def _state(candidate: Candidate) -> str:
    live, pools = candidate.live_nodes, candidate.fleet.pools
    nodes = f"{live} live node{'' if live == 1 else 's'}" if live else "no live node yet"
    own = "is the project's own, " if candidate.fleet.project else ""
    return f"{own}has {nodes}, carries {pools} pool{'' if pools == 1 else 's'}"


def _no_fit(refusals: Sequence[Refusal], project: str) -> str:
    """Gives every refusal that the tenant may read."""
    if not refusals:
        return "no fleets are registered; an operator must create one"
    seen = [refusal for refusal in refusals if not refusal.hidden]
    if not seen:
        return f"no fleet is shared or belongs to project {project}; an operator must create one"
    more = len(seen) - MAX_REFUSALS
    tail = f" | and {more} more fleets" if more > 0 else ""
    return " | ".join(str(refusal) for refusal in seen[:MAX_REFUSALS]) + tail
