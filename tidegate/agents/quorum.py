"""What most nodes find, so that one node's broken path takes no member from all."""

from collections.abc import Collection


def quorum(verdicts: Collection[bool], *, undecided: int = 0) -> bool | None:
    """Gives whether a member is up by the verdicts of the nodes that have one.

    Down when more than half say so; of two that differ it is up, for the node that fails to
    reach it shows that itself. None: too few have a verdict, so the last one stands.

    Args:
        verdicts: the nodes' that have one.
        undecided: how many more will have one, such as those whose agent was started anew: what
            they say must not be taken for granted meanwhile, or one node's broken path would take
            a member from all whenever another node's agent begins.
    """
    voters = len(verdicts) + undecided
    down = sum(not up for up in verdicts)
    if 2 * down > voters:
        return False
    if verdicts and 2 * (len(verdicts) - down) >= voters:
        return True
    return None
