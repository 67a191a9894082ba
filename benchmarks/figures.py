"""A measured figure beside its budget and its floor."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row: what was measured, and against what.

    Attributes:
        what: what was measured.
        value: the figure.
        unit: its unit.
        budget: what it should keep, in words.
        floor: the same work with as little around it as can be, measured in the same run.
        samples: how many measurements it comes from.
    """

    what: str
    value: float
    unit: str
    budget: str = "-"
    floor: float | None = None
    samples: int = 1

    @property
    def ratio(self) -> float | None:
        """The figure as a multiple of its floor."""
        return self.value / self.floor if self.floor else None

    def line(self) -> str:
        """The row for people."""
        floor = "-" if self.floor is None else f"{self.floor:.2f}"
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}x"
        return (
            f"{self.what:<66} {self.value:>10.2f} {self.unit:<6} budget {self.budget:<10}"
            f" floor {floor:>9} {ratio:>7} n={self.samples}"
        )

    def row(self) -> dict[str, object]:
        """The row for programs."""
        return {**asdict(self), "ratio": self.ratio}


def quantile(samples: Sequence[float], share: float) -> float:
    """The value below which `share` of the samples lie."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(
    what: str,
    samples: Sequence[float],
    *,
    budget: tuple[str, str] = ("-", "-"),
    floor: Sequence[float] = (),
) -> list[Figure]:
    """p50 and p99 of samples in milliseconds, beside those of their floor."""
    return [
        Figure(
            what=f"{what}, {name}",
            value=quantile(samples, share),
            unit="ms",
            budget=limit,
            floor=quantile(floor, share) if floor else None,
            samples=len(samples),
        )
        for name, share, limit in (("p50", 0.5, budget[0]), ("p99", 0.99, budget[1]))
    ]


def middle(
    what: str,
    samples: Sequence[float],
    *,
    unit: str = "ms",
    budget: str = "-",
    floor: Sequence[float] = (),
) -> Figure:
    """The median of samples, beside that of their floor."""
    return Figure(
        what=what,
        value=statistics.median(samples),
        unit=unit,
        budget=budget,
        floor=statistics.median(floor) if floor else None,
        samples=len(samples),
    )
