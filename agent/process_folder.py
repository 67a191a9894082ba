"""The work folder of a process driver: its files, and whose process runs in it."""

import asyncio
import contextlib
import fcntl
import itertools
import os
import stat
from pathlib import Path
from typing import Final

from agent.driver import DriverError, TakenError

_LONGEST_SOCKET: Final = 107
"""Bytes in the path of a unix socket (Linux: sockaddr_un has 108, and ends with a zero)."""

_LOOKS: Final = 10
_LOOK_EVERY: Final = 0.01
_TAIL: Final = 64 * 1024
_TOLD: Final = 3
_LINE: Final = 300
_LOUD: Final = (b"[critical]", b"[error]")


class ProcessFolder:
    """Where one node's Envoy keeps its files.

    Args:
        path: the folder; `take` makes it.

    Raises:
        ValueError: its path is too long for a unix socket in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self.admin = self._path / "admin.sock"
        self.bootstrap = self._path / "bootstrap.json"
        self.log = self._path / "envoy.log"
        self._pid_file = self._path / "envoy.pid"
        self._lock = -1
        self._launched_at = 0
        if len(os.fsencode(self.admin)) > _LONGEST_SOCKET:
            raise ValueError(
                f"{self.admin}: a unix socket's path has at most {_LONGEST_SOCKET} bytes; "
                "choose a work folder with a shorter path"
            )

    def __str__(self) -> str:
        return str(self._path)

    def take(self) -> None:
        """Makes the folder if need be and locks it for this agent; again is no harm.

        Raises:
            TakenError: another agent has it.
            DriverError: others may write to it.
            OSError: it cannot be made.
        """
        if self._lock >= 0:
            return
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._refuse_shared()
        # Children do not inherit it (PEP 446): the lock ends with the agent, however that ends.
        lock = os.open(self._path / "agent.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise TakenError(
                f"another agent runs in {self._path}: stop it, or give this one a folder of its own"
            ) from error
        self._lock = lock

    def release(self) -> None:
        """Gives the folder free for another agent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def open_running(self) -> int:
        """Gives a pidfd of the Envoy that runs with this folder's bootstrap, -1 if none does."""
        pid = self.pid()
        if not pid:
            return -1
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return -1  # nobody has this id any more
        # The id is held now; whether it is still the process that was meant, its words tell.
        for _ in range(_LOOKS):
            words = _words_of(pid)
            if (b"--config-path", os.fsencode(self.bootstrap)) in itertools.pairwise(words):
                return pidfd
            if words:
                break
            # It has none in the moment of its start, and none when it has ended.
            await asyncio.sleep(_LOOK_EVERY)
        os.close(pidfd)
        return -1

    def pid(self) -> int:
        """Gives the process id in the pid file, 0 if there is none."""
        try:
            return int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def write_pid(self, pid: int) -> None:
        """Writes the pid file, in one step: a reader finds all of it."""
        self._write(self._pid_file, f"{pid}\n")

    def remove_pid(self) -> None:
        """Removes the pid file: its process has ended."""
        self._pid_file.unlink(missing_ok=True)

    def bootstrap_text(self) -> str:
        """Gives the bootstrap that is in the folder, "" if none is."""
        try:
            return self.bootstrap.read_text()
        except FileNotFoundError:
            return ""

    def write_bootstrap(self, text: str) -> None:
        """Writes the bootstrap of the next start, and notes where its log begins."""
        self._write(self.bootstrap, text)
        self._launched_at = self.log.stat().st_size if self.log.exists() else 0

    def last_words(self) -> tuple[str, ...]:
        """Gives the last errors that this agent's Envoy has logged, or what it printed."""
        try:
            with self.log.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._launched_at, end - _TAIL))
                lines = file.read().splitlines()
        except OSError:
            return ()
        loud = [line for line in lines if any(word in line for word in _LOUD)]
        # What is wrong with its arguments it prints, without a log line's head.
        printed = [line for line in lines if line.strip() and not line.startswith(b"[")]
        last = (loud or printed)[-_TOLD:]
        return tuple(line.decode(errors="replace")[:_LINE] for line in last)

    def _refuse_shared(self) -> None:
        # Who may write here may put links in the place of our files, or another bootstrap.
        found = self._path.stat()
        if found.st_uid != os.geteuid():
            raise DriverError(
                f"the work folder {self._path} belongs to another user: choose another one"
            )
        if found.st_mode & stat.S_IWOTH:
            raise DriverError(
                f"everybody may write to the work folder {self._path}: chmod 700 it,"
                " or choose another one"
            )

    def _write(self, path: Path, text: str) -> None:
        draft = path.with_suffix(".draft")
        draft.write_text(text)
        draft.chmod(0o600)
        draft.replace(path)


def _words_of(pid: int) -> list[bytes]:
    """Gives the command line of a process, nothing if it has none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    return []
