"""A registry with v6 in Production and champion and v7 in Staging, known to the watch, and who asks and approves."""

from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet

from approvals import watch
from registry_ui.mirror import sync
from tests.approvals.watch.helpers import MODEL, seen
from tests.fakes import FakeRegistry
from tests.mlflow_server import MlflowServer


@pytest.fixture
def registry(db: None) -> FakeRegistry:
    fake = FakeRegistry(limit=5000)
    for number in range(1, 9):
        run_id = fake.log_run({"auc_roc": 0.9 + number / 100}, {"max_depth": str(number)})
        fake.create_version(MODEL, run_id=run_id, description=f"Trained for the {number}th time.")
    fake.set_stage(MODEL, 6, "Production", archive_existing=False)
    fake.set_alias(MODEL, "champion", 6)
    fake.set_stage(MODEL, 7, "Staging", archive_existing=False)
    sync.sweep(fake)
    assert watch.look(fake).found == 0
    seen(fake)
    return fake


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A real one, which may call a webhook on this machine."""
    environment = {
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",  # a minute otherwise: so long a new webhook may not be called
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
    }
    with MlflowServer(tmp_path_factory.mktemp("mlflow-watched"), environment=environment) as server:
        yield server
