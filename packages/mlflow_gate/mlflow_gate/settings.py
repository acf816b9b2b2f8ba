"""What the operator of MLflow says in the environment of its server: read once, refused when it cannot be meant."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mlflow_gate.grants import public_key
from mlflow_gate.policy import ENFORCE, MODES, OBSERVE

STATE = "~/.cache/countersign-gate.json"


@dataclass(frozen=True)
class Settings:
    site: str
    """Where people ask, without a slash at the end."""
    keys: tuple[Ed25519PublicKey, ...]
    """Those of Countersign; several while they are exchanged."""
    policy: str
    """Address or path of the policy."""
    token: str
    """Presented to Countersign when the policy is fetched and when refusals are told."""
    state: Path
    """Keeps the last good policy, for a start while Countersign is away."""
    audience: str
    """Which MLflow this is: grants and policies for another one do not hold."""
    mode: str
    """The most that is done here, whatever the policy says: the operator can weaken it and not strengthen it."""
    database: str = ""
    """Address of MLflow's database as the role that writes permits, where triggers stand there."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises ValueError, with a sentence for whoever starts MLflow."""
        site = environment.get("COUNTERSIGN_SITE_URL", "").strip().rstrip("/")
        if not site.startswith(("http://", "https://")):
            raise ValueError("COUNTERSIGN_SITE_URL is missing: the address at which people open Countersign.")
        mode = environment.get("COUNTERSIGN_GATE_MODE", "").strip() or ENFORCE
        if mode not in MODES:
            raise ValueError(f"COUNTERSIGN_GATE_MODE is {mode!r}; it is one of {', '.join(MODES)}.")
        return cls(
            site=site,
            keys=_keys(environment.get("COUNTERSIGN_GATE_KEYS", "")),
            policy=environment.get("COUNTERSIGN_GATE_POLICY", "").strip() or f"{site}/gate/policy",
            token=environment.get("COUNTERSIGN_GATE_TOKEN", "").strip(),
            state=Path(environment.get("COUNTERSIGN_GATE_STATE", "").strip() or STATE).expanduser(),
            audience=environment.get("COUNTERSIGN_GATE_AUDIENCE", "").strip() or "mlflow",
            mode=mode,
            database=environment.get("COUNTERSIGN_GATE_DATABASE_URL", "").strip(),
        )

    @property
    def countersign(self) -> str:
        """Where this server reaches Countersign, without a path: where the policy comes from, which within a network is
        not where people open it."""
        base, path, _ = self.policy.rpartition("/gate/policy")
        return base if path and base.startswith(("http://", "https://")) else self.site

    @property
    def opening(self) -> Path:
        """Where the operator's `open` stands: JSON with `until`, in seconds since the epoch, beside what is told to
        Countersign about it."""
        return self.state.with_name(f"{self.state.stem}-open.json")

    @property
    def used(self) -> Path:
        """Folder of the grants that were used."""
        return self.state.with_name(f"{self.state.stem}-used")

    @property
    def turns(self) -> Path:
        """Folder of the locks by which the processes of this host change one model after the other."""
        return self.state.with_name(f"{self.state.stem}-turns")

    def mode_now(self) -> str:
        """The operator's mode, or observe while the gate is open. Read when a change would be refused, so that an
        opening counts at once."""
        try:
            until = float(json.loads(self.opening.read_text())["until"])
        except (OSError, ValueError, KeyError, TypeError):
            return self.mode
        return weaker(self.mode, OBSERVE) if time.time() < until else self.mode


def weaker(mode: str, other: str) -> str:
    return min(mode, other, key=MODES.index)


def _keys(text: str) -> tuple[Ed25519PublicKey, ...]:
    try:
        keys = tuple(public_key(each) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise ValueError(f"COUNTERSIGN_GATE_KEYS cannot be read. {error}") from error
    if not keys:
        raise ValueError("COUNTERSIGN_GATE_KEYS is missing: the public key of Countersign, 32 bytes in base64.")
    return keys
