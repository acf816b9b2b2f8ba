"""The health checks of worker and beat: what the file says, and what a real worker and a real beat write into it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from registry_ui import alive
from registry_ui.demo.installation import ROOT
from registry_ui.heartbeat import Heart
from tests.support.waiting import within

OWN_PYTHON = [sys.executable, "-I", str(ROOT / "registry_ui" / "alive.py")]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COUNTERSIGN_STATE_DIR", str(tmp_path))
    return tmp_path


def check(state: Path, *words: str) -> tuple[int, str]:
    """As a container's health check runs it, in an environment without anything."""
    done = subprocess.run(
        [*OWN_PYTHON, *words], env={"COUNTERSIGN_STATE_DIR": str(state)}, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_fresh_signs_of_all_workers_are_well_and_one_old_sign_is_named(state: Path) -> None:
    alive.write("worker-deliveries", time.monotonic())
    alive.write("worker-mirror", time.monotonic() - alive.FRESH_SECONDS + 10)
    assert check(state, "worker") == (0, "")
    alive.write("worker-mirror", time.monotonic() - alive.FRESH_SECONDS - 5)
    code, said = check(state, "worker")
    assert code == 1
    assert said.startswith("worker-mirror: its loop has not gone round for 65 seconds")
    assert said.count("\n") == 1
    code, said = check(state, "beat")
    assert (code, said) == (1, f"beat: no sign of life in {state}/alive; it has not started, or it has ended.\n")


@pytest.mark.parametrize("sign", [b"", b"nonsense", b"%020.3f" % 9e12], ids=["empty", "nonsense", "before a restart"])
def test_a_sign_that_says_nothing_is_none(state: Path, sign: bytes) -> None:
    (state / "alive").mkdir()
    (state / "alive" / "beat").write_bytes(sign)
    code, said = check(state, "beat")
    assert code == 1
    assert said.startswith("beat: ")


def test_only_worker_and_beat_can_be_asked_about(state: Path) -> None:
    assert check(state, "web") == (2, "usage: python -I registry_ui/alive.py worker|beat\n")


def test_the_check_imports_neither_django_nor_celery_nor_the_product() -> None:
    code = f"import runpy, sys; runpy.run_path({OWN_PYTHON[-1]!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert not {"django", "celery", "kombu", "structlog", "registry_ui", "logging"} & set(done.stdout.split())


def test_it_looks_where_the_settings_have_the_state_folder(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert alive.folder() == state / "alive"
    named = tmp_path / "named"
    named.write_text(" /srv/state \n")
    monkeypatch.setenv("COUNTERSIGN_STATE_DIR_FILE", str(named))
    monkeypatch.delenv("COUNTERSIGN_STATE_DIR")
    assert alive.folder() == Path("/srv/state/alive")
    monkeypatch.delenv("COUNTERSIGN_STATE_DIR_FILE")
    assert alive.folder() == settings.BASE_DIR / ".countersign" / "alive"


def test_a_loop_that_does_not_go_round_gives_no_sign_and_one_that_seeks_its_broker_does(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    heart = Heart("beat")
    heart.write()
    now += alive.FRESH_SECONDS + 1
    heart.write()
    assert alive.problems("beat")
    heart.turn()
    heart.write()
    assert alive.problems("beat") == []
    with heart.seeking_broker():
        now += 3000
        heart.write()
        assert alive.problems("beat") == []
    now += alive.FRESH_SECONDS
    heart.write()
    assert alive.problems("beat") == [], "what was found last counts from when it was found"
    heart.stop()
    assert list((state / "alive").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_once(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    (state / "alive").write_text("in the way")
    heart = Heart("beat")
    heart.write()
    heart.write()
    assert caplog.text.count("alive.unwritable") == 1


# --- The real processes

HURRIED = """
import signal, time
from registry_ui import heartbeat
from celery.__main__ import main
heartbeat.EVERY_SECONDS = 0.2
signal.signal(signal.SIGALRM, lambda *_: time.sleep(3600))  # hangs the loop, and no other thread
main()
"""
WORDS = {
    "worker-mirror": ["worker", "--hostname", "mirror@%h", "--queues", "quiet", "--loglevel", "INFO"],
    "beat": ["beat", "--pidfile", "", "--schedule", "{folder}/schedule", "--loglevel", "INFO"],
}


class Real:
    """A process of Celery with a state folder of its own, whose signs come more often."""

    def __init__(self, folder: Path, broker: str, sign: str) -> None:
        self.log, self.sign = folder / "log", folder / "alive" / sign
        environment = os.environ | {
            "COUNTERSIGN_STATE_DIR": str(folder),
            "COUNTERSIGN_SECRET_KEY": "tests-" * 8,
            "DJANGO_SETTINGS_MODULE": "registry_ui.settings",
            "CELERY_BROKER_URL": broker,
            "DATABASE_URL": f"sqlite:///{folder / 'none.sqlite3'}",
        }
        folder.mkdir()
        words = [word.format(folder=folder) for word in WORDS[sign]]
        with self.log.open("wb") as log:
            command = [sys.executable, "-c", HURRIED, "-A", "registry_ui.celery", *words]
            self.popen = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def __enter__(self) -> "Real":
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.wait()

    def says(self, text: str, *, times: int) -> bool:
        return self.log.read_text().count(text) >= times

    def sign_moves(self) -> bool:
        before = self.sign.read_bytes() if self.sign.exists() else b""
        return within(60, lambda: self.sign.exists() and self.sign.read_bytes() > before)

    def sign_stands_still(self) -> bool:
        """Written again and again, and the same each time."""
        seen: list[tuple[int, bytes]] = []

        def look() -> bool:
            now = (self.sign.stat().st_mtime_ns, self.sign.read_bytes())
            if not seen or seen[-1][0] != now[0]:
                seen.append(now)
            return len(seen) >= 4 and len({sign for _, sign in seen[-4:]}) == 1

        return within(60, look)


@contextlib.contextmanager
def redis(socket: Path) -> Iterator[None]:
    words = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(socket.parent)]
    with subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL) as server:
        try:
            assert within(20, socket.exists)
            yield
        finally:
            server.terminate()
            server.wait()
            socket.unlink(missing_ok=True)


@pytest.mark.server
@pytest.mark.nodb
def test_worker_and_beat_live_without_their_broker_and_not_when_their_loop_hangs(tmp_path: Path) -> None:
    broker = tmp_path / "socket"
    with contextlib.ExitStack() as ends:
        both = [ends.enter_context(Real(tmp_path / sign, f"redis+socket://{broker}", sign)) for sign in WORDS]
        # They start without a broker, and look for it.
        assert all(each.sign_moves() for each in both), [each.log.read_text() for each in both]
        worker, beat = both
        with redis(broker):
            assert within(60, lambda: worker.says("Connected to", times=1) and beat.says("Sending due task", times=1))
            assert all(each.sign_moves() for each in both)
        assert within(60, lambda: worker.says("Connection to broker lost", times=1))
        assert all(each.sign_moves() for each in both)
        with redis(broker):
            assert within(60, lambda: worker.says("Connected to", times=2))
            assert all(each.sign_moves() for each in both)
            for each in both:
                each.popen.send_signal(signal.SIGALRM)
            assert all(each.sign_stands_still() for each in both)
