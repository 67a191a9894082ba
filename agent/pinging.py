"""What a row of echo requests says of an address: pure, no packets and no clock."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PingState:
    """What is known of an address: the verdict, and what spoke against it since, in a row.

    `up` is None until the first verdict. `against` counts the failures in a row of an address
    that is up or not known, and the answers in a row of one that is down.
    """

    up: bool | None = None
    against: int = 0

    def after(self, *, answered: bool, max_retries: int, rise: int) -> "PingState":
        """Gives the state after one more echo request; a verdict changed if `up` differs.

        The first answer of all makes an address up: it has never failed. An address that is up
        or not known is down after `max_retries` failures in a row, one that is down is up after
        `rise` answers in a row.
        """
        if self.up is None and answered:
            return PingState(up=True)
        if answered is self.up:
            return PingState(up=self.up)
        against = self.against + 1
        if against >= (rise if answered else max_retries):
            return PingState(up=answered)
        return PingState(up=self.up, against=against)
