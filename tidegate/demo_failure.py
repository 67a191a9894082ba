"""How the demo says that something is not as it should be."""

from collections.abc import Sequence


class DemoFailure(Exception):
    """Something of the demo did not do what it should: `what`, and `why` line by line."""

    def __init__(self, what: str, why: Sequence[str] = ()) -> None:
        """Takes what failed, and what is known of why."""
        super().__init__(what)
        self.what = what
        self.why = tuple(why)
