"""Whether all is as it should be: Countersign answers, the token is good, MLflow refuses what was not approved."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from countersign.client import Client
from countersign.errors import CountersignError

MISSING = "Install countersign-mlflow-gate to try MLflow as well."
NO_ADDRESS = "Give MLflow's address, or set MLFLOW_TRACKING_URI, to try MLflow as well."


def examine(mlflow: str, user: str) -> dict[str, Any]:
    """`{"is_well", "countersign": {"is_well", "detail"}, "mlflow": {"is_well", "detail"}}`, None for what was not
    tried."""
    site, gate = _countersign(), _mlflow(mlflow, user)
    return {"is_well": all(part["is_well"] is not False for part in (site, gate)), "countersign": site, "mlflow": gate}


def _countersign() -> dict[str, Any]:
    try:
        client = Client()
        me = client.me()
    except CountersignError as error:
        return {"is_well": False, "detail": str(error)}
    return {"is_well": True, "detail": f"{client.url} answers, and takes the token {me['token']['name']}."}


def _mlflow(url: str, user: str) -> dict[str, Any]:
    try:
        from mlflow_gate.__main__ import AS_MEANT, NOT_SEEN, doctor  # noqa: PLC0415 -- it may not be there
    except ImportError:
        return {"is_well": None, "detail": MISSING}
    if not url:
        return {"is_well": None, "detail": NO_ADDRESS}
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = doctor(url, user)
    return {"is_well": {AS_MEANT: True, NOT_SEEN: None}.get(code, False), "detail": said.getvalue().strip()}
