"""A real MLflow with its basic-auth, and the people that a test makes there."""

from pathlib import Path
from typing import Any

import requests

from tests.support.mlflow_server import MlflowServer

ADMIN = ("admin", "only-for-tests-admin")
PASSWORD = "only-for-tests-password"


class SignedMlflow(MlflowServer):
    def __init__(self, folder: Path, *, default_permission: str = "READ", workspaces: tuple[str, ...] = ()) -> None:
        """`workspaces`: with MLflow's workspaces, these among them."""
        self._workspaces = workspaces
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "auth.ini"
        config.write_text(
            "[mlflow]\n"
            f"default_permission = {default_permission}\n"
            "auth_cache_ttl_seconds = 600\n"  # else each call hashes the password: a second on a busy machine
            f"database_uri = sqlite:///{folder / 'auth.sqlite3'}\n"
            f"admin_username = {ADMIN[0]}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        environment = {
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "only-for-tests",
        }
        super().__init__(folder, environment=environment)

    def _command(self) -> list[str]:
        also = ["--enable-workspaces"] if self._workspaces else []
        return [*super()._command(), "--app-name=basic-auth", *also]

    def start(self, *, timeout: float = 90) -> None:
        super().start(timeout=timeout)
        for name in self._workspaces:
            self.call("workspaces", api="3.0", name=name)

    def call(self, path: str, *, api: str = "2.0", **values: Any) -> dict[str, Any]:
        """As its administrator."""
        answer = requests.post(f"{self.url}/api/{api}/mlflow/{path}", json=values, auth=ADMIN, timeout=60)
        assert answer.status_code in {200, 201}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def person(self, name: str) -> str:
        self.call("users/create", username=name, password=PASSWORD)
        return name

    def grant(self, name: str, model: str, permission: str) -> None:
        self.call(
            "users/permissions/grant", api="3.0",
            username=name, resource_type="registered_model", resource_id=model, permission=permission,
        )  # fmt: skip

    def model(self, name: str) -> str:
        self.call("registered-models/create", name=name)
        self.call("model-versions/create", name=name, source="s3://nothing/here")
        return name
