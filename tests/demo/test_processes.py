import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_ui.demo import warden
from registry_ui.demo.processes import (
    Interrupted,
    Process,
    ProcessError,
    Supervisor,
    born_at,
    exclusive,
    is_port_free,
)

pytestmark = [pytest.mark.slow, pytest.mark.nodb]


def shell(folder: Path, script: str, *, name: str = "Sleeper", **options: object) -> Process:
    return Process(name, ["sh", "-c", script], os.environ, output=folder / f"{name}.log", **options)  # type: ignore[arg-type]


def wait_for(look: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "It did not come."
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Zombies whose parent has gone do not run any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_supervisor_ends_the_children_of_its_processes_too(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "run") as supervisor:
        process = shell(tmp_path, f"sleep 600 & echo $! > {tmp_path}/child; wait")
        supervisor.start(process)
        wait_for((tmp_path / "child").exists)
        wait_for((tmp_path / "child").read_text)
        parent, child = process.pid, int((tmp_path / "child").read_text())
        assert parent is not None
        assert is_running(child)
    assert not is_running(parent)
    assert not is_running(child)
    assert list((tmp_path / "run").glob("*.pid")) == []


def test_a_process_that_does_not_listen_is_killed_after_its_grace(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "run") as supervisor:
        process = shell(tmp_path, "trap '' TERM; echo ready; while true; do sleep 0.1; done", grace=0.5)
        supervisor.start(process)
        wait_for(lambda: "ready" in process.last_lines())
        started = time.monotonic()
        supervisor.stop(process)
    assert 0.4 < time.monotonic() - started < 3
    assert process.popen is not None
    assert process.popen.returncode == -signal.SIGKILL


def test_nothing_is_left_when_the_supervisor_itself_is_killed(tmp_path: Path) -> None:
    script = f"""
import os, sys, time
from pathlib import Path
from registry_ui.demo.processes import Process, Supervisor
with Supervisor(Path({str(tmp_path / "run")!r})) as supervisor:
    command = ["sh", "-c", "trap '' TERM; sleep 600 & echo $! > {tmp_path}/child; sleep 600"]
    process = Process("Stubborn", command, os.environ, output=Path({str(tmp_path / "log")!r}))
    supervisor.start(process)
    print(process.pid, flush=True)
    time.sleep(600)
"""
    killed = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    parent = int(killed.stdout.readline())
    wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
    child = int((tmp_path / "child").read_text())
    killed.kill()
    killed.wait()
    wait_for(lambda: not is_running(parent) and not is_running(child), seconds=warden.GRACE_SECONDS + 5)


def test_what_dies_is_started_again_later_and_later_and_its_last_words_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    with Supervisor(tmp_path / "run", say=told.append) as supervisor:
        process = shell(tmp_path, "echo 'out of luck'; exit 3")
        supervisor.start(process)
        deadline = time.monotonic() + 5
        while process.failures < 2 and time.monotonic() < deadline:
            supervisor.tend()
            time.sleep(0.02)
    assert told[0].startswith("Sleeper ended with status 3. It starts again in 1 s.")
    assert "out of luck" in told[0]
    assert told[1] == "Sleeper runs again."
    assert "in 2 s" in told[2]


def test_what_cannot_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "run") as supervisor:
        process = shell(tmp_path, "echo 'no such table'; exit 1", is_ready=lambda: False)
        supervisor.start(process)
        with pytest.raises(ProcessError, match=r"(?s)Sleeper ended with status 1\..*no such table"):
            supervisor.wait_until_ready(process)


def test_what_never_answers_is_told_after_its_time(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "run") as supervisor:
        process = shell(tmp_path, "sleep 600", is_ready=lambda: False, ready_within=0.3)
        supervisor.start(process)
        with pytest.raises(ProcessError, match="did not answer within"):
            supervisor.wait_until_ready(process)


def test_a_job_that_fails_is_told_and_one_that_works_is_not(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "run") as supervisor:
        supervisor.run(shell(tmp_path, "echo done"))
        with pytest.raises(ProcessError, match=r"(?s)status 2.*broken"):
            supervisor.run(shell(tmp_path, "echo broken >&2; exit 2"))


def test_an_interrupt_ends_a_job_half_way(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "run") as supervisor:
        process = shell(tmp_path, "sleep 600")
        supervisor.interrupt()
        with pytest.raises(Interrupted):
            supervisor.run(process)
    assert process.pid is None


def test_leftovers_of_an_earlier_supervisor_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sleep", "600"], start_new_session=True)
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    threading.Thread(target=ours.wait).start()  # as the system would: they have lost their parent
    try:
        (tmp_path / "mlflow.pid").write_text(f"{ours.pid} {born_at(ours.pid)}\n")
        (tmp_path / "web.pid").write_text(f"{stranger.pid} some other time\n")
        with Supervisor(tmp_path) as supervisor:
            assert supervisor.end_leftovers() == ["mlflow"]
        assert ours.wait(timeout=5) == -signal.SIGTERM
        assert stranger.poll() is None
        assert list(tmp_path.glob("*.pid")) == []
    finally:
        for process in (ours, stranger):
            process.kill()
            process.wait()


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock") as first, exclusive(tmp_path / "lock") as second:
        assert (first, second) == (True, False)
    with exclusive(tmp_path / "lock") as third:
        assert third


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_port_free(port)
    assert is_port_free(port)
