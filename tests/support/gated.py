"""A real MLflow with the gate inside: it enforces Production and @champion of every model, and knows the public key of
what tests sign with."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow_gate import grants

from tests.support.gate import KEY, PUBLIC_KEY, policy_text
from tests.support.mlflow_server import MlflowServer

ROOT = Path(__file__).resolve().parents[2]


def environment(folder: Path, store: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What makes a gated MLflow of one with this registry store; `folder` keeps the policy."""
    folder.mkdir(parents=True, exist_ok=True)
    text = policy_text()
    signed = {"policy": text.decode(), "signature": grants.sign_text(KEY, "policy", text)}
    (folder / "policy.json").write_text(json.dumps(signed))
    path = [str(ROOT / "packages" / "mlflow_gate"), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return {
        "MLFLOW_REGISTRY_STORE_URI": f"countersign:{store}",
        "COUNTERSIGN_SITE_URL": "http://countersign.invalid",
        "COUNTERSIGN_GATE_KEYS": PUBLIC_KEY,
        "COUNTERSIGN_GATE_POLICY": str(folder / "policy.json"),
        "COUNTERSIGN_GATE_STATE": str(folder / "gate.json"),
        "PYTHONPATH": os.pathsep.join(path),
        **(environment or {}),
    }


@contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Here whoever may write to MLflow does so, as after `python -m mlflow_gate open`."""
    opening = folder / "gate-open.json"
    opening.write_text(json.dumps({"until": time.time() + 600}))
    try:
        yield
    finally:
        opening.unlink()


class GatedMlflow(MlflowServer):
    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.sqlite3'}"

    def _environment(self) -> dict[str, str]:
        return super()._environment() | environment(self.folder / "gate", self.store, self.environment)

    @contextmanager
    def opened(self) -> Iterator[None]:
        with opened(self.folder / "gate"):
            yield
