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
    code = subprocess.run(command, check=False).returncode
    if code:  # protoc has said which file, which line and why
        raise SystemExit(code)


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
    """Writes everything that is generated below `out`, an empty folder."""
    copy_googleapis()
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    services = [name for name in files if name.endswith("_service.proto")]
    protoc(f"--python_out={out}", f"--mypy_out=quiet:{out}", *files)
    protoc(f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *services)
    target = out / DESCRIPTORS
    protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={target}", *files)
    keep_comments(target)
    (out / PACKAGE / "__init__.py").write_text(HEADER)


def contents(folder: Path) -> dict[str, bytes]:
    """Gives the files of a folder, caches apart, by their names within it."""
    files = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file()}


def main() -> int:
    """Generates, or with --check compares; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail on a difference")
    check = parser.parse_args().check
    kept = ROOT / PACKAGE
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        new, old = contents(Path(scratch) / PACKAGE), contents(kept)
    stale = sorted(name for name in new.keys() | old.keys() if new.get(name) != old.get(name))
    if check and stale:
        print(f"{PACKAGE} is not what protos/ generates; run `make generate` and commit:")
        print(*(f"  {PACKAGE / name}" for name in stale), sep="\n")
        return 1
    for name in stale:
        (kept / name).unlink(missing_ok=True)
        if name in new:
            (kept / name).write_bytes(new[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
