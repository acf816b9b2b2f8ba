"""kombu's transport over a folder, such that a file that was not written to the end harms no one: a message appears
whole or not at all, and what cannot be read all the same, after a power cut, is put aside with a line in the log.

The broker only carries hints, so that what is put aside is not missed.
"""

import time
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import structlog
from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

logger = structlog.get_logger(__name__)

ASIDE = "unreadable"
"""Folder, inside that of the messages or bindings, for what cannot be read."""


class Channel(filesystem.Channel):  # type: ignore[misc]
    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        """Beside the others and under a name that no queue reads, until it is whole."""
        path = Path(self.data_folder_out) / f"{time.time_ns()}_{uuid.uuid4()}.{queue}.msg"
        part = path.with_name(f"{path.name}.part")
        try:
            part.write_text(dumps(payload))
            part.replace(path)
        except OSError as error:
            raise filesystem.ChannelError(f"Cannot write {path}: {error}") from error

    def _get(self, queue: str) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(path.name for path in folder.iterdir()):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = folder / f"{name}.taken"
            try:
                (folder / name).rename(taken)  # of two readers one wins
                message = loads(taken.read_bytes())
                if not isinstance(message, dict) or "delivery_tag" not in message.get("properties", ()):
                    raise ValueError("It is not a message.")
            except OSError:
                continue
            except ValueError as error:
                _put_aside(taken, name, error)
                continue
            taken.unlink(missing_ok=True)
            return message
        raise Empty

    # --- Which queue gets what: a file per exchange

    def get_table(self, exchange: str) -> Any:
        self._check_table(exchange)
        return super().get_table(exchange)

    def _queue_bind(self, exchange: str, *args: Any) -> None:
        self._check_table(exchange)
        super()._queue_bind(exchange, *args)

    def _check_table(self, exchange: str) -> None:
        """What was cut off is written anew, with the bindings that this process has declared."""
        path: Path = self._exchange_file(exchange)
        try:
            with path.open("rb") as file:
                filesystem.lock(file, filesystem.LOCK_SH)
                loads(file.read())
        except OSError:
            pass
        except ValueError as error:
            _put_aside(path, path.name, error)
            for binding in self.state.exchanges.get(exchange, {}).get("table", ()):
                super()._queue_bind(exchange, *binding)


class Transport(filesystem.Transport):  # type: ignore[misc]
    Channel = Channel


def _put_aside(path: Path, name: str, error: Exception) -> None:
    with suppress(OSError):
        aside = path.parent / ASIDE
        aside.mkdir(exist_ok=True)
        path.replace(aside / name)
        logger.warning("broker.unreadable", file=str(aside / name), error=str(error))
