"""Starts, watches and stops processes, each in a group of its own, and leaves none behind however it ends itself.

Knows nothing of Countersign; the demo, the browser tests and the benchmark share it. POSIX only.
"""

import contextlib
import fcntl
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from registry_ui.demo import warden

LONGEST_BACKOFF = 30.0
STEADY_SECONDS = 60.0
"""A process that ran for so long has recovered: its next failure is a first one again."""


class ProcessError(Exception):
    """A process could not be started or ended on its own; the message ends with its last log lines."""


class Interrupted(Exception):
    """The supervisor was asked to end."""


@dataclass
class Process:
    """What to run, where its words go and how to tell that it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    output: Path
    is_shown: bool = False
    """Whether it says on the terminal what it writes to its standard output."""
    folder: Path | None = None
    user: str | None = None
    is_ready: Callable[[], bool] = lambda: True
    ready_within: float = 90.0
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    popen: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)
    failures: int = field(default=0, init=False)
    restart_at: float | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """Of the process, and of its group, while it runs."""
        return self.popen.pid if self.popen and self.popen.poll() is None else None

    def last_lines(self, count: int = 15) -> str:
        if not self.output.exists():
            return ""
        lines = self.output.read_text(errors="replace").splitlines()[-count:]
        return "".join(f"\n    {line}" for line in lines)

    def why_it_ended(self) -> str:
        code = self.popen.returncode if self.popen else None
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with status {code}"
        return f"{self.name} ended {how}."


class Supervisor:
    """`with Supervisor(folder) as supervisor:`; whatever was started is ended at the end, in reverse order.

    `folder` keeps one file per running process, so that the next supervisor recognises what an earlier one, killed
    together with its warden, left behind.
    """

    def __init__(self, folder: Path, *, say: Callable[[str], None] = lambda _: None) -> None:
        self.folder, self.say = folder, say
        self.processes: list[Process] = []
        self._warden: subprocess.Popen[str] | None = None
        self._interrupts = 0

    def interrupt(self, *_: object) -> None:
        """A signal handler: whatever is under way raises Interrupted. The second time, what is being stopped is killed.

        A flag and not an exception, so that no process is lost between its start and its place on the list.
        """
        self._interrupts += 1

    def __enter__(self) -> "Supervisor":
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", warden.__file__]
        self._warden = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()
        if self._warden and self._warden.stdin:
            self._warden.stdin.close()
            self._warden.wait()

    # --- Starting

    def start(self, process: Process) -> None:
        """Starts it and returns at once; see `wait_until_ready`. It is watched and restarted from now on."""
        self._launch(process)
        self.processes.append(process)

    def wait_until_ready(self, process: Process) -> None:
        """Raises ProcessError when it ends first or takes too long."""
        deadline = time.monotonic() + process.ready_within
        while not process.is_ready():
            if process.pid is None:
                raise ProcessError(f"{process.why_it_ended()} Its last words:{process.last_lines()}")
            if time.monotonic() > deadline:
                problem = f"{process.name} did not answer within {process.ready_within:.0f} seconds."
                raise ProcessError(f"{problem} Its last words:{process.last_lines()}")
            self.tend(besides=process)
            time.sleep(0.05)

    def run(self, process: Process) -> None:
        """Runs it to its end while the others are watched. Raises ProcessError unless it ends well."""
        self._launch(process)
        try:
            while process.pid is not None:
                self.tend()
                time.sleep(0.05)
        finally:
            self._end(process, process.grace)
        if process.popen and process.popen.returncode:
            raise ProcessError(process.why_it_ended() + process.last_lines())

    def _launch(self, process: Process) -> None:
        with process.output.open("ab") as out:
            process.popen = self._open(process, out)
        process.started_at, process.restart_at = time.monotonic(), None
        self._tell_warden("+", process.popen.pid)
        self._note(process).write_text(f"{process.popen.pid} {born_at(process.popen.pid)}\n")

    def _open(self, process: Process, out: BinaryIO) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            process.command,
            stdin=subprocess.DEVNULL,
            stdout=None if process.is_shown else out,
            stderr=out,
            env=dict(process.environment),
            cwd=process.folder,
            user=process.user,
            group=pwd.getpwnam(process.user).pw_gid if process.user else None,
            extra_groups=[] if process.user else None,
            start_new_session=True,
        )

    # --- Watching

    def watch(self) -> None:
        """Keeps everything running until it is interrupted."""
        while True:
            self.tend()
            time.sleep(0.2)

    def tend(self, *, besides: Process | None = None) -> None:
        """One look at every process: restarts what died, later and later when it keeps dying. Raises Interrupted."""
        if self._interrupts:
            raise Interrupted
        now = time.monotonic()
        for process in self.processes:
            if process is besides or process.pid is not None:
                continue
            if process.restart_at is None:
                self._end(process, 0)  # its children, if it left any
                process.failures = 1 if now - process.started_at > STEADY_SECONDS else process.failures + 1
                delay = min(2.0 ** (process.failures - 1), LONGEST_BACKOFF)
                process.restart_at = now + delay
                ended = f"{process.why_it_ended()} It starts again in {delay:.0f} s."
                self.say(f"{ended} Its last words:{process.last_lines(5)}")
            elif now >= process.restart_at:
                self._launch(process)
                self.say(f"{process.name} runs again.")

    # --- Stopping

    def stop(self, process: Process) -> None:
        """Ends it with everything that it started; it is no longer watched."""
        self.processes.remove(process)
        self._end(process, process.grace)

    def stop_all(self) -> None:
        """The last started first."""
        while self.processes:
            self._end(self.processes[-1], self.processes[-1].grace)
            self.processes.pop()

    def _end(self, process: Process, grace: float) -> None:
        popen = process.popen
        if popen is None:
            return
        end_group(popen.pid, process.stop_signal, grace, popen=popen, is_hurried=lambda: self._interrupts > 1)
        self._tell_warden("-", popen.pid)
        self._note(process).unlink(missing_ok=True)

    # --- What outlives a supervisor

    def end_leftovers(self) -> list[str]:
        """Ends what an earlier supervisor of this folder left running; returns the names. Call it before any start."""
        found = []
        for note in sorted(self.folder.glob("*.pid")):
            pid, _, born = note.read_text().strip().partition(" ")
            if pid.isdigit() and born and born_at(int(pid)) == born:
                end_group(int(pid), signal.SIGTERM, 5)
                found.append(note.stem)
            note.unlink()
        return found

    def _note(self, process: Process) -> Path:
        return self.folder / f"{process.name.lower().replace(' ', '-')}.pid"

    def _tell_warden(self, sign: str, group: int) -> None:
        if self._warden is None or self._warden.stdin is None:
            raise RuntimeError("The supervisor is used outside its with block.")
        with contextlib.suppress(BrokenPipeError):
            self._warden.stdin.write(f"{sign}{group}\n")
            self._warden.stdin.flush()


def end_group(
    group: int,
    number: signal.Signals,
    grace: float,
    *,
    popen: "subprocess.Popen[bytes] | None" = None,
    is_hurried: Callable[[], bool] = lambda: False,
) -> None:
    """Asks the group to end and makes it after `grace` seconds. `popen` is its leader, where that is our child."""
    deadline = time.monotonic() + grace
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    while warden.is_alive(group) and time.monotonic() < deadline and not is_hurried():
        if popen is not None and popen.poll() is not None:
            # The leader has ended; its children had the same signal and get a moment, not the whole grace.
            deadline = min(deadline, time.monotonic() + 1)
        time.sleep(0.02)
    if warden.is_alive(group):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    if popen is not None:
        popen.wait()


def born_at(pid: int) -> str:
    """When the process started, as the system puts it, "" for none: tells it from a later one of the same number."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        if Path("/proc/self/stat").exists():
            return stat.read_text().rpartition(")")[2].split()[19]
        listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    except (OSError, IndexError):
        return ""
    return listed.stdout.strip()


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Whether this process alone holds the lock file while the block runs. The system lets go of it in every case."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def is_port_free(port: int) -> bool:
    """Whether no one listens on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
