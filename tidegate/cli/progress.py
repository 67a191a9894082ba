"""The line of progress on stderr while a command waits."""

import sys

from tidegate.cli.table import tell


def progress(line: str) -> None:
    """Rewrites the progress line on a terminal; elsewhere prints it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[2K{line}")
        sys.stderr.flush()
    elif line:
        tell(line)


def end_progress(line: str) -> None:
    """Takes the progress line away and prints what comes in its place, if anything."""
    if sys.stderr.isatty():
        progress("")
    if line:
        tell(line)
