"""The operator's way past the gate, for when Countersign is lost and something must change: for minutes, with a reason,
on MLflow's own host.

While the gate is open it observes: what it would refuse goes on and is told. An opening is a file beside the kept
policy, which every process of the server reads when it is about to refuse something; it ends by the clock, also when
nobody is left to end it. Countersign is told of each, now or when it can be reached again, and has it reviewed.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlflow_gate.settings import Settings
from mlflow_gate.source import TIMEOUT, opener, request

log = logging.getLogger("mlflow_gate")

LONGEST = 24 * 60
"""Minutes. Who needs the gate away for longer starts MLflow without it, and everybody sees that."""

LONGEST_REASON = 1000


@dataclass(frozen=True)
class Opening:
    id: str
    reason: str
    minutes: int
    at: float
    """Seconds since the epoch."""
    who: str

    @property
    def until(self) -> float:
        return self.at + self.minutes * 60


def begin(settings: Settings, *, minutes: int, reason: str, who: str) -> Opening:
    """Opens the gate, or keeps it open for so long from now on. Raises ValueError for what is no reason or no such
    time, and OSError when it cannot be written."""
    reason = " ".join(reason.split())
    if not 0 < minutes <= LONGEST:
        raise ValueError(f"The gate is opened for 1 to {LONGEST} minutes.")
    if not 0 < len(reason) <= LONGEST_REASON:
        raise ValueError(f"Say why, in at most {LONGEST_REASON} characters: it is reviewed afterwards.")
    opening = Opening(secrets.token_urlsafe(12), reason, minutes, round(time.time(), 3), who)
    # What is to be told first: an opening that nobody hears of is the worse of the two.
    _write(_untold(settings) / f"{opening.id}.json", asdict(opening))
    _write(settings.opening, {**asdict(opening), "until": opening.until})
    return opening


def end(settings: Settings) -> Opening | None:
    """Shuts the gate; the opening that was ended, if there was one. Raises OSError."""
    opening = standing(settings)
    settings.opening.unlink(missing_ok=True)
    return opening


def standing(settings: Settings) -> Opening | None:
    """The one by which the gate is open now."""
    opening = _read(settings.opening)
    return opening if opening and time.time() < opening.until else None


def tell(settings: Settings) -> bool:
    """Tells Countersign of every opening that it does not know of; whether it knows of all now. Never raises."""
    knows = True
    for path in sorted(_untold(settings).glob("*.json")):
        try:
            opening = _read(path)
            if opening:
                body = json.dumps(asdict(opening)).encode()
                with opener.open(request(settings, f"{settings.countersign}/gate/openings", body), timeout=TIMEOUT):
                    pass
            path.unlink(missing_ok=True)  # another process may have told it; Countersign takes each id once
        except Exception as error:  # whatever it is, the others are told, and this one with the next look
            log.warning("Countersign could not be told that the gate was opened (%s): %s", path.name, error)
            knows = False
    return knows


def _untold(settings: Settings) -> Path:
    return settings.state.with_name(f"{settings.state.stem}-openings")


def _write(path: Path, said: dict[str, Any]) -> None:
    """Whole or not at all. Readable for all of the host: the server may run as somebody else than who opens it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")
    with os.fdopen(handle, "w") as file:
        json.dump(said, file)
    Path(name).chmod(0o644)
    Path(name).replace(path)


def _read(path: Path) -> Opening | None:
    try:
        said = json.loads(path.read_text())
        return Opening(str(said["id"]), str(said["reason"]), int(said["minutes"]), float(said["at"]), str(said["who"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
