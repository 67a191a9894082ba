"""`python -m benchmarks`: runs every benchmark, prints the figures, writes them as JSON."""

import asyncio
import json
import platform
import sys
from pathlib import Path

from benchmarks import member_change, persistence, store_writes

RESULTS = Path("build/benchmarks.json")


def main() -> None:
    """Measures everything; figures come from one run on a machine that may be noisy."""
    figures = []
    for benchmark in (member_change, persistence, store_writes):
        print(f"{benchmark.__name__.rsplit('.', 1)[-1]} ...", file=sys.stderr)
        found = asyncio.run(benchmark.measure())
        for figure in found:
            print(figure.line())
        figures += found
    RESULTS.parent.mkdir(exist_ok=True)
    report = {"python": platform.python_version(), "figures": [each.row() for each in figures]}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {RESULTS}", file=sys.stderr)


if __name__ == "__main__":
    main()
