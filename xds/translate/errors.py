"""What this room refuses.

LbaasError
+- FailedPrecondition
   +- NotBuilt      the tree asks for something that has no translation yet
"""

from collections.abc import Sequence

from lbaas.model.errors import FailedPrecondition


class NotBuilt(FailedPrecondition):
    """The tree needs what Tidegate cannot render; no fleet offers it, so it was misplaced."""

    def __init__(self, pool: str, fleet: str, missing: Sequence[str]) -> None:
        """Takes the pool, the fleet it was placed on, and what is missing in words."""
        words = ", ".join(missing)
        super().__init__(
            f"{pool!r} on {fleet!r} needs {words}, which Tidegate does not build yet",
            reason="CAPABILITY_MISSING",
            subject=pool,
            metadata={"missing": words, "fleet": fleet},
        )
