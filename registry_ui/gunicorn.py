"""How the web process is served: `gunicorn --config python:registry_ui.gunicorn registry_ui.wsgi`.

Options of the command line, and those of `GUNICORN_CMD_ARGS`, go before what stands here. No Django here: it is read
before the application is.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- of the container; a disk that is busy would make workers look dead
_place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())

bind = "0.0.0.0:8000"
workers = 3
threads = 4
preload_app = True
worker_tmp_dir = str(_place)
control_socket_disable = True
accesslog = None  # it has addresses, and so the keys of password-reset links and the codes of single sign-on

# In it the processes of this server count together: see registry_ui.metrics.processes. By number, since a second server
# on this host has one of its own; made anew, since what an earlier one counted is over. The library reads the variable
# while it is imported, with `preload_app` before any hook below; so nothing that the package itself imports may do so.
COUNTS = _place / f"countersign-metrics-{os.getpid()}"


def _is_left(folder: Path) -> bool:
    """Whether the server that it belongs to was killed, and could not take it away."""
    try:
        os.kill(int(folder.name.rpartition("-")[2]), 0)
    except ProcessLookupError:
        return True
    except (ValueError, PermissionError):
        return False
    return folder == COUNTS


for _folder in _place.glob("countersign-metrics-*"):
    if _is_left(_folder):
        shutil.rmtree(_folder, ignore_errors=True)
COUNTS.mkdir(mode=0o700)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(COUNTS)


def child_exit(server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess  # noqa: PLC0415 -- only once the variable is set

    if COUNTS.is_dir():
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    shutil.rmtree(COUNTS, ignore_errors=True)
