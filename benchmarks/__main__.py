"""`python -m benchmarks [NAME ...]`: runs benchmarks, prints the figures, writes them as JSON."""

import asyncio
import json
import logging
import platform
import sys
from pathlib import Path

import structlog

from benchmarks import (
    at_scale,
    bad_among_good,
    fan_out,
    member_change,
    new_vip,
    one_of_many,
    persistence,
    restart,
    store_writes,
)

RESULTS = Path("build/benchmarks.json")
BENCHMARKS = {
    benchmark.__name__.rpartition(".")[2]: benchmark
    for benchmark in (
        member_change,
        new_vip,
        fan_out,
        one_of_many,
        at_scale,
        bad_among_good,
        restart,
        store_writes,
        persistence,
        bad_among_good,
    )
}


def main() -> None:
    """Measures what is named, or all; figures come from one run on a machine that may be noisy."""
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(
        wrapper_class=quiet, logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )
    figures = []
    wanted = sys.argv[1:] or list(BENCHMARKS)
    if unknown := [name for name in wanted if name not in BENCHMARKS]:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in wanted:
        print(f"{name} ...", file=sys.stderr)
        found = asyncio.run(BENCHMARKS[name].measure())
        for figure in found:
            print(figure.line(), flush=True)
        figures += found
    RESULTS.parent.mkdir(exist_ok=True)
    report = {"python": platform.python_version(), "figures": [each.row() for each in figures]}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {RESULTS}", file=sys.stderr)


if __name__ == "__main__":
    main()
