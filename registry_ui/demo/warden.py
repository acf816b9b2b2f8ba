"""Ends process groups when the process that started them is gone. Run by `processes.Supervisor` as a file of its own.

It reads `+GROUP` and `-GROUP` lines from a pipe. The pipe closes when the supervisor ends, even by SIGKILL, and then
every group that is still on the list is ended.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 5.0


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's: ours is gone and the number is used again
        return False
    return True


def end(groups: set[int]) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
        while any(map(is_alive, groups)) and time.monotonic() < deadline:
            time.sleep(0.05)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    end(groups)


if __name__ == "__main__":
    main()
