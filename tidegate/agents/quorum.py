"""What most nodes find, so that one node's broken path takes no member from all."""

from collections.abc import Collection


def quorum(verdicts: Collection[bool]) -> bool | None:
    """Gives whether a member is up by the verdicts of the nodes that have one.

    Down when more than half say so; of two that differ it is up, for the node that fails to
    reach it shows that itself. None: nobody has a verdict, so the last one stands.
    """
    if not verdicts:
        return None
    return 2 * sum(not up for up in verdicts) <= len(verdicts)
