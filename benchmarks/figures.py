"""A measured figure beside its budget and its floor."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row: what was measured, and against what (docs: performance)."""

    what: str
    value: float
    unit: str
    budget: str
    floor: str
    samples: int

    def line(self) -> str:
        """The row for people."""
        return (
            f"{self.what:<64} {self.value:>10.2f} {self.unit:<6}"
            f" budget {self.budget:<12} floor {self.floor:<10} n={self.samples}"
        )

    def row(self) -> dict[str, object]:
        """The row for programs."""
        return asdict(self)


def quantile(samples: Sequence[float], share: float) -> float:
    """The value below which `share` of the samples lie."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(
    what: str, samples: Sequence[float], *, budget: tuple[str, str], floor: str
) -> list[Figure]:
    """p50 and p99 of samples in milliseconds."""
    return [
        Figure(
            what=f"{what}, p50",
            value=statistics.median(samples),
            unit="ms",
            budget=budget[0],
            floor=floor,
            samples=len(samples),
        ),
        Figure(
            what=f"{what}, p99",
            value=quantile(samples, 0.99),
            unit="ms",
            budget=budget[1],
            floor="-",
            samples=len(samples),
        ),
    ]
