"""`python -m benchmarks [NAME ...]`: runs benchmarks, prints the figures, writes them as JSON."""

import asyncio
import json
import platform
import sys
from pathlib import Path

from benchmarks import bad_among_good, member_change, persistence, store_writes

RESULTS = Path("build/benchmarks.json")
BENCHMARKS = {
    benchmark.__name__.rpartition(".")[2]: benchmark
    for benchmark in (bad_among_good, member_change, persistence, store_writes)
}


def main() -> None:
    """Measures what is named, or all; figures come from one run on a machine that may be noisy."""
    figures = []
    wanted = sys.argv[1:] or list(BENCHMARKS)
    if unknown := [name for name in wanted if name not in BENCHMARKS]:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in wanted:
        print(f"{name} ...", file=sys.stderr)
        found = asyncio.run(BENCHMARKS[name].measure())
        for figure in found:
            print(figure.line())
        figures += found
    RESULTS.parent.mkdir(exist_ok=True)
    report = {"python": platform.python_version(), "figures": [each.row() for each in figures]}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {RESULTS}", file=sys.stderr)


if __name__ == "__main__":
    main()
