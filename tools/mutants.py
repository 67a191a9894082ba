"""`make mutants`: breaks the server once for each rule, and shows that the rule's test sees it.

Each mutant is a copy of the server with one mutation of `tools.mutations`, and runs alone. First
the rules' tests must be green without any.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parent.parent
COPIED = (
    "pyproject.toml",
    "xds",
    "tools",
    "tests/__init__.py",
    "tests/harness",
    "tests/conformance",
)
PATIENCE = "3"
"""Seconds after which a test takes it that nothing comes: a broken server makes it wait for it."""

PASSED, FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Run:
    """How the tests of some rules went.

    Attributes:
        code: pytest's exit code: 0 all passed, 1 some failed, else it could not run them.
        output: what it printed.
        seconds: how long it took.
    """

    code: int
    output: str
    seconds: float


def copy_to(folder: Path) -> None:
    """Copies what the conformance tests need."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copyfile(source, target)


def files_of(folder: Path, rules: list[int]) -> list[Path]:
    """Gives the files with the tests of some rules: to read them all takes longer than to run."""
    tests = [f"def test_rule_{rule:02}_" for rule in rules]
    files = sorted((folder / "tests/conformance").glob("test_*.py"))
    texts = {file: file.read_text(encoding="utf-8") for file in files}
    return [file for file, text in texts.items() if any(test in text for test in tests)]


def run_tests(folder: Path, rules: list[int]) -> Run:
    """Runs the tests of some rules in a copy, until one fails."""
    began = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
            *("--confcutdir", "tests/conformance"),  # no database is needed
            *("-k", " or ".join(f"test_rule_{rule:02}" for rule in rules)),
            *files_of(folder, rules),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "CONFORMANCE_PATIENCE": PATIENCE},
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout + done.stderr, time.monotonic() - began)


def run_mutant(mutation: Mutation) -> Run:
    """Breaks a copy and runs the rule's tests in it."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        copy_to(folder)
        broken = folder / mutation.file
        source = mutation.applied(broken.read_text(encoding="utf-8"))
        compile(source, mutation.file, "exec")
        broken.write_text(source, encoding="utf-8")
        return run_tests(folder, [mutation.rule])


def verdict(run: Run) -> str:
    """Says whether a mutant was found: by a test that failed, not because nothing ran."""
    if run.code == FAILED:
        return "found"
    return "SURVIVED" if run.code == PASSED else f"NOT RUN (pytest ended with {run.code})"


def main() -> int:
    """Runs all mutants, or those of some rules.

    Returns:
        0 if each was found; else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("rules", nargs="*", type=int, help="rules; all if none are given")
    parser.add_argument("--jobs", type=int, default=4, help="mutants at a time (they mostly wait)")
    arguments = parser.parse_args()
    chosen = [one for one in MUTATIONS if one.rule in (arguments.rules or [one.rule])]
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        copy_to(Path(name))
        whole = run_tests(Path(name), sorted({one.rule for one in chosen}))
    print(f"unbroken: {'green' if whole.code == PASSED else 'RED'} in {whole.seconds:.0f} s")
    if whole.code != PASSED:
        print(whole.output)
        return 1
    missed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for mutation, run in zip(chosen, pool.map(run_mutant, chosen), strict=True):
            said = verdict(run)
            print(f"rule {mutation.rule:2}: {said}: {mutation.breaks} ({run.seconds:.1f} s)")
            sys.stdout.flush()
            if run.code != FAILED:
                missed += 1
                print(run.output)
    print(f"{len(chosen) - missed} of {len(chosen)} mutants were found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
