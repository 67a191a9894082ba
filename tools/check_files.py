"""Checks what no other tool does: file sizes, what the model imports, and the oldest runtime.

Each finding is one line: where, what is wrong, what to do.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 500
FOLDERS = (
    *("lbaas", "xds", "api", "agent", "tidegate", "protos"),
    *("tests", "tools", "benchmarks", "docs", "deploy", ".ci"),
)
SUFFIXES = frozenset({".py", ".proto", ".md", ".toml", ".yaml", ".yml", ".sh", ".txt", ""})
GENERATED = Path("lbaas/v1")
LEGAL = Path("LICENSE")
Version = tuple[int, ...]


def files() -> Iterator[Path]:
    """Gives our own text files, relative to the root."""
    inside = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    for path in (*ROOT.iterdir(), *inside):
        name = path.relative_to(ROOT)
        generated = GENERATED in name.parents or "__pycache__" in name.parts
        if path.is_file() and path.suffix in SUFFIXES and not generated and name != LEGAL:
            yield name


def too_long() -> Iterator[str]:
    """Gives the files that should be two."""
    for name in files():
        lines = len((ROOT / name).read_text(encoding="utf-8").splitlines())
        if lines > LONGEST:
            yield f"{name}: {lines} lines, more than {LONGEST}: make it two files"


def beyond_the_standard_library() -> Iterator[str]:
    """Gives the imports of lbaas.model that are neither its own nor the standard library's."""
    for path in sorted((ROOT / "lbaas/model").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for imported in imports(node):
                own = imported == "lbaas.model" or imported.startswith("lbaas.model.")
                if not own and imported.split(".")[0] not in sys.stdlib_module_names:
                    where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
                    yield f"{where}: imports {imported}, which is not the standard library"


def imports(node: ast.AST) -> Iterable[str]:
    """Gives the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


def refused_runtimes() -> Iterator[str]:
    """Gives the dependencies whose lower bound is older than what generated code accepts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = {
        match[1]: version(match[2])
        for each in project["dependencies"]
        if (match := re.match(r"([a-z-]+)>=([0-9.]+)", each))
    }
    for package, needed in generated_for().items():
        if allowed[package] < needed:
            bound = ".".join(map(str, needed))
            yield f"pyproject.toml: {GENERATED} was generated for {package}>={bound}: say so"


def generated_for() -> dict[str, Version]:
    """Gives the oldest versions that the generated code runs with, by package."""
    messages = (ROOT / GENERATED / "pool_pb2.py").read_text()
    services = (ROOT / GENERATED / "pool_service_pb2_grpc.py").read_text()
    protobuf = re.search(r"^# Protobuf Python Version: ([0-9.]+)", messages, re.MULTILINE)
    grpcio = re.search(r"^GRPC_GENERATED_VERSION = '([0-9.]+)'", services, re.MULTILINE)
    if protobuf is None or grpcio is None:
        raise SystemExit(f"{GENERATED} no longer says which versions it needs: mend this check")
    return {"protobuf": version(protobuf[1]), "grpcio": version(grpcio[1])}


def version(text: str) -> Version:
    """Gives a version to compare."""
    return tuple(int(part) for part in text.split("."))


def main() -> int:
    """Prints every finding; gives the exit code."""
    found = [*too_long(), *beyond_the_standard_library(), *refused_runtimes()]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
