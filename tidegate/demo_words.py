"""How the demo speaks: calm lines, aligned."""

import shlex
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lbaas.v1.status_pb2 import OperatingStatus, ProvisioningStatus
from lbaas.v1.vip_pb2 import VipStats
from tidegate.demo_http import Reply
from tidegate.demo_tenant import StatusRow

_WIDTH = 90


def say(line: str = "") -> None:
    """Prints a line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def created(what: str, about: str, milliseconds: float) -> None:
    """Tells what was created, what it is, and after how long it was live."""
    say(f"  {what:<18} {about:<54} {milliseconds:6.1f} ms")


def left_out(what: str, why: str) -> None:
    """Tells what was not created and why."""
    head = f"  {what:<18} "
    say(textwrap.fill(why, width=_WIDTH, initial_indent=head, subsequent_indent=" " * len(head)))


def happened(what: str, outcome: str) -> None:
    """Tells of a step in the clients' story."""
    say(f"  {what:<28}  {outcome}")


def spread(replies: Sequence[Reply], members: Sequence[str]) -> None:
    """Shows which member served how many, as bars; and what failed."""
    counts = Counter(reply.member for reply in replies if reply.ok)
    for member in members:
        say(f"  {member}  {counts[member]:3}  {'#' * counts[member]}".rstrip())
    for reply, count in Counter(str(reply) for reply in replies if not reply.ok).items():
        say(f"  {count} failed: {reply}")


def statuses(rows: Sequence[StatusRow]) -> None:
    """Shows how each object is."""
    width = max(len(row.label) for row in rows)
    for row in rows:
        provisioning = ProvisioningStatus.Code.Name(row.provisioning)
        operating = OperatingStatus.Code.Name(row.operating)
        live = f"live on {row.applied}/{row.total} nodes"
        say(f"  {row.label:<{width}}  {provisioning}  {operating:<8}  {live}")


def statistics(stats: VipStats) -> None:
    """Shows a VIP's traffic, in a line."""
    say(
        f"\nvip/web counted, on {stats.nodes_reporting}/{stats.nodes_total} nodes:"
        f" {stats.requests} requests, {stats.errors} errors,"
        f" {stats.bytes_in} bytes in, {stats.bytes_out} out"
    )


def to_try(api: str, address: str, *, jar: Path, member: str) -> None:
    """Shows lines to paste into another terminal."""
    say("\ntry, in another terminal; Ctrl-C here ends everything:")
    exports = [f"TIDEGATE_SERVER={api}", "TIDEGATE_PROJECT=acme"]
    own = Path(sys.executable).with_name("tidegate")
    if own.exists() and shutil.which("tidegate") != str(own):
        exports.append(f"PATH={shlex.quote(str(own.parent))}:$PATH")
    say(f"  export {' '.join(exports)}")
    kept = shlex.quote(str(jar))
    say(f"  curl -b {kept} -c {kept} http://{address}/")
    drain = f"member drain web/{member}"
    for words in ("status", "why vip/web", drain, "fleet status edge", "vip stats web"):
        say(f"  tidegate {words}")
