"""What a mutation is: one rule, broken in one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """One way to break the server against one rule.

    Attributes:
        rule: the rule's number.
        breaks: what the broken server does.
        file: the source file, from the root.
        old: a piece of it that is there exactly once.
        new: what is put in its place.
    """

    rule: int
    breaks: str
    file: str
    old: str
    new: str

    def applied(self, source: str) -> str:
        """Gives the broken source.

        Raises:
            ValueError: the piece is not there exactly once: the list is behind the code.
        """
        found = source.count(self.old)
        if found != 1:
            raise ValueError(
                f"rule {self.rule}: its text is {found} times in {self.file}, not once"
            )
        return source.replace(self.old, self.new)
