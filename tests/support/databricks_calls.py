"""Calls of the unmodified `databricks-sdk`, made in a process of its own: `python databricks_calls.py`, with one call
a line on stdin and what came of it on stdout, as JSON. Runs beside any version of the SDK; imports nothing of
ours."""

import json
import sys
from enum import Enum
from typing import Any

from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import DatabricksError
from databricks.sdk.service import ml
from databricks.sdk.version import __version__

OLD = tuple(map(int, __version__.split(".")[:2])) < (0, 58)
RAISED = (DatabricksError, TimeoutError, ValueError)


def given(name: str, value: Any) -> Any:
    """As the SDK wants an argument."""
    if name == "stage" and OLD and value in [each.value for each in ml.Stage]:
        return ml.Stage(value)
    if name == "events":
        return [ml.RegistryWebhookEvent(each) for each in value]
    kinds = {
        "event": ml.RegistryWebhookEvent,
        "status": ml.RegistryWebhookStatus,
    }
    if name in kinds:
        return kinds[name](value)
    return ml.HttpUrlSpec.from_dict(value) if name == "http_url_spec" else value


def plain(value: Any) -> Any:
    """What the SDK read, as JSON: of an object the fields that it knows."""
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if value is None or isinstance(value, str | int | dict):
        return value
    return [plain(each) for each in value]


def done(call: dict[str, Any]) -> dict[str, Any]:
    client = WorkspaceClient(
        config=Config(host=call["host"], token=call["token"], auth_type="pat", retry_timeout_seconds=call["patience"])
    )
    try:
        if call["name"] == "do":
            return {"result": client.api_client.do(**call["arguments"])}
        if call["name"] == "me":
            return {"result": plain(client.current_user.me())}
        arguments = {name: given(name, value) for name, value in call["arguments"].items()}
        return {"result": plain(getattr(client.model_registry, call["name"])(**arguments))}
    except RAISED as error:
        said = {"raised": [each.__name__ for each in type(error).__mro__], "message": str(error)}
        if isinstance(error, DatabricksError):
            infos = error.get_error_info()
            said |= {"code": error.error_code, "infos": [[each.reason, each.domain, each.metadata] for each in infos]}
        return said


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(done(json.loads(line))), flush=True)
