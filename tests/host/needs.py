"""What the tests of this folder need of the host; what is missing is said, never skipped."""

import shutil
import socket
import subprocess

PROGRAMS = {"ip": "iproute2", "podman": "podman", "runc": "runc", "setpriv": "util-linux"}
"""Programs, and the packages of Debian that have them."""

_NAME = "tidegate-needs"


def missing() -> list[str]:
    """What is missing, and what to do about each."""
    found = [
        f"the program {name!r}: apt-get install {package}"
        for name, package in PROGRAMS.items()
        if shutil.which(name) is None
    ]
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    except PermissionError:
        found.append("CAP_NET_RAW, for ICMP: run as root")
    if shutil.which("ip"):
        found += _no_namespaces()
    return found


def _no_namespaces() -> list[str]:
    made = subprocess.run(
        ["ip", "netns", "add", _NAME], capture_output=True, text=True, check=False
    )
    subprocess.run(["ip", "netns", "del", _NAME], capture_output=True, check=False)
    if made.returncode:
        return [f"CAP_SYS_ADMIN, for network namespaces: run as root ({made.stderr.strip()})"]
    return []
