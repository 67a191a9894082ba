"""Rewrites every golden case's expected part: `python -m tests.golden.rewrite`.

Removes what is stale: a file whose hand-written part is gone.
"""

import sys
from pathlib import Path

from tests.golden.case import FOLDER, SEPARATOR, read


def rewrite(folder: Path = FOLDER) -> list[str]:
    """Rewrites the cases of a folder and gives a line for each that changed."""
    done = []
    for path in sorted(folder.glob("*.yaml")):
        text = path.read_text()
        if text.startswith("---") or not text.partition(SEPARATOR)[0].strip():
            path.unlink()
            done.append(f"removed {path.name}")
            continue
        case = read(path)
        wanted = case.source.rstrip("\n") + SEPARATOR + case.rendered()
        if wanted != text:
            path.write_text(wanted)
            done.append(f"rewrote {path.name}")
    return done


if __name__ == "__main__":
    sys.stdout.write("\n".join([*rewrite(), ""]))
