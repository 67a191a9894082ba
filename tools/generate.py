"""Generates lbaas/v1 from protos/: messages, stubs, types for mypy, descriptors with comments.

`python -m tools.generate` writes into lbaas/v1; `--check` writes beside it and tells what differs.
Nothing is fetched: protoc, its plugins and google/api's protos come from installed wheels.
"""

import argparse
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GOOGLEAPIS = ROOT / "build" / "googleapis"
PACKAGE = Path("lbaas/v1")
DESCRIPTORS = PACKAGE / "descriptors.binpb"
HEADER = '"""The API\'s messages and services, generated from protos/ by `make generate`."""\n'
IMPORTED = (
    "google/api/annotations.proto",
    "google/api/client.proto",
    "google/api/field_behavior.proto",
    "google/api/field_info.proto",
    "google/api/http.proto",
    "google/api/launch_stage.proto",
    "google/api/resource.proto",
)


def copy_googleapis() -> None:
    """Puts google/api's protos where buf.yaml names a module of them."""
    wheel = importlib.metadata.distribution("googleapis-common-protos")
    for name in IMPORTED:
        target = GOOGLEAPIS / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(wheel.locate_file(name)), target)


def protoc(*arguments: str) -> None:
    """Runs the protoc of grpcio-tools with mypy-protobuf's plugins of this very environment."""
    bin_dir = Path(sys.executable).parent
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc"),
        *(f"--proto_path={PROTOS}", f"--proto_path={GOOGLEAPIS}"),
        f"--plugin=protoc-gen-mypy={bin_dir / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={bin_dir / 'protoc-gen-mypy_grpc'}",
        *arguments,
    ]
    subprocess.run(command, check=True)


def keep_comments(path: Path) -> None:
    """Leaves of the source info what reflection serves: our comments, and nothing of the imports.

    Every name keeps its place; what goes are the positions without a comment, two thirds of the
    bytes.
    """
    descriptors = FileDescriptorSet.FromString(path.read_bytes())
    for file in descriptors.file:
        commented = [
            location
            for location in file.source_code_info.location
            if file.package == "lbaas.v1"
            and (location.leading_comments or location.trailing_comments)
        ]
        file.ClearField("source_code_info")
        file.source_code_info.location.extend(commented)
    path.write_bytes(descriptors.SerializeToString(deterministic=True))


def generate(out: Path) -> None:
    """Writes everything that is generated below `out`."""
    copy_googleapis()
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    services = [name for name in files if name.endswith("_service.proto")]
    shutil.rmtree(out / PACKAGE, ignore_errors=True)
    (out / PACKAGE).mkdir(parents=True)
    protoc(f"--python_out={out}", f"--mypy_out=quiet:{out}", *files)
    protoc(f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *services)
    target = out / DESCRIPTORS
    protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={target}", *files)
    keep_comments(target)
    (out / PACKAGE / "__init__.py").write_text(HEADER)


def differences(fresh: Path, kept: Path) -> list[str]:
    """Gives the names of the files that differ, are missing or are too many in `kept`."""

    def contents(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
        return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.is_file()}

    new, old = contents(fresh), contents(kept)
    return sorted(name for name in new.keys() | old.keys() if new.get(name) != old.get(name))


def main() -> int:
    """Generates, or with --check compares; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail on a difference")
    if not parser.parse_args().check:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        stale = differences(Path(scratch) / PACKAGE, ROOT / PACKAGE)
    if stale:
        print("lbaas/v1 is not what protos/ generates; run `make generate` and commit:")
        print(*(f"  {PACKAGE / name}" for name in stale), sep="\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
