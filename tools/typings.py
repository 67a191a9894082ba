"""Writes type stubs for xds-protos into typings/, so that mypy knows every field of Envoy.

The wheel ships descriptors and no stubs. They are taken from its modules and handed to protoc with
mypy-protobuf. typings/ is not committed: it belongs to the version installed.

No `__init__.pyi` is written: `xds` is our own package too, and without one mypy joins the folders.
"""

import importlib
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

TYPINGS = Path(__file__).resolve().parent.parent / "typings"
ROOTS = ("envoy", "udpa", "validate", "xds")


def modules() -> list[str]:
    """Gives the names of the generated modules in the wheel."""
    wheel = importlib.metadata.distribution("xds-protos")
    paths = [path for path in wheel.files or [] if path.name.endswith("_pb2.py")]
    return sorted(".".join(p.with_suffix("").parts) for p in paths if p.parts[0] in ROOTS)


def collect(file: FileDescriptor, found: dict[str, FileDescriptorProto]) -> None:
    """Adds the file after those it imports."""
    if file.name in found:
        return
    for dependency in file.dependencies:
        collect(dependency, found)
    found[file.name] = FileDescriptorProto()
    file.CopyToProto(found[file.name])


def main() -> None:
    """Writes the stubs, all anew."""
    found: dict[str, FileDescriptorProto] = {}
    for name in modules():
        collect(importlib.import_module(name).DESCRIPTOR, found)
    files = sorted(name for name in found if name.split("/")[0] in ROOTS)
    shutil.rmtree(TYPINGS, ignore_errors=True)
    TYPINGS.mkdir()
    plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    with tempfile.NamedTemporaryFile(suffix=".binpb") as descriptors:
        descriptors.write(FileDescriptorSet(file=found.values()).SerializeToString())
        descriptors.flush()
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--plugin=protoc-gen-mypy={plugin}"),
            *(f"--descriptor_set_in={descriptors.name}", f"--mypy_out=quiet:{TYPINGS}", *files),
        ]
        subprocess.run(command, check=True)
    print(f"typings/: {len(files)} stubs of xds-protos")


if __name__ == "__main__":
    main()
